"""The state of a fine-tuning: what is trained and its optimizer; one step of it; and its exact storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from policies.pretrained.families import Family, Seen
from policies.pretrained.settings import FinetuneConfig
from policies.pretrained.trainable import fill, trained
from policies.vla.resume import Words, go_on, read_state, save_learner
from sim.streams import generator

WORDS = Words("fine-tuning", "finetune", others="other data, another model or other settings")


class Finetuner:
    """What changes during a fine-tuning. Saved and loaded, it goes on bit for bit on the same machine and threads."""

    def __init__(self, family: Family, config: FinetuneConfig) -> None:
        self.family, self.config = family, config
        self.model: nn.Module = family.anatomy.model
        self.trained: Mapping[str, nn.Parameter] = trained(self.model)
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            self.trained.values(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        # Steps done and seconds spent on them.
        self.step, self.seconds = 0, 0.0

    def learn(
        self, seen: Seen, actions: NDArray[np.float32], mask: NDArray[np.bool_], *, learning_rate: float
    ) -> float:
        """Do one step of AdamW and return the loss of B samples, which pass in `accumulate` parts.

        Parts are weighted by the actions that they count, so their number changes nothing but rounding.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.model.train()
        self.optimizer.zero_grad()
        total, size = 0.0, len(actions) // self.config.accumulate
        for start in range(0, len(actions), size):
            part = slice(start, start + size)
            loss = self.family.loss(
                seen.rows(start, start + size), actions[part], mask[part], seed=self._seed(self.step, start)
            ) * (mask[part].sum() / mask.sum())
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(self.trained.values(), self.config.clip)
        self.optimizer.step()
        self.step += 1
        return total

    def _seed(self, step: int, part: int) -> int:
        """Return the seed of what one part of a step draws."""
        return int(generator(self.config.seed, "pretrained", "step", step, part).integers(2**62))

    def save(self, path: Path, *, identity: str) -> None:
        """Write the whole state to one file; `identity` says which training it belongs to."""
        save_learner(path, self, {"model": self.trained}, identity=identity)

    def load(self, path: Path, *, identity: str) -> None:
        """Continue from the file at `path`; the state of another training is refused."""
        about, parts = read_state(path, identity=identity, words=WORDS)
        fill(self.model, parts["model"], where=str(path))
        go_on(self, about, parts)

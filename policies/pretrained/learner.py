"""The state of a fine-tuning: what is trained and its optimizer; one step of it; and its exact storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.pretrained.families import Family, Seen
from policies.pretrained.settings import FinetuneConfig
from policies.pretrained.trainable import fill, trained
from policies.vla.learner import read_state, write_state
from sim.errors import UserError
from sim.streams import generator

MOMENTS = ("exp_avg", "exp_avg_sq")


class Finetuner:
    """What changes during a fine-tuning. Saved and loaded, it goes on bit for bit on the same machine and threads."""

    def __init__(self, family: Family, config: FinetuneConfig) -> None:
        self.family, self.config = family, config
        self.model: nn.Module = family.anatomy.model
        self.trained = trained(self.model)
        self.optimizer = torch.optim.AdamW(
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
        tensors: dict[str, Tensor] = {f"model.{name}": p for name, p in self.trained.items()}
        for name, parameter in self.trained.items():
            state = self.optimizer.state.get(parameter, {})
            tensors |= {f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state}
        write_state(path, tensors, {"identity": identity, "step": str(self.step), "seconds": repr(self.seconds)})

    def load(self, path: Path, *, identity: str) -> None:
        """Continue from the file at `path`; the state of another training is refused."""
        about, tensors = read_state(path, of="fine-tuning")
        if about.get("identity") != identity:
            raise UserError(
                f"{path} belongs to a fine-tuning with other data, another model or other settings. Continue that one "
                "with the job it was started with, choose another `out` for this one, or delete the file to begin anew."
            )
        prefix = "model."
        stored = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        fill(self.model, stored, where=str(path))
        self.step, self.seconds = int(about["step"]), float(about["seconds"])
        for name, parameter in self.trained.items():
            if f"{MOMENTS[0]}.{name}" not in tensors:  # It never had a gradient: nothing that is said depends on it.
                continue
            moments = {m: torch.zeros_like(parameter).copy_(tensors[f"{m}.{name}"]) for m in MOMENTS}
            self.optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}

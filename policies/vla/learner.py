"""The state of a training: weights, averaged weights, optimizer; one step of it; and its exact storage."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policies.vla.heads import BinsHead, ends
from policies.vla.model import VlaModel, new_model
from policies.vla.normalization import KEYFRAME_UNIT, Statistics
from policies.vla.objective import Counts, counts_of, loss_terms, total_loss, weights_of
from policies.vla.parallel import Ranks
from policies.vla.precision import arithmetic
from policies.vla.presets import Preset
from policies.vla.resume import Words, go_on, read_state, save_learner, write_state
from policies.vla.shape import KEYFRAME, Inputs, ModelConfig, Seen
from sim.conventions import ARM_LIMITS

ALONE = Ranks()

WORDS = Words("training", "train", others="other data or settings")


class Learner:
    """What changes during training. Saved and loaded, it goes on bit for bit on the same machine and threads."""

    def __init__(
        self,
        preset: Preset,
        statistics: Statistics,
        *,
        chunk: int,
        seed: int,
        vocabulary: int = 0,
        ranks: Ranks = ALONE,
        device: str = "cpu",
    ) -> None:
        self.preset, self.weights, self.ranks, self.device = preset, weights_of(preset.head), ranks, device
        self.model: VlaModel = new_model(model_config(preset, chunk=chunk, vocabulary=vocabulary), seed=seed)
        self.model.tcp_scale.copy_(torch.tensor(statistics.state_std[:KEYFRAME]) / KEYFRAME_UNIT)
        if isinstance(self.model.head, BinsHead):
            limits = np.array(ARM_LIMITS, np.float32)
            first, last = (statistics.normalize_arm(end) for end in ends(limits, self.model.config.bins))
            self.model.head.set_range(torch.from_numpy(first), torch.from_numpy(last))
        self.model.to(device)
        self.averaged: VlaModel = copy.deepcopy(self.model).requires_grad_(requires_grad=False)
        # What training calls; torch.compile replaces it.
        self.perceive: Callable[..., Seen] = self.model.perceive
        self.trained: Mapping[str, nn.Parameter] = dict(self.model.named_parameters())
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            self.trained.values(), preset.learning_rate, weight_decay=preset.weight_decay, fused=True
        )
        # Steps done and seconds spent on them.
        self.step, self.seconds = 0, 0.0

    def learn(self, passes: Sequence[Inputs], *, learning_rate: float) -> dict[str, float]:
        """Do one step of AdamW on one batch, which comes in one or more passes, and return the loss terms.

        The passes of all processes together are one batch: means are over all of it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        told = sum((counts_of(inputs.wanted).tensor() for inputs in passes), torch.zeros(4, dtype=torch.float64))
        counts = Counts(*self.ranks.add(told).tolist())
        self.optimizer.zero_grad()
        total = torch.zeros(5, dtype=torch.float64)
        names: list[str] = []
        for inputs in passes:
            terms = self._terms(inputs.to(self.device), counts)
            terms["loss"].backward()  # type: ignore[no-untyped-call]
            names = list(terms)
            total += torch.stack([term.detach() for term in terms.values()]).cpu()
        self.ranks.add_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.clip)
        self.optimizer.step()
        self._average()
        self.step += 1
        return dict(zip(names, self.ranks.add(total).tolist(), strict=True))

    def _terms(self, inputs: Inputs, counts: Counts) -> dict[str, Tensor]:
        """Return the loss and its terms, this pass's part of them."""
        with arithmetic(self.preset.precision, device=self.device):
            seen = self.perceive(inputs.pixels, inputs.words, inputs.state, inputs.near)
            terms = loss_terms(self.model, seen, inputs, counts)
        return {"loss": total_loss(terms, self.weights), **terms}

    def begin_with(self, model: VlaModel) -> None:
        """Take over the weights of a trained network."""
        self.model.load_state_dict(model.state_dict())
        self.averaged.load_state_dict(model.state_dict())

    def compile(self) -> None:
        """Let torch.compile make the network's program; a machine that cannot is told at the first step."""
        self.perceive = torch.compile(self.model.perceive)

    def _average(self) -> None:
        """Move the averaged weights towards the current ones; early steps count more, as the start is random."""
        decay = min(self.preset.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            theirs = [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_(list(self.averaged.parameters()), theirs, 1 - decay)

    def save(self, path: Path, *, identity: str) -> None:
        """Write the whole state to one file; `identity` says which training it belongs to."""
        model = {"model": self.model.state_dict(), "averaged": self.averaged.state_dict()}
        save_learner(path, self, model, identity=identity)

    def load(self, path: Path, *, identity: str) -> None:
        """Continue from the file at `path`; the state of another training is refused."""
        about, parts = read_state(path, identity=identity, words=WORDS)
        self.model.load_state_dict(dict(parts["model"]))
        self.averaged.load_state_dict(dict(parts["averaged"]))
        go_on(self, about, parts)

    def save_averaged(self, path: Path, *, identity: str) -> None:
        """Write the averaged weights alone to one file."""
        write_state(path, {"averaged": self.averaged.state_dict()}, {"identity": identity})

    def load_averaged(self, path: Path, *, identity: str) -> None:
        """Take back averaged weights that this training wrote."""
        _, parts = read_state(path, identity=identity, words=WORDS)
        self.averaged.load_state_dict(dict(parts["averaged"]))


def model_config(preset: Preset, *, chunk: int, vocabulary: int = 0) -> ModelConfig:
    """Return the network's shape that a preset describes, with so many sub-word pieces."""
    said = {name: getattr(preset, name) for name in ModelConfig.__dataclass_fields__ if hasattr(preset, name)}
    return ModelConfig(**said, chunk=chunk, vocabulary=vocabulary)

"""The state of a training: weights, averaged weights, optimizer; one step of it; and its exact storage."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from policies.vla.model import KEYFRAME, ModelConfig, Prediction, VlaModel, new_model
from policies.vla.normalization import KEYFRAME_UNIT, Statistics
from policies.vla.objective import Targets, Weights, loss_terms, total_loss
from policies.vla.settings import Preset
from sim.errors import UserError
from sim.files import write_bytes

MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner:
    """What changes during training. Saved and loaded, it goes on bit for bit on the same machine and threads."""

    def __init__(self, preset: Preset, statistics: Statistics, *, chunk: int, seed: int) -> None:
        self.preset, self.weights = preset, Weights()
        self.model: VlaModel = new_model(model_config(preset, chunk=chunk), seed=seed)
        self.model.tcp_scale.copy_(torch.tensor(statistics.state_std[:KEYFRAME]) / KEYFRAME_UNIT)
        self.averaged: VlaModel = copy.deepcopy(self.model).requires_grad_(requires_grad=False)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), preset.learning_rate, weight_decay=preset.weight_decay, fused=True
        )
        # Steps done and seconds spent on them.
        self.step, self.seconds = 0, 0.0

    def learn(
        self, pixels: Tensor, words: Tensor, state: Tensor, wanted: Targets, *, learning_rate: float
    ) -> dict[str, float]:
        """Do one step of AdamW on one batch and return the loss terms."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        predicted: Prediction = self.model(pixels, words, state)
        terms = loss_terms(predicted, wanted)
        loss = total_loss(terms, self.weights)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.clip)
        self.optimizer.step()
        self._average()
        self.step += 1
        return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}

    def _average(self) -> None:
        """Move the averaged weights towards the current ones; early steps count more, as the start is random."""
        decay = min(self.preset.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            theirs = [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_(list(self.averaged.parameters()), theirs, 1 - decay)

    def save(self, path: Path, *, identity: str) -> None:
        """Write the whole state to one file; `identity` says which training it belongs to."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter, {})
            tensors |= {f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state}
        about = {"identity": identity, "step": str(self.step), "seconds": repr(self.seconds)}
        whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        write_bytes(path, save(whole, metadata=about))

    def load(self, path: Path, *, identity: str) -> None:
        """Continue from the file at `path`; the state of another training is refused."""
        about, tensors = _read(path)
        if about.get("identity") != identity:
            raise UserError(
                f"{path} belongs to a training with other data or settings. Continue that one with the job it was "
                "started with, choose another `out` for this one, or delete the file to begin anew."
            )
        self.model.load_state_dict(_part(tensors, "model."))
        self.averaged.load_state_dict(_part(tensors, "averaged."))
        self.step, self.seconds = int(about["step"]), float(about["seconds"])
        for name, parameter in self.model.named_parameters():
            moments = {m: torch.zeros_like(parameter).copy_(tensors[f"{m}.{name}"]) for m in MOMENTS}
            self.optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return what a saved state says of itself, and its tensors."""
    try:
        with safe_open(path, framework="pt") as stored:
            about: dict[str, str] = stored.metadata() or {}
        return about, load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read: {error}. Delete it to begin the training anew.") from error


def model_config(preset: Preset, *, chunk: int) -> ModelConfig:
    """Return the network's shape that a preset describes."""
    return ModelConfig(
        image_size=preset.image_size,
        chunk=chunk,
        stem=preset.stem,
        channels=preset.channels,
        strides=preset.strides,
        keypoint_block=preset.keypoint_block,
        keypoints=preset.keypoints,
        hidden=preset.hidden,
    )

"""What a training leaves in its folder: a state from which it goes on bit for bit, or a record that it is finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sim.errors import UserError
from sim.files import read_json, write_bytes

STATE_FILE = "resume.safetensors"

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam remembers of each parameter."""

Parts = Mapping[str, Mapping[str, Tensor]]
"""A state's tensors: part ("model", "averaged", a moment), then name. In the file they are called "<part>.<name>"."""


@dataclass(frozen=True)
class Words:
    """How messages call a training."""

    # What it is, what its progress line says, and how one that must not be mixed up with it differs.
    name: str
    verb: str
    others: str


class Learns(Protocol):
    """What changes during a training."""

    # The parameters that it changes, by name, and how.
    trained: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    # Steps done and seconds spent on them.
    step: int
    seconds: float

    def save(self, path: Path, *, identity: str) -> None:
        """Write the whole state to one file; `identity` says which training it belongs to."""

    def load(self, path: Path, *, identity: str) -> None:
        """Continue from the file at `path`; the state of another training is refused."""


def write_state(path: Path, parts: Parts, about: Mapping[str, str]) -> None:
    """Write tensors and what is said of them to one file, whole or not at all."""
    whole = {
        f"{part}.{name}": t.detach().cpu().contiguous() for part, some in parts.items() for name, t in some.items()
    }
    write_bytes(path, save(whole, metadata=dict(about)))


def read_state(path: Path, *, identity: str, words: Words) -> tuple[dict[str, str], Parts]:
    """Return what a saved state says of itself, and its tensors; that of another training is refused."""
    try:
        with safe_open(path, framework="pt") as stored:
            about: dict[str, str] = stored.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read: {error}. Delete it to begin the {words.name} anew.") from error
    if about.get("identity") != identity:
        raise UserError(
            f"{path} belongs to a {words.name} with {words.others}. Continue that one with the job it was started "
            "with, choose another `out` for this one, or delete the file to begin anew."
        )
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor
    return about, parts


def save_learner(path: Path, learner: Learns, model: Parts, *, identity: str) -> None:
    """Write the parts of a learner's `model`, what its optimizer remembers, and how far it is."""
    remembered = {name: learner.optimizer.state.get(p, {}) for name, p in learner.trained.items()}
    moments = {m: {name: state[m] for name, state in remembered.items() if m in state} for m in MOMENTS}
    about = {"identity": identity, "step": str(learner.step), "seconds": repr(learner.seconds)}
    write_state(path, {**model, **moments}, about)


def go_on(learner: Learns, about: Mapping[str, str], parts: Parts) -> None:
    """Give a learner back how far it was and what its optimizer remembered."""
    learner.step, learner.seconds = int(about["step"]), float(about["seconds"])
    for name, parameter in learner.trained.items():
        if name not in parts.get(MOMENTS[0], {}):  # It never had a gradient: nothing that is said depends on it.
            continue
        moments = {m: torch.zeros_like(parameter).copy_(parts[m][name]) for m in MOMENTS}
        count = torch.tensor(float(learner.step), device=parameter.device)
        learner.optimizer.state[parameter] = {"step": count, **moments}


def finished_record(path: Path, *, identity: str, words: Words) -> dict[str, Any] | None:
    """Return the record at `path` of a training that is finished, or None; another's is never overwritten."""
    if not path.exists():
        return None
    record = read_json(path)
    if not isinstance(record, dict) or record.get("identity") != identity:
        raise UserError(
            f"{path.parent} holds a finished checkpoint of {words.others}, and it is not overwritten. Choose another "
            "`out`, or move that folder away."
        )
    return record

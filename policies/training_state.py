"""Where an expert's training stands: written while it runs, read when the same command is run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from policies.curves import Progress
from sim.errors import UserError
from sim.files import write_bytes

RESUME = "resume.safetensors"
"""One file, so that weights and curve can never be of different moments."""

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class TrainingState:
    """A training at one moment."""

    # What is trained: another task, seed or number of worlds is not continued.
    identity: str
    # Parameters and running statistics of the agent's network.
    model: Tensors
    # Adam's state of each parameter: "<index>.exp_avg", "<index>.exp_avg_sq", "<index>.step".
    optimizer: Tensors
    # Learning rate; episodes begun; reports so far.
    rate: float
    begun: int
    curve: tuple[Progress, ...]


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state into `folder`, whole or not at all."""
    tensors = {f"model/{name}": np.ascontiguousarray(value) for name, value in state.model.items()}
    tensors |= {f"optimizer/{name}": np.ascontiguousarray(value) for name, value in state.optimizer.items()}
    about = {
        "identity": state.identity,
        "rate": state.rate,
        "begun": state.begun,
        "curve": [asdict(progress) for progress in state.curve],
    }
    write_bytes(folder / RESUME, save(tensors, metadata={"training": json.dumps(about, allow_nan=False)}))


def load_state(folder: Path, *, identity: str) -> TrainingState | None:
    """Return the state in `folder`, or None where there is none; that of another training is refused."""
    path = folder / RESUME
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read: {error}. Remove it to train from the beginning.") from error
    size = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["training"])
    if about["identity"] != identity:
        raise UserError(
            f"{folder} holds an unfinished training of something else:\n"
            f"  there  {about['identity']}\n  asked  {identity}\nName another folder with --out, or remove this one."
        )
    parts = {
        part: {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}
        for part in ("model", "optimizer")
    }
    curve = tuple(Progress(**progress) for progress in about["curve"])
    return TrainingState(identity, parts["model"], parts["optimizer"], about["rate"], about["begun"], curve)

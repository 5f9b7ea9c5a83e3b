"""The state of an rl_games agent as plain arrays, kept every few minutes and put back into a new agent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policies.curves import Progress
from policies.training_state import TrainingState, load_state, save_state

EVERY = 60.0
"""Seconds between two savings of a training's state."""

Taken = tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]], float]
"""Network, optimizer and learning rate of an agent."""


class Keeper:
    """Keeps a training's state in a folder; `state` is what an earlier run left there."""

    def __init__(self, folder: Path, *, identity: str, every: float = EVERY) -> None:
        """Read what is there; a state of another `identity` is refused."""
        self._folder, self._identity, self._every = folder, identity, every
        self.state = load_state(folder, identity=identity)
        self._curve = list(self.state.curve) if self.state else []
        self._saved = time.monotonic()

    def note(self, progress: Progress, agent: Callable[[], Taken], *, begun: int) -> None:
        """Remember a report; write the agent's state if that was long ago."""
        self._curve.append(progress)
        if time.monotonic() - self._saved >= self._every:
            self.keep(agent, begun=begun)

    def keep(self, agent: Callable[[], Taken], *, begun: int) -> None:
        """Write the agent's state now."""
        model, optimizer, rate = agent()
        save_state(self._folder, TrainingState(self._identity, model, optimizer, rate, begun, tuple(self._curve)))
        self._saved = time.monotonic()


def taken(algo: Any) -> Taken:
    """Return network, optimizer and learning rate of an agent as they are."""
    model = {name: tensor.detach().cpu().numpy().copy() for name, tensor in algo.model.state_dict().items()}
    moments = {
        f"{index}.{name}": value.detach().cpu().numpy().copy()
        for index, entry in algo.optimizer.state_dict()["state"].items()
        for name, value in entry.items()
    }
    return model, moments, float(algo.last_lr)


def put_back(algo: Any, state: TrainingState) -> None:
    """Give an agent the network, optimizer and learning rate of a kept state."""
    algo.model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.model.items()})
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in state.optimizer.items():
        index, part = name.split(".")
        moments.setdefault(int(index), {})[part] = torch.from_numpy(np.array(value))
    groups = algo.optimizer.state_dict()["param_groups"]
    algo.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    algo.last_lr = state.rate
    algo.update_lr(state.rate)

"""States of several worlds of a host: joined, and looked through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from sim.state import State


def stacked(states: Sequence[State]) -> State:
    """Return the states of several worlds as one batch."""
    joined: dict[str, Any] = {}
    for entry in fields(State):
        values = [getattr(state, entry.name) for state in states]
        if isinstance(values[0], dict):
            joined[entry.name] = {name: np.concatenate([value[name] for value in values]) for name in values[0]}
        elif values[0] is not None:  # What this host does not tell keeps its default.
            joined[entry.name] = np.concatenate(values)
    return State(**joined)


def not_finite(state: State) -> str | None:
    """Return what is wrong with a state that holds numbers that are none, or None."""
    arrays = (state.q, state.qd, state.tcp, *state.poses.values(), *state.joints.values())
    return None if all(np.isfinite(array).all() for array in arrays) else "the simulated state is not finite"

"""States of single worlds made into one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.hosts.others import OTHERS
from sim.fixtures import SHAPES
from sim.scene import Value
from sim.state import State

PARTS = ("poses", "twists", "half_sizes", "shapes", "present")
"""Fields of State that hold something by object."""

NOWHERE = -2.0
"""Height at which absent objects count as being, m: below every table."""


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


def with_absent(state: State) -> State:
    """Return the state (n = 1) with the other objects that the episode does without: far below, and not present."""
    absent = [other for other in OTHERS if other.name not in state.poses]
    nowhere = np.array([[0.0, 0.0, NOWHERE, 1.0, 0.0, 0.0, 0.0]])
    return replace(
        state,
        poses={**state.poses, **{other.name: nowhere for other in absent}},
        twists={**state.twists, **{other.name: np.zeros((1, 6)) for other in absent}},
        half_sizes={**state.half_sizes, **{other.name: np.array([other.half_size]) for other in absent}},
        shapes={**state.shapes, **{other.name: np.array([SHAPES.index(other.shape)]) for other in absent}},
        present={**state.present, **{other.name: np.array([other not in absent]) for other in OTHERS}},
    )


def without_others(state: State) -> State:
    """Return the state (n = 1) without the other objects, which an earlier episode has left behind."""
    names = {other.name for other in OTHERS}
    if names.isdisjoint(state.poses):
        return state
    return replace(state, **{part: {k: v for k, v in getattr(state, part).items() if k not in names} for part in PARTS})


def not_finite(state: State) -> str | None:
    """Return what is wrong with a state that holds a number that is not finite, or None."""
    arrays = (state.q, state.qd, state.tcp, *state.poses.values(), *state.joints.values())
    return None if all(np.isfinite(array).all() for array in arrays) else "the simulated state is not finite"


def measured_draw(state: State) -> dict[str, Any]:
    """Return where everything is in a state (n = 1), as JSON by the paths of a draw."""
    found: dict[str, Any] = {}
    for name, pose in state.poses.items():
        if name not in state.present or state.present[name][0]:
            found |= {f"{name}.pose": _floats(pose[0]), f"{name}.half_size": _floats(state.half_sizes[name][0])}
    for name, pose in state.fixtures.items():
        found[f"{name}.pose"] = _floats(pose[0])
    return found | {"robot.q": _floats(state.q[0]), "table.height": float(state.table[0])}


def renamed(values: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Any]:
    """Return values by path, as JSON, with the owners of paths called as `names` says."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        owner, _, rest = path.partition(".")
        found[f"{names.get(owner, owner)}.{rest}"] = list(value) if isinstance(value, tuple) else value
    return found


def _floats(values: NDArray[np.float64]) -> list[float]:
    return [float(x) for x in values]

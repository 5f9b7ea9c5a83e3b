"""A host's scene in the words of our grammar."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sim.state import State
from tasks.grammar import Thing
from tasks.layout import Place
from tasks.things import size_word


def thing(name: str, kind: str, color: str, state: State) -> Thing:
    """Return an object of the state (n = 1) as sentences speak of it; `color` is "" where no one colour fits."""
    half, pose = np.asarray(state.half_sizes[name])[0], np.asarray(state.poses[name])[0]
    return Thing(name, kind, color, size_word(float(half[1])), (float(pose[0]), float(pose[1])))


def stretches(state: State, roles: Iterable[str]) -> list[tuple[Place, Place]]:
    """Return what is taken on the table: each role's object, and the way from the first to every fixture.

    A long object counts from end to end.
    """
    poses = {name: np.asarray(state.poses[name])[0] for name in roles}
    taken = []
    for name, pose in poses.items():
        w, x, y, z = pose[3:]
        half = float(np.asarray(state.half_sizes[name])[0, 0])
        along = half * np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z)])
        taken.append((_place(pose[:2] - along), _place(pose[:2] + along)))
    for fixed in state.fixtures.values():
        place = np.asarray(fixed)[0, :2]
        start = next(iter(poses.values()))[:2] if poses else place
        taken.append((_place(start), _place(place)))
    return taken


def _place(point: NDArray[np.float64]) -> Place:
    return float(point[0]), float(point[1])

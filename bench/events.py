"""What happened to the objects in an episode: reached, grasped, held, dropped, knocked over; measured on its traces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.episodes import Episode
from sim.rotations import conjugate, multiply

Samples = NDArray[np.float64]

REACHED = 0.06
"""Distance between TCP and object's centre within which the object was reached, m."""

RAISED = 0.01
"""Height above its start from which an object counts as raised, m."""

HOLD_STEPS = 3
"""Fewest consecutive steps, raised and within `REACHED`, that make a hold (0.15 s at 20 Hz)."""

SLIPPED = 0.015
"""Change of the object's place in the hand that ends a hold, m."""

FALLEN = 0.005
"""Descent of an object after it left the hand that makes a drop; less is putting it down, m."""

CLOSING = 0.05
"""Loss of the gripper's opening fraction in one step that counts as closing, 1 (4 mm)."""

MOVED = 0.03
"""Displacement of another object that counts as knocking it over, m."""

TILTED = 0.5
"""Turn of another object that counts as knocking it over, rad."""

OUT_OF_REACH = 1.2
"""Horizontal distance from the robot's base beyond which an object is gone, m."""

BELOW_TABLE = 0.1
"""Depth below the table top at which an object has fallen off it, m."""


REACH_SLOPE = 5.0
"""Slope of the tasks' term "reach", 1 - tanh(slope * distance), 1/m: it tells the distance to a handle."""


@dataclass(frozen=True)
class Hold:
    """One time that an object was in the hand."""

    # First and last step.
    begin: int
    end: int
    # Whether it fell out of the hand rather than being put down or held to the end.
    dropped: bool


@dataclass(frozen=True)
class Events:
    """The measured events of one episode; steps count from 0, the state after the reset."""

    # Smallest distance between TCP and target's centre, m, and the first step within `REACHED`. None: not measured.
    closest: float | None
    reached: int | None
    # Smallest distance between TCP and target's centre while the gripper closed, m; None if it never closed.
    closed_at: float | None
    # Another object than the target that was within `REACHED`, and nearer than the target, while the gripper closed.
    closed_on: str | None
    holds: tuple[Hold, ...]
    # Other objects that were held, and those that were knocked over.
    held_others: tuple[str, ...]
    knocked: tuple[str, ...]
    # Whether the target fell off the table or went out of reach.
    lost: bool

    @property
    def drops(self) -> int:
        """How often the target fell out of the hand."""
        return sum(hold.dropped for hold in self.holds)

    @property
    def regrasps(self) -> int:
        """How often the target was held again after it had fallen out of the hand: recoveries."""
        return sum(hold.dropped for hold in self.holds[:-1])


def measure_events(episode: Episode, *, target: str) -> Events:
    """Return the events of an episode that ran, from its traces of TCP, objects, table and gripper."""
    objects = {
        name.removeprefix("object/"): np.asarray(trace, dtype=np.float64)
        for name, trace in episode.traces.items()
        if name.startswith("object/")
    }
    tcp, table = (np.asarray(episode.traces[name], dtype=np.float64) for name in ("tcp", "table"))
    others = {name: poses for name, poses in objects.items() if name != target and not _gone(poses[:1], table[:1])}
    path = objects.get(target)
    distances = {target: _reach_distance(episode) if path is None else _distance(tcp, path)}
    distances |= {name: _distance(tcp, poses) for name, poses in others.items()}
    near = np.flatnonzero(distances[target] <= REACHED)
    closing = closing_steps(np.asarray(episode.states[:, 7], dtype=np.float64))
    nearest = {name: float(values[closing].min()) for name, values in distances.items() if len(closing)}
    first = min(nearest, key=lambda name: nearest[name]) if nearest else target
    closest = float(distances[target].min())
    return Events(
        closest=closest if np.isfinite(closest) else None,
        reached=int(near[0]) if len(near) else None,
        closed_at=nearest[target] if np.isfinite(nearest.get(target, np.inf)) else None,
        closed_on=first if first != target and nearest[first] <= REACHED else None,
        holds=() if path is None else holds(tcp, path),
        held_others=tuple(name for name, poses in others.items() if holds(tcp, poses)),
        knocked=tuple(name for name, poses in others.items() if _knocked(poses)),
        lost=path is not None and _gone(path, table),
    )


def _reach_distance(episode: Episode) -> Samples:
    """Return the distance (T + 1,) m between TCP and a target without a pose, by its reach term; infinite if untold."""
    if "reach" not in episode.terms:
        return np.full(episode.length + 1, np.inf)
    reach = np.clip(np.asarray(episode.terms["reach"], dtype=np.float64), 1e-6, 1.0)
    distance = np.arctanh(1.0 - reach) / REACH_SLOPE
    return np.concatenate([distance[:1], distance])


def _distance(tcp: Samples, poses: Samples) -> Samples:
    return np.asarray(np.linalg.norm(tcp[:, :3] - poses[:, :3], axis=1))


def _gone(poses: Samples, table: Samples) -> bool:
    """Return whether an object (T, 7) is ever out of reach, below the table (T,), or nowhere at all."""
    far = np.linalg.norm(poses[:, :2], axis=1) > OUT_OF_REACH
    return bool((far | (poses[:, 2] < table - BELOW_TABLE) | ~np.isfinite(poses).all(axis=1)).any())


def closing_steps(opening: Samples) -> NDArray[np.intp]:
    """Return the steps at which the gripper, with opening fractions (T,), is closing."""
    return np.flatnonzero(np.diff(opening, prepend=opening[:1]) < -CLOSING)


def holds(tcp: Samples, poses: Samples) -> tuple[Hold, ...]:
    """Return when the hand (T, 7) held an object (T, 7): raised above its start and close to the TCP."""
    height = poses[:, 2] - poses[0, 2]
    inside = (height > RAISED) & (_distance(tcp, poses) <= REACHED)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    spans = zip(edges[::2], edges[1::2] - 1, strict=True)
    return tuple(_hold(tcp, poses, int(a), int(b)) for a, b in spans if b - a + 1 >= HOLD_STEPS)


def _hold(tcp: Samples, poses: Samples, begin: int, end: int) -> Hold:
    """Return the hold from step `begin` to `end`, and whether the object fell afterwards."""
    if end == len(poses) - 1:
        return Hold(begin, end, dropped=False)
    offset = poses[:, :3] - tcp[:, :3]
    usual = np.median(offset[begin : end + 1], axis=0)
    slipped = np.flatnonzero(np.linalg.norm(offset[begin:] - usual, axis=1) > SLIPPED)
    left = begin + int(slipped[0]) if len(slipped) else end
    left = min(max(left, begin), len(poses) - 1)
    return Hold(begin, end, dropped=bool(poses[left:, 2].min() < poses[left, 2] - FALLEN))


def _knocked(poses: Samples) -> bool:
    """Return whether an object (T, 7) that nobody asked for was moved or tilted away from its start."""
    moved = np.linalg.norm(poses[:, :3] - poses[:1, :3], axis=1) > MOVED
    turned = multiply(conjugate(np.broadcast_to(poses[:1, 3:], poses[:, 3:].shape)), poses[:, 3:])
    angle = 2 * np.arccos(np.clip(np.abs(turned[:, 0]), 0.0, 1.0))
    return bool((moved | (angle > TILTED)).any())

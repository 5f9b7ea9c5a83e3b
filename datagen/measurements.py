"""Named measurements of an episode: what filters look at and what is stored with every demonstration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.clearance import self_clearance, table_clearance
from sim.conventions import ARM_LIMITS
from sim.episodes import Episode

Measurement = float | int | bool | None
Measurements = Mapping[str, Measurement]

OBJECT_PREFIX = "object/"
"""Beginning of the names under which environments trace the poses of objects."""

DIGITS = 6
"""Decimal places of measured lengths and speeds: micrometres."""


def measure(episode: Episode, *, workspace: tuple[float, ...] = ()) -> dict[str, Measurement]:
    """Return every measurement of an episode by name; None where it has no value or the simulator does not tell."""
    if episode.error is not None:
        return {"steps": episode.length, "success": False, "success_once": False}
    contact, table, joints = (episode.traces.get(name) for name in ("contact", "table", "joints"))
    objects = _objects(episode)
    rate = episode.spec.convention.rate
    return {
        "steps": episode.length,
        "success": episode.succeeded,
        "success_once": episode.succeeded_once,
        "time_to_success": time_to_success(episode.success, rate),
        "action_difference": action_difference(episode.executed),
        "contact_force": None if contact is None else float(np.max(contact)),
        "table_clearance": None if table is None else round(table_clearance(episode.states, table), DIGITS),
        "self_clearance": None if joints is None else round(self_clearance(joints[:, :7]), DIGITS),
        "object_speed": object_speed(objects, rate),
        "drop_height": drop_height(objects, episode.states[:, 2].astype(np.float64)),
        "workspace_excess": workspace_excess(objects, workspace),
    }


def time_to_success(success: NDArray[np.bool_], rate: float) -> float | None:
    """Return when the success that held to the end of the episode began, s; None where it did not hold."""
    if not len(success) or not success[-1]:
        return None
    failures = np.flatnonzero(~success)
    first = int(failures[-1]) + 1 if len(failures) else 0
    return (first + 1) / rate


def action_difference(actions: NDArray[np.float32]) -> float:
    """Return the mean squared difference of successive arm actions (T, 7) in units of the limits: 0 is smooth."""
    if len(actions) < 2:
        return 0.0
    return float(np.mean((np.diff(actions[:, :6].astype(np.float64), axis=0) / ARM_LIMITS) ** 2))


def workspace_excess(objects: Sequence[NDArray[np.float64]], box: tuple[float, ...]) -> float | None:
    """Return how far, m, any object's position (T + 1, 3) went outside `box`; 0 for objects that stayed inside.

    None where there is no box, or where the simulator traces no objects.
    """
    if not objects or not box:
        return None
    low, high = np.array(box[:3]), np.array(box[3:])
    outside = [np.maximum(np.maximum(low - p, p - high), 0.0).max() for p in objects]
    return float(max(outside))


def object_speed(objects: Sequence[NDArray[np.float64]], rate: float) -> float | None:
    """Return the largest speed, m/s, of any object's position (T + 1, 3) from one control step to the next."""
    if not objects:
        return None
    return round(
        max(float(np.linalg.norm(np.diff(p, axis=0), axis=1).max(initial=0.0)) * rate for p in objects), DIGITS
    )


def drop_height(objects: Sequence[NDArray[np.float64]], hand: NDArray[np.float64]) -> float | None:
    """Return the largest height, m, that any object (T + 1, 3) fell while the hand, at heights (T + 1,), did not.

    Of a fall counts what the object sank and the hand did not sink with it, over successive sinking steps.
    """
    if not objects:
        return None
    return round(max(_longest_fall(p[:, 2], hand) for p in objects), DIGITS)


def _longest_fall(heights: NDArray[np.float64], hand: NDArray[np.float64]) -> float:
    sunk = np.minimum(-np.diff(heights), -np.diff(heights - hand))
    longest = fall = 0.0
    for step in sunk.tolist():
        fall = fall + step if step > 0.0 else 0.0
        longest = max(longest, fall)
    return longest


def _objects(episode: Episode) -> list[NDArray[np.float64]]:
    """Return the positions (T + 1, 3) of the objects that the episode has; absent ones wait elsewhere."""
    traced = {
        n.removeprefix(OBJECT_PREFIX): t for n, t in sorted(episode.traces.items()) if n.startswith(OBJECT_PREFIX)
    }
    return [trace[:, :3] for name, trace in traced.items() if episode.draw.get(f"{name}.present", 1.0) > 0.5]

"""What can be measured of states and actions without knowing what was meant: speeds, and who follows whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.rotations import conjugate, multiply, to_axis_angle, xyzw_to_wxyz

Numbers = NDArray[np.float64]

MOVING, TURNING, ENOUGH = 1e-4, 5e-3, 30
"""Metres and radians per step above which a step counts as motion, and how many such steps a comparison needs."""


def speeds(actions: Sequence[Numbers], *, rate: float) -> tuple[float, float]:
    """Return the 99th percentiles of commanded speed, m/s, and turning, rad/s, of delta actions (T, 7)."""
    whole = np.concatenate(actions)
    lengths = np.linalg.norm(whole[:, :3], axis=1), np.linalg.norm(whole[:, 3:6], axis=1)
    return high(lengths[0]) * rate, high(lengths[1]) * rate


def motion_agreement(states: Sequence[Numbers], actions: Sequence[Numbers]) -> float | None:
    """Return the cosine between commanded and measured motion, the best of lags 0 to 2 steps; None: too little."""
    found = []
    for lag in range(3):
        command = np.concatenate([a[: max(len(a) - 1 - lag, 0), :3] for a in actions])
        motion = np.concatenate([np.diff(s[lag:, :3], axis=0) for s in states])
        moved = (np.linalg.norm(command, axis=1) > MOVING) & (np.linalg.norm(motion, axis=1) > MOVING)
        if moved.sum() >= ENOUGH:
            a, b = command[moved].ravel(), motion[moved].ravel()
            found.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
    return max(found) if found else None


def turning_agreement(states: Sequence[Numbers], actions: Sequence[Numbers]) -> float | None:
    """Return the cosine between commanded and measured turning, the best of lags 0 to 2 steps; None: too little."""
    found = []
    for lag in range(3):
        command = np.concatenate([a[: max(len(a) - 1 - lag, 0), 3:6] for a in actions])
        turn = np.concatenate([_turns(s[lag:, 3:7]) for s in states])
        turned = (np.linalg.norm(command, axis=1) > TURNING) & (np.linalg.norm(turn, axis=1) > TURNING)
        if turned.sum() >= ENOUGH:
            a, b = command[turned].ravel(), turn[turned].ravel()
            found.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
    return max(found) if found else None


def _turns(xyzw: Numbers) -> Numbers:
    """Return the axis-angle turns (T - 1, 3) between quaternions (T, 4), in the base frame."""
    turns = np.asarray(xyzw_to_wxyz(xyzw))
    return np.asarray(to_axis_angle(multiply(turns[1:], conjugate(turns[:-1]))))


def gripper_agreement(states: Sequence[Numbers], actions: Sequence[Numbers]) -> float | None:
    """Return the correlation of commanded and measured opening, the best of lags 1 to 10 steps."""
    found = []
    for lag in range(1, 11):
        command = np.concatenate([a[: max(len(a) - lag, 0), 6] for a in actions])
        opening = np.concatenate([s[lag:, 7] for s in states])
        if len(command) >= ENOUGH and command.std() > 0.05 and opening.std() > 0.05:
            found.append(float(np.corrcoef(command, opening)[0, 1]))
    return max(found) if found else None


def low(values: Numbers) -> float:
    """Return the 1st percentile."""
    return float(np.quantile(values, 0.01))


def high(values: Numbers) -> float:
    """Return the 99th percentile."""
    return float(np.quantile(values, 0.99))

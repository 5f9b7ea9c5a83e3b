"""What stands between an action and its execution, and between a state and what is told of it."""

from __future__ import annotations

from typing import cast

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from sim.conventions import ARM_LIMITS
from sim.engine import Values
from sim.errors import UserError
from sim.scene import Value
from sim.state import Array
from sim.streams import generator

MAX_LATENCY = 4
"""Most control steps that an action can be late."""

START = np.array([0.0] * 6 + [1.0])
"""The action that counts as the one before the first: at rest, gripper open."""

NOISY = np.array([*ARM_LIMITS, 0.0])
"""What the noise of an action is a share of: the arm's limits; the gripper gets none."""

SCALES = {"action.noise": NOISY, "observation.noise": np.ones(1)}
"""Knob -> what a standard deviation of 1 is."""


def latency(value: Value) -> int:
    """Return a drawn latency in control steps; what is no whole number from 0 to MAX_LATENCY is refused."""
    if not isinstance(value, float | int) or value not in range(MAX_LATENCY + 1):
        raise UserError(
            f"action.latency = {value!r} is not allowed. Allowed: whole numbers of control steps from 0 to "
            f'{MAX_LATENCY}; write the law as "action.latency =choice(0, 1, 2)".'
        )
    return int(value)


def finger_speed(value: Value) -> float:
    """Return a drawn `gripper.speed`, a share of the fingers' way per control step; 0 and less are refused."""
    if not isinstance(value, float | int) or not value > 0:
        raise UserError(
            f"gripper.speed = {value!r} is not allowed. Allowed: above 0, the share of the fingers' way that their set "
            'point moves in one control step; 1 is all of it. Write the law as "gripper.speed =U(0.1, 1)".'
        )
    return float(value)


def toward(fingers: Array, wanted: Array, speed: Array) -> Array:
    """Return where the fingers' set points (n,) are after a step towards `wanted` (n,), 0 closed to 1 open."""
    xp = array_namespace(fingers)
    wanted = xp.clip(wanted, 0.0, 1.0)
    return xp.where(speed >= 1, wanted, fingers + xp.clip(wanted - fingers, -speed, speed))


def episode_noise(path: str, drawn: Values, *, task: str, seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return what the knob `path` of SCALES adds in an episode, `shape` (steps, k), from a stream of its own."""
    amount = cast(float, drawn[path])
    if not amount:
        return np.zeros(shape)
    return generator(seed, task, path, "steps").standard_normal(shape) * (amount * SCALES[path])

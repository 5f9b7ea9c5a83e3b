"""What comes between an action and the robot: it comes late, and the fingers take their time."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.errors import UserError
from sim.scene import Value
from sim.state import Array

MAX_LATENCY = 4
"""Most control steps that an action can be late."""


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

"""Building blocks of scripted controllers: smooth, memoryless functions of State, so that a network can copy them.

Lengths in m, base frame. "share" is a number in [0, 1] that says how far a condition is met.
"""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts

SPEED, TURN = 0.9 * POSITION_LIMIT, 0.9 * ROTATION_LIMIT
"""Largest displacement and rotation per control step that a script asks for, m and rad."""

SIDE = 0.01
"""Farther than this beside the place of a grasp, m, fingers neither sink nor close."""


def share(value: Array, low: float, high: float) -> Array:
    """Return 0 where `value` is at `low`, 1 at `high`, and a smooth way between (3 x^2 - 2 x^3)."""
    xp = array_namespace(value)
    x = xp.clip((value - low) / (high - low), 0.0, 1.0)
    return x * x * (3 - 2 * x)


def shortened(vector: Array, limit: float) -> Array:
    """Return vectors (n, 3) that are no longer than `limit` and point where they did."""
    xp = array_namespace(vector)
    size = parts.length(vector)[:, None]
    return vector * (limit / xp.clip(size, limit, None))


def down(state: State, *, along: Array, period: float = math.pi) -> Array:
    """Return the rotation (n, 3), rad, that points the hand down and turns its x axis to the angle `along` (n,).

    The shorter way, where the hand looks the same after a turn by `period`: half a turn for its two fingers.
    """
    xp = array_namespace(state.q)
    hand = to_matrix(state.tcp[:, 3:])
    z = hand[:, :, 2]
    yaw = along - parts.heading(hand)
    yaw = yaw - period * xp.round(yaw / period)
    # hand z x (0, 0, -1) is the tilt; the yaw is about the vertical.
    return xp.stack([-z[:, 1], z[:, 0], yaw], axis=-1)


def act(move: Array, turn: Array, gripper: Array) -> Array:
    """Return actions (n, 7): a displacement and a rotation kept within the scripts' speed, and the gripper (n,)."""
    xp = array_namespace(move)
    return xp.concat([shortened(move, SPEED), shortened(turn, TURN), gripper[:, None]], axis=-1)


def face(state: State, name: str) -> Array:
    """Return the angle about z (n,) of an object's x axis, rad."""
    return parts.heading(to_matrix(state.poses[name][:, 3:]))


def held(state: State, name: str, *, grip: Array | None = None) -> Array:
    """Return whether the fingers are closed around an object at `grip` (n, 3), by default its centre, (n,) bool."""
    xp = array_namespace(state.q)
    way = parts.offset(state, name, grip=grip)
    inside = (parts.length(way[:, :2]) < 0.02) & (xp.abs(way[:, 2]) < 0.03)
    return inside & (parts.spare(state, name) < 0.006) & (state.contact > 1)

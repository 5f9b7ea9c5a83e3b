"""A bin's geometry: where it is filled, how high things are carried, what lies inside. Pure functions of State."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts

WALL = 0.006
"""Thickness of a bin's floor and walls, m."""

LOW = 0.075
"""Things are carried at least so high, m: over the other objects."""

TIP, PALM = 0.013, 0.028
"""From the TCP down to the fingertips and up to the palm, m, with room to spare."""

NEAR, REACH = 0.72, 0.785
"""A bin farther from the base than NEAR is filled at its near side, which lies within REACH, m."""


def axis(state: State) -> Array:
    """Return the axis of a cylinder, (n, 3), base frame; that of everything else points up."""
    xp = array_namespace(state.q)
    own = to_matrix(state.poses["target"][:, 3:])[:, :, 2]
    up = xp.asarray([0.0, 0.0, 1.0], dtype=own.dtype, device=device(own))
    round_foot = state.shapes.get("target", xp.zeros_like(state.table)) == 1
    return xp.where(round_foot[:, None], own, up)


def lowest(state: State) -> Array:
    """Return how far the target's lowest point lies below its centre, (n,), m."""
    xp = array_namespace(state.q)
    half, up = state.half_sizes["target"], xp.abs(to_matrix(state.poses["target"][:, 3:])[:, 2, :])
    shape = state.shapes.get("target", xp.zeros_like(state.table))
    rolled = half[:, 0] * xp.sqrt(xp.clip(1 - up[:, 2] ** 2, 0.0, None)) + half[:, 2] * up[:, 2]
    return xp.where(shape == 0, xp.sum(up * half, axis=-1), xp.where(shape == 1, rolled, half[:, 0]))


def inside(state: State) -> Array:
    """Return whether the target is in the bin, held or not, (n,)."""
    xp = array_namespace(state.q)
    frame, size = state.fixtures["bin"], state.half_sizes["bin"]
    way = state.poses["target"][:, :3] - frame[:, :3]
    local = xp.sum(to_matrix(frame[:, 3:]) * way[:, :, None], axis=1)
    return xp.all(xp.abs(local[:, :2]) < size[:, :2], axis=-1) & (local[:, 2] - lowest(state) < 0.02)


def at_rest(state: State) -> Array:
    """Return whether the target lies still, (n,): what is round may turn where it lies.

    A can that leans on a wall can go on turning in place in MuJoCo, at some 1 rad/s.
    """
    slow = parts.length(state.twists["target"][:, :3]) < parts.STILL_SPEED
    return parts.still(state, "target") | (slow & (parts.boxy(state, "target") == 0))


def rim(state: State) -> Array:
    """Return the height of the bin's rim above the table, (n,), m."""
    return state.fixtures["bin"][:, 2] - state.table + 2 * state.half_sizes["bin"][:, 2]


def clear(state: State) -> Array:
    """Return the height over which the target is carried, (n,), m above the table."""
    return array_namespace(state.q).clip(rim(state) + 0.02, LOW, None)


def grip(state: State) -> Array:
    """Return where the target is grasped, (n, 3), base frame: its centre, or so high that the palm has room."""
    xp = array_namespace(state.q)
    above = xp.clip(state.half_sizes["target"][:, 2:] * xp.abs(axis(state)[:, 2:]) - PALM, 0.0, None)
    return state.poses["target"][:, :3] + xp.concat([0 * above, 0 * above, above], axis=-1)


def spot(center: Array, facing: Array, room: Array) -> Array:
    """Return where a bin is filled, (n, 2), base frame: in the middle, or nearer to the base where that is far.

    `center` (n, 2) and `facing` (n, 2), its x axis, say where the bin is; `room` (n, 2) how far off the middle, m.
    """
    xp = array_namespace(center)
    far = parts.length(center)[:, None]
    back = center * (xp.clip(far, None, NEAR) / far - 1)
    side = xp.stack([-facing[:, 1], facing[:, 0]], axis=-1)
    along = [xp.sum(back * axis, axis=-1) for axis in (facing, side)]
    x, y = (xp.minimum(xp.maximum(along[k], -room[:, k]), room[:, k])[:, None] for k in (0, 1))
    return center + x * facing + y * side


def _room(state: State) -> Array:
    """Return how far from the bin's middle the target's centre may lie along its sides, (n, 2), m."""
    xp = array_namespace(state.q)
    half, boxy = state.half_sizes["target"], parts.boxy(state, "target")
    around = xp.where(boxy > 0, parts.length(half[:, :2]), half[:, 0])
    return xp.clip(state.half_sizes["bin"][:, :2] - around[:, None] - 0.01, 0.0, None)


def slack(state: State) -> Array:
    """Return how far beside `goal` the target may be let go, (n,), m: farther in a larger bin.

    An arm with friction stops short, and hangs there, where it may not let go yet.
    """
    xp = array_namespace(state.q)
    return xp.clip(0.5 * xp.min(_room(state), axis=-1), 0.02, 0.035)


def goal(state: State) -> Array:
    """Return where the target's centre is let go, (n, 3), base frame: near the floor, fingertips above the rim."""
    xp = array_namespace(state.q)
    frame, half = state.fixtures["bin"], state.half_sizes["target"]
    place = spot(frame[:, :2], to_matrix(frame[:, 3:])[:, :2, 0], _room(state))
    above = (grip(state) - state.poses["target"][:, :3])[:, 2]
    height = xp.maximum(frame[:, 2] + WALL + half[:, 2] + 0.012, state.table + rim(state) + TIP - above)
    return xp.concat([place, height[:, None]], axis=-1)

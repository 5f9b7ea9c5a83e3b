"""How a hand and a peg stand to each other: what the peg's script follows and its expert is shown."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts

NEAR = 0.5
"""Distance from the base at which the arm can point the hand back at it, m: a peg farther away is drawn near."""

LEAN = 0.35
"""How far from the vertical the hand leans back to grasp a peg that points straight away from the robot, rad."""

BACK = 0.3
"""The hand's x axis never points back at the robot by more than this (a cosine): the wrist has room to turn."""


def axis(state: State) -> Array:
    """Return the peg's long axis, (n, 3), in the sense that agrees with the hand's x."""
    xp = array_namespace(state.q)
    own = to_matrix(state.poses["target"][:, 3:])[:, :, 0]
    agreement = xp.sum(own * to_matrix(state.tcp[:, 3:])[:, :, 0], axis=-1)
    return xp.where(agreement[:, None] < 0, -own, own)


def outward(state: State) -> Array:
    """Return the direction from the base to the peg in the plane, (n, 2)."""
    xp = array_namespace(state.q)
    place = state.poses["target"][:, :2]
    return place / xp.clip(parts.length(place), 0.05, None)[:, None]


def lowest(state: State) -> Array:
    """Return the height of the peg's lowest point above the table, (n,), m."""
    xp = array_namespace(state.q)
    half, steep = state.half_sizes["target"], xp.abs(axis(state)[:, 2])
    height = state.poses["target"][:, 2] - state.table
    return height - half[:, 0] * steep - half[:, 1] * xp.sqrt(xp.clip(1 - steep**2, 0.0, 1.0))


def local(state: State) -> Array:
    """Return the way from the TCP to the peg's centre in the hand's frame, (n, 3), m."""
    xp = array_namespace(state.q)
    return xp.sum(to_matrix(state.tcp[:, 3:]) * parts.offset(state, "target")[:, :, None], axis=1)


def held(state: State) -> Array:
    """Return whether the fingers are closed around the peg, (n,) bool; it may have slipped along its length."""
    local_way = array_namespace(state.q).abs(local(state))
    inside = (local_way[:, 0] < 0.05) & (local_way[:, 1] < 0.012) & (local_way[:, 2] < 0.03)
    return inside & (parts.spare(state, "target") < 0.006) & (state.contact > 1)


def across(state: State) -> Array:
    """Return the rotation (n, 3), rad, that brings the fingers across the peg and the hand into the pose of a grasp.

    The hand points down, and leans back along a peg that points away from the robot: it reaches farther, and need not
    lie level when the peg stands.
    """
    xp = array_namespace(state.q)
    hand, along = to_matrix(state.tcp[:, 3:]), axis(state)
    facing = xp.sum(along[:, :2] * outward(state), axis=-1)
    sense = xp.where(facing < -BACK, -1.0, 1.0) / xp.clip(parts.length(along[:, :2]), 0.01, None)
    lean = LEAN * xp.clip(xp.abs(facing), 0.0, 1.0)
    level = xp.concat([sense[:, None] * along[:, :2], xp.zeros_like(along[:, :1])], axis=-1)
    up = xp.asarray([0.0, 0.0, 1.0], dtype=along.dtype, device=device(along))
    cos, sin = xp.cos(lean)[:, None], xp.sin(lean)[:, None]
    x, z = cos * level + sin * up, sin * level - cos * up
    wanted = xp.stack([x, xp.linalg.cross(z, x), z], axis=-1)
    return 0.5 * xp.sum(xp.linalg.cross(hand, wanted, axis=1), axis=-1)


def erect(state: State) -> Array:
    """Return the rotation (n, 3), rad, that brings a held peg to the vertical, the end in front of the hand below.

    A hand that holds a peg that points outward ends pointing back at the robot, its wrist above the table.
    """
    xp = array_namespace(state.q)
    along = axis(state)
    sense = xp.where(along[:, 2] > 0.5, 1.0, -1.0)
    # About along x (0, 0, sense): the shortest way.
    about = xp.stack([along[:, 1], -along[:, 0], xp.zeros_like(sense)], axis=-1) * sense[:, None]
    sine = parts.length(about)
    angle = xp.atan2(sine, sense * along[:, 2])
    return about * (angle / xp.clip(sine, 0.01, None))[:, None]


def inward(state: State) -> Array:
    """Return the way (n, 2), m, to where the arm can set the peg up: towards the base, until it is `NEAR`."""
    xp = array_namespace(state.q)
    distance = parts.length(state.poses["target"][:, :2])
    return -outward(state) * xp.clip(distance - NEAR, 0.0, None)[:, None]

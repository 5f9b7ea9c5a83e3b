"""Building blocks of observations, rewards and success: pure functions of State, batched over n worlds.

Lengths in m, base frame, heights above the table top; every reward term in [0, 1].
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace, device

from sim.conventions import ARM_LIMITS, OPENING_MAX
from sim.packed import packed
from sim.rotations import to_matrix
from sim.state import Array, State

STILL_SPEED, STILL_TURN = 0.03, 0.5
"""An object slower than this, m/s and rad/s, lies still."""

OUT_OF_REACH = 2.0
"""An object farther than this from the robot's base, m, has been thrown; the episode ends."""

FREE_FORCE = 0.5
"""Less contact force than this on hand and fingers, N: nothing is held or touched."""


def ground(state: State) -> Array:
    """Return the point of the table top below the base, (n, 3)."""
    xp = array_namespace(state.q)
    zero = xp.zeros_like(state.table)
    return xp.stack([zero, zero, state.table], axis=-1)


def flag(condition: Array, like: Array) -> Array:
    """Return a condition (n,) as numbers 0 and 1 of the type of `like`."""
    return array_namespace(like).astype(condition, like.dtype)


def length(vector: Array) -> Array:
    """Return the lengths (n,) of vectors (n, k)."""
    xp = array_namespace(vector)
    return xp.sqrt(xp.sum(vector**2, axis=-1))


def offset(state: State, name: str, *, grip: Array | None = None) -> Array:
    """Return the way from the TCP to `grip` (n, 3), base frame, by default to the object's centre, (n, 3), m."""
    return (state.poses[name][:, :3] if grip is None else grip) - state.tcp[:, :3]


def height(state: State, name: str) -> Array:
    """Return the height of an object's underside above the table, (n,), as if it lay as it began."""
    return state.poses[name][:, 2] - state.half_sizes[name][:, 2] - state.table


def boxy(state: State, name: str) -> Array:
    """Return 1 where the object is a box and 0 where it is round, (n,)."""
    xp = array_namespace(state.q)
    shape = state.shapes.get(name)
    return xp.ones_like(state.table) if shape is None else flag(shape == 0, state.table)


def yaw_features(state: State, name: str) -> Array:
    """Return cos and sin of 4 x the angle between hand and box about z, (n, 2); (1, 0) for what is round.

    A box looks the same after every quarter turn, and so do these.
    """
    xp = array_namespace(state.q)
    hand, item = to_matrix(state.tcp[:, 3:]), to_matrix(state.poses[name][:, 3:])
    angle = heading(item) - heading(hand)
    angle = angle * boxy(state, name)
    return xp.stack([xp.cos(4 * angle), xp.sin(4 * angle)], axis=-1)


def hand_features(state: State) -> Array:
    """Return TCP above the table (3), its x and z axes (6), opening fraction, (n, 10)."""
    xp = array_namespace(state.q)
    hand = to_matrix(state.tcp[:, 3:])
    opening = state.opening[:, None] / OPENING_MAX
    return xp.concat([state.tcp[:, :3] - ground(state), hand[:, :, 0], hand[:, :, 2], opening], axis=-1)


def object_features(state: State, name: str) -> Array:
    """Return object - TCP (3), yaw (2), place above the table (3), half size (3), boxy, underside, (n, 13)."""
    xp = array_namespace(state.q)
    parts = [
        offset(state, name),
        yaw_features(state, name),
        state.poses[name][:, :3] - ground(state),
        state.half_sizes[name],
        boxy(state, name)[:, None],
        height(state, name)[:, None],
    ]
    return xp.concat(parts, axis=-1)


def heading(rotation: Array) -> Array:
    """Return the angle about z of the x axis of rotations (n, 3, 3), (n,), rad."""
    return bearing(rotation[:, :, 0])


def bearing(vector: Array) -> Array:
    """Return the angle about z, from +x, of vectors (n, 2) or (n, 3), (n,), rad."""
    return array_namespace(vector).atan2(packed(vector[:, 1]), packed(vector[:, 0]))


def speed_features(state: State, name: str) -> Array:
    """Return the object's linear velocity, (n, 3), m/s."""
    return state.twists[name][:, :3]


def spare(state: State, name: str) -> Array:
    """Return how much wider the fingers are open than the object is, (n,), m."""
    return state.opening - 2 * state.half_sizes[name][:, 1]


def grasp_terms(state: State, name: str, *, grip: Array | None = None) -> dict[str, Array]:
    """Return terms that lead the open hand to an object and close it there; `grip` (n, 3) is where to grasp it."""
    xp = array_namespace(state.q)
    distance = length(offset(state, name, grip=grip))
    near = xp.exp(-((distance / 0.02) ** 2))
    gap = spare(state, name)
    return {
        "reach": 1 - xp.tanh(5 * distance),
        "reach_fine": near,
        "align": near * (0.5 + 0.5 * yaw_features(state, name)[:, 0]),
        "close": near * xp.clip(1 - gap / 0.04, 0.0, 1.0),
        "grasp": near * xp.clip(state.contact / 20.0, 0.0, 1.0) * flag(xp.abs(gap) < 0.006, near),
    }


GRASP_WEIGHTS = {"reach": 1.0, "reach_fine": 0.5, "align": 0.5, "close": 0.5, "grasp": 1.0}


def motion_terms(state: State, action: Array, previous: Array) -> dict[str, Array]:
    """Return terms that keep the hand upright and its motion calm and smooth."""
    xp = array_namespace(state.q)
    unit = xp.asarray([*ARM_LIMITS, 1.0], device=device(action))
    effort = xp.sum((action[:, :6] / unit[:6]) ** 2, axis=-1)
    change = xp.sum(((action - previous) / unit) ** 2, axis=-1)
    return {
        "upright": xp.clip(-to_matrix(state.tcp[:, 3:])[:, 2, 2], 0.0, 1.0),
        "calm": xp.exp(-effort),
        "smooth": xp.exp(-change),
    }


MOTION_WEIGHTS = {"upright": 1.0, "calm": 0.25, "smooth": 0.25}


def thrown(state: State) -> Array:
    """Return whether an object is lost, (n,) bool: it is out of reach or has fallen off the table."""
    lost = array_namespace(state.table).zeros_like(state.table) > 0
    for name, pose in state.poses.items():
        far = length(pose[:, :3]) > OUT_OF_REACH
        lost = lost | ((far | (pose[:, 2] < state.table - 0.1)) & state.present.get(name, True))
    return lost


def still(state: State, name: str) -> Array:
    """Return whether an object lies still, (n,) bool."""
    twist = state.twists[name]
    return (length(twist[:, :3]) < STILL_SPEED) & (length(twist[:, 3:]) < STILL_TURN)


def released(state: State) -> Array:
    """Return whether hand and fingers touch nothing, (n,) bool."""
    return state.contact < FREE_FORCE


def concat(*parts: Any) -> Array:
    """Return features joined along their last axis."""
    return array_namespace(*parts).concat(parts, axis=-1)

"""Pushing and pulling: where the region lies, and what both tasks observe, reward and judge."""

from __future__ import annotations

import math
from collections.abc import Mapping

from array_api_compat import array_namespace

from sim.conventions import OPENING_MAX
from sim.fixtures import region
from sim.rotations import to_matrix
from sim.scene import Value
from sim.state import Array, State
from tasks import parts
from tasks.layout import Dice, Layout, Place
from tasks.randomization import knobs
from tasks.task import Terms

RADIUS = 0.06
"""Radius of the region, m."""

GOAL = region("goal", radius=RADIUS, position=(0.67, 0.0), color=(0.75, 0.1, 0.35))

FRICTION = knobs("target.friction *U(0.6, 1.6)")
"""What slides must not stick: with more it tips over."""

WEIGHTS = {
    "reach": 1.0,
    "reach_fine": 0.5,
    "closed": 0.5,
    "slide": 3.0,
    "place": 2.0,
    "success": 2.0,
    **parts.MOTION_WEIGHTS,
}


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place], *, ahead: float) -> dict[str, Value]:
    """Draw the region and keep the way there free; `ahead` is 1 beyond the target, -1 between it and the robot."""
    x, y = places["target"]
    angle, distance = dice.uniform(-0.5, 0.5), dice.uniform(0.14, 0.22)
    goal = (x + ahead * distance * math.cos(angle), y + distance * math.sin(angle))
    layout.take((x - ahead * 0.1, y), radius=0.07, to=goal)
    return {"goal.position": goal}


def to_goal(state: State) -> Array:
    """Return the vector in the plane from the target to the region's centre, (n, 2)."""
    return state.fixtures["goal"][:, :2] - state.poses["target"][:, :2]


def behind(state: State, *, gap: float) -> Array:
    """Return where the hand moves the target from, (n, 3): `gap` m off the side that is turned from the region.

    It is low, so that the target slides rather than tips.
    """
    xp = array_namespace(state.q)
    way = to_goal(state)
    distance = xp.clip(parts.length(way), 0.02, 10.0)[:, None]
    reach = (state.half_sizes["target"][:, :1] + gap) * way / distance
    low = state.table[:, None] + xp.clip(0.6 * state.half_sizes["target"][:, 2:], 0.013, 1.0)
    return xp.concat([state.poses["target"][:, :2] - reach, low], axis=-1)


def approach(state: State) -> Array:
    """Return the way from the TCP to `behind`, (n, 3), m, over the target where it lies on the way."""
    xp = array_namespace(state.q)
    way = behind(state, gap=0.02) - state.tcp[:, :3]
    above = 2 * state.half_sizes["target"][:, 2] + 0.03
    aside = xp.sum(way[:, :2] ** 2, axis=-1)
    rise = above * (1 - xp.exp(-aside / 0.05**2))
    return xp.concat([way[:, :2], way[:, 2:] + rise[:, None]], axis=-1)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 32): hand, target, tilt, velocity, ways to region and `behind`."""
    return parts.concat(
        parts.hand_features(state),
        parts.object_features(state, "target"),
        to_matrix(state.poses["target"][:, 3:])[:, 2, 2:],
        parts.speed_features(state, "target"),
        to_goal(state),
        approach(state),
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    distance = parts.length(to_goal(state))
    start = parts.length(approach(state))
    done = parts.flag(success(state), state.q)
    return {
        "reach": xp.maximum(1 - xp.tanh(5 * start), done),
        "reach_fine": xp.maximum(xp.exp(-((start / 0.03) ** 2)), done),
        "closed": 1 - xp.clip(state.opening / OPENING_MAX, 0.0, 1.0),
        "slide": 1 - xp.tanh(6 * distance),
        "place": xp.exp(-((distance / 0.05) ** 2)),
        "success": done,
        **parts.motion_terms(state, action, previous),
    }


def success(state: State) -> Array:
    """Return whether the target's centre is over the region and the target lies on the table, (n,)."""
    xp = array_namespace(state.q)
    low = xp.abs(parts.height(state, "target")) < 0.015
    return (parts.length(to_goal(state)) < RADIUS) & low

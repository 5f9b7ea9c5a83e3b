"""Grasping from above: hover, turn, sink, close, raise."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from sim.state import Array, State
from tasks import parts
from tasks.scripted import moves

HOVER, RAISE = 0.07, 0.12
"""The hand comes from this far above the object; where the task asks for no more, it is raised so far, m."""


def approach(
    state: State, name: str, *, grip: Array | None = None, hover: Array | float = HOVER, twist: Array | float = 0.0
) -> tuple[Array, Array, Array]:
    """Return displacement (n, 3), rotation (n, 3) and gripper (n,) that bring the open hand to an object and close it.

    The way down is a funnel: the farther beside the object, the higher, up to `hover` m. The object is grasped at
    `grip` (n, 3), by default at its centre; what is round from any side, or after a turn by `twist` (n,) rad.
    """
    xp = array_namespace(state.q)
    way = parts.offset(state, name, grip=grip)
    beside = parts.length(way[:, :2])
    rise = hover * moves.share(beside, 0.004, 0.05)
    turn = moves.down(state, along=moves.face(state, name), period=math.pi / 2)
    turn = xp.concat([turn[:, :2], (turn[:, 2] * parts.boxy(state, name) + twist)[:, None]], axis=-1)
    crooked = HOVER * 0.6 * moves.share(xp.abs(turn[:, 2]), 0.1, 0.5)
    move = xp.concat([way[:, :2], way[:, 2:] + xp.maximum(rise, crooked)[:, None]], axis=-1)
    there = (beside < moves.SIDE) & (xp.abs(way[:, 2]) < 0.01)
    return move, turn, 1 - parts.flag(there, way)


def lift(state: State, name: str = "target") -> Array:
    """Return actions (n, 7) that pick up an object and hold it `RAISE` above the table."""
    xp = array_namespace(state.q)
    move, turn, gripper = approach(state, name)
    gap = xp.clip(RAISE - parts.height(state, name), 0.0, None)
    up = xp.stack([0 * gap, 0 * gap, gap], axis=-1)
    held = moves.held(state, name)[:, None]
    return moves.act(xp.where(held, up, move), xp.where(held, 0 * turn, turn), xp.where(held[:, 0], 0 * gap, gripper))

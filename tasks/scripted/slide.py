"""Pushing and pulling with closed fingers: get behind the object, then steer it into the region."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.state import Array, State
from tasks import parts, sliding
from tasks.scripted import moves

GAP = 0.025
"""The hand comes down so far behind the object's side, m."""

PUSH = 0.015
"""Largest displacement per step while it pushes, m: what is struck harder slides on by itself."""

ENOUGH = 0.012
"""Nearer to the region's centre than this, m, the object stays where it is."""


def slide(state: State) -> Array:
    """Return actions (n, 7) that move the target into the region."""
    xp = array_namespace(state.q)
    goal = sliding.to_goal(state)
    distance = parts.length(goal)
    ahead = goal / xp.clip(distance, 1e-3, None)[:, None]
    left = xp.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
    way = -parts.offset(state, "target")
    # The hand as the object sees it: how far behind it and how far aside of the line to the region.
    back, aside = -xp.sum(way[:, :2] * ahead, axis=-1), xp.sum(way[:, :2] * left, axis=-1)
    reach = state.half_sizes["target"][:, 0] + 0.009
    top = 2 * state.half_sizes["target"][:, 2]
    clearance = state.tcp[:, 2] - state.table
    down = 1 - moves.share(clearance, 0.6 * top, 0.9 * top)
    behind = moves.share(back, 0.3 * reach, 0.8 * reach) * (1 - moves.share(xp.abs(aside), 0.012, 0.022)) * down
    lack = reach + GAP - back
    to_start = parts.length(xp.stack([lack, aside], axis=-1))
    rise = (top + 0.035) * moves.share(to_start, 0.010, 0.035) * (1 - behind)
    start = -lack[:, None] * ahead - aside[:, None] * left
    speed = xp.clip(0.25 * distance, 0.004, PUSH)
    push = speed[:, None] * ahead - (1.2 * aside)[:, None] * left
    plane = behind[:, None] * push + (1 - behind[:, None]) * start
    there = moves.share(distance, ENOUGH, 2 * ENOUGH)[:, None]
    low = xp.clip(0.3 * top, 0.013, None) - clearance
    move = xp.concat([plane * there, (low + rise)[:, None] * there], axis=-1)
    turn = moves.down(state, along=parts.bearing(ahead)) * there
    return moves.act(move, turn, xp.zeros_like(low))

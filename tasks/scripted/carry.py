"""Putting something somewhere: grasp it, carry it over, lower it, let go, draw back."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.state import Array, State
from tasks import parts, place_in_bin, stack_cube
from tasks.scripted import grasp, moves

DRAW_BACK = 0.06
"""After letting go the hand rises so far above the object's centre, m."""


def carry(state: State, *, goal: Array, clear: Array, placed: Array, near: float) -> Array:
    """Return actions (n, 7) that bring the target's centre to `goal` (n, 3), its underside `clear` (n,) m high.

    `placed` (n,) bool says that it may be let go; `near` m beside the goal it is lowered.
    """
    xp = array_namespace(state.q)
    move, turn, gripper = grasp.approach(state, "target")
    item = state.poses["target"][:, :3]
    way = goal - item
    beside = parts.length(way[:, :2])
    height = parts.height(state, "target")
    # Up first, sideways as soon as it is nearly up, down only over the goal: a funnel again.
    free = xp.maximum(moves.share(height, 0.6 * clear, 0.95 * clear), 1 - moves.share(beside, near, 2 * near))
    level = 1.5 * (clear + 0.012 - height) * moves.share(beside, 0.5 * near, 1.5 * near)
    sink = xp.clip(way[:, 2] * (1 - moves.share(beside, 0.3 * near, near)), -0.02, None)
    carried = xp.concat([way[:, :2] * free[:, None], (level + sink)[:, None]], axis=-1)
    held = moves.held(state, "target")
    back = parts.offset(state, "target")[:, 2] + DRAW_BACK
    zero = xp.zeros_like(way)
    loose = moves.share(parts.spare(state, "target"), 0.010, 0.025)
    away = xp.stack([zero[:, 0], zero[:, 1], xp.clip(back, 0.0, 0.03) * loose], axis=-1)
    move = xp.where(placed[:, None], away, xp.where(held[:, None], carried, move))
    turn = xp.where((placed | held)[:, None], 0 * turn, turn)
    gripper = xp.where(placed, 0 * gripper + 1, xp.where(held, 0 * gripper, gripper))
    return moves.act(move, turn, gripper)


def stack(state: State) -> Array:
    """Return actions (n, 7) that put the target onto the base."""
    xp = array_namespace(state.q)
    way = stack_cube.place(state) - state.poses["target"][:, :3]
    tight = (parts.length(way[:, :2]) < 0.007) & (xp.abs(way[:, 2]) < 0.005)
    let_go = stack_cube.stacked(state) & (tight | (parts.spare(state, "target") > 0.004))
    clear = 2 * state.half_sizes["base"][:, 2]
    return carry(state, goal=stack_cube.place(state), clear=clear, placed=let_go, near=0.012)


def fill(state: State) -> Array:
    """Return actions (n, 7) that drop the target into the bin."""
    xp = array_namespace(state.q)
    goal = place_in_bin.goal(state)
    goal = xp.concat([goal[:, :2], goal[:, 2:] + 0.012], axis=-1)
    way = goal - state.poses["target"][:, :3]
    over = (parts.length(way[:, :2]) < 0.02) & (way[:, 2] > -0.012)
    clear = 0 * state.table + place_in_bin.RIM + 0.012
    return carry(state, goal=goal, clear=clear, placed=over | place_in_bin.inside(state), near=0.03)

"""Putting something somewhere: grasp it, carry it over, lower it, let go, draw back."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from sim.state import Array, State
from tasks import bins, parts, stack_cube
from tasks.scripted import grasp, moves

DRAW_BACK = 0.06
"""After letting go the hand rises so far above the object's centre, m."""

OPEN_CLEAR = 0.03
"""On its way to an object the empty hand's TCP is so far above the height over which objects are carried, m."""

CLOSE = 0.09
"""Objects whose centres are less than this apart, m, leave no room for a finger between them, whatever their yaw."""

FAST = 0.042
"""Most that a hand with something in it moves aside per control step, m: less than it can, so that it keeps height."""

EAGER = 1.6
"""Share of the way left that is asked for per step: small displacements get lost in an arm with friction."""


def carry(state: State, *, goal: Array, clear: Array, placed: Array, near: float, twist: Array) -> Array:
    """Return actions (n, 7) that bring the target's centre to `goal` (n, 3), its underside `clear` (n,) m high.

    `placed` (n,) bool says that it may be let go; `near` m beside the goal it is lowered. `twist` (n,) rad is added to
    the turn of the grasp.
    """
    move, turn, gripper = grasp.approach(state, "target", twist=twist)
    held = moves.held(state, "target")
    carried = _carried(state, goal=goal, clear=clear, near=near)
    away = _away(state, up=DRAW_BACK)
    ways = (move, carried, away), (turn, 0 * turn, 0 * turn)
    return _act(*ways, gripper, held=held, placed=placed)


def _act(
    move: tuple[Array, Array, Array],
    turn: tuple[Array, Array, Array],
    gripper: Array,
    *,
    held: Array,
    placed: Array,
) -> Array:
    """Return actions (n, 7): of the three moves and turns (n, 3) the first, while `held` the second, `placed` the last.

    The fingers are closed while `held`, open when `placed`, and do what `gripper` (n,) says before.
    """
    xp = array_namespace(gripper)

    def chosen(before: Array, with_it: Array, after: Array) -> Array:
        return xp.where(placed[:, None], after, xp.where(held[:, None], with_it, before))

    gripper = xp.where(placed, 0 * gripper + 1, xp.where(held, 0 * gripper, gripper))
    return moves.act(chosen(*move), chosen(*turn), gripper)


def _carried(
    state: State, *, goal: Array, clear: Array, near: float, speed: float = math.inf, gain: float = 1.0
) -> Array:
    """Return displacements (n, 3) of a hand that holds the target, aside no more than `speed` m.

    It asks for `gain` times the way that is left.
    """
    xp = array_namespace(state.q)
    item = state.poses["target"][:, :3]
    way = goal - item
    beside = parts.length(way[:, :2])
    height = parts.height(state, "target")
    # Up first, sideways as soon as it is nearly up, down only over the goal: a funnel again.
    free = xp.maximum(moves.share(height, 0.6 * clear, 0.95 * clear), 1 - moves.share(beside, near, 2 * near))
    level = 1.5 * (clear + 0.012 - height) * moves.share(beside, 0.5 * near, 1.5 * near)
    sink = xp.clip(gain * way[:, 2] * (1 - moves.share(beside, 0.3 * near, near)), -0.02, None)
    aside = moves.shortened(gain * way[:, :2], speed) if math.isfinite(speed) else gain * way[:, :2]
    return xp.concat([aside * free[:, None], (level + sink)[:, None]], axis=-1)


def _away(state: State, *, up: Array | float) -> Array:
    """Return displacements (n, 3) of a hand that has let go: `up` m above the target's centre, once it is open."""
    xp = array_namespace(state.q)
    back = parts.offset(state, "target")[:, 2] + up
    loose = moves.share(parts.spare(state, "target"), 0.010, 0.025)
    return xp.stack([0 * back, 0 * back, xp.clip(back, 0.0, 0.03) * loose], axis=-1)


def _twist(state: State) -> Array:
    """Return by what the hand turns farther for its grasp, (n,), rad, where a finger would come down on the base.

    Then the fingers close across the way to the base, along the target's faces.
    """
    way = state.poses["base"][:, :2] - state.poses["target"][:, :2]
    quarter, boxy, face = math.pi / 2, parts.boxy(state, "target"), moves.face(state, "target")
    across = parts.bearing(way)
    off = across - face
    along = across - boxy * (off - quarter * array_namespace(off).round(off / quarter))
    usual = moves.down(state, along=face, period=quarter)[:, 2] * boxy
    close = parts.flag(parts.length(way) < CLOSE, state.q)
    return (moves.down(state, along=along)[:, 2] - usual) * close


def stack(state: State) -> Array:
    """Return actions (n, 7) that put the target onto the base."""
    xp = array_namespace(state.q)
    way = stack_cube.place(state) - state.poses["target"][:, :3]
    tight = (parts.length(way[:, :2]) < 0.007) & (xp.abs(way[:, 2]) < 0.005)
    let_go = stack_cube.stacked(state) & (tight | (parts.spare(state, "target") > 0.004))
    clear = 2 * state.half_sizes["base"][:, 2]
    return carry(state, goal=stack_cube.place(state), clear=clear, placed=let_go, near=0.012, twist=_twist(state))


def fill(state: State) -> Array:
    """Return actions (n, 7) that drop the target into the bin; the hand stays upright on its long way there."""
    xp = array_namespace(state.q)
    goal, grip, clear = bins.goal(state), bins.grip(state), bins.clear(state)
    item, half = state.poses["target"][:, :3], state.half_sizes["target"][:, 2]
    way = goal - item
    placed = bins.inside(state) | ((parts.length(way[:, :2]) < bins.slack(state)) & (way[:, 2] > -0.03))
    # An open hand passes over rims and other objects too.
    hover = xp.clip(clear + OPEN_CLEAR - (item[:, 2] - state.table), grasp.HOVER, None)
    # A can that has fallen over is grasped across its axis.
    axis = bins.axis(state)
    lying = 1 - moves.share(xp.abs(axis[:, 2]), 0.3, 0.8)
    twist = moves.down(state, along=parts.bearing(axis))[:, 2] * lying
    move, turn, gripper = grasp.approach(state, "target", grip=grip, hover=hover, twist=twist)
    held = moves.held(state, "target", grip=grip)
    carried = _carried(state, goal=goal, clear=clear, near=0.04, speed=FAST, gain=EAGER)
    # Until the fingers have opened the hand goes on down: where it stops and where it lets go, a copy would do neither.
    loose = moves.share(parts.spare(state, "target"), 0.002, 0.010)
    away = _away(state, up=xp.clip(half + 0.03, DRAW_BACK, None)) + carried * (1 - loose)[:, None]
    upright = xp.concat([turn[:, :2], 0 * turn[:, 2:]], axis=-1)
    ways = (move, carried, away), (turn, upright, 0 * turn)
    return _act(*ways, gripper, held=held, placed=placed)

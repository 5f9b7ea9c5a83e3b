"""Opening a door: grip a handle that stands, hook closed fingers behind one that lies, lead it along its arc."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.state import Array, State
from tasks import doors, open_door, parts
from tasks.scripted import moves

WANTED = open_door.OPEN + 0.12
"""The door is led to this angle, rad."""

HOVER = 0.075
"""So far above the middle of a handle that lies the TCP travels, m: the fingertips 4.5 cm above its upper side."""

ASIDE = 0.09
"""So far before its place the hand waits until it is turned, m: its broad side would touch the leaf."""


def pull(state: State) -> Array:
    """Return actions (n, 7) that open the door by its handle."""
    xp = array_namespace(state.q)
    door = doors.view(state)
    lies = door.lies[:, None] > 0.5
    return xp.where(lies, _hook(state, door), _grip(state, door))


def _lead(door: doors.View) -> Array:
    """Return the way of the handle on its circle about the hinge, (n, 3), less as the door comes to be open."""
    xp = array_namespace(door.angle)
    arm = doors.turned(door, door.bar - door.hinge)
    left = door.side * xp.clip(WANTED - door.angle, 0.0, 0.15)
    return xp.stack([left * arm[:, 1], -left * arm[:, 0], 0 * left], axis=-1)


def _grip(state: State, door: doors.View) -> Array:
    """Return actions (n, 7): sink with open fingers over a handle that stands, close them, lead it."""
    xp = array_namespace(state.q)
    way = doors.place(door) - state.tcp[:, :3]
    beside = parts.length(way[:, :2])
    rise = 0.07 * moves.share(beside, 0.006, 0.05)
    turn = moves.down(state, along=doors.heading(door))
    there = (beside < 0.012) & (xp.abs(way[:, 2]) < 0.015)
    held = (beside < 0.022) & (xp.abs(way[:, 2]) < 0.03) & (state.opening - door.thickness < 0.006)
    move = xp.concat([way[:, :2], way[:, 2:] + rise[:, None]], axis=-1)
    move = xp.where(held[:, None], _lead(door) + 0.5 * way, move)
    return moves.act(move, xp.where(held[:, None], 0 * turn, turn), 1 - parts.flag(there | held, state.q))


def _hook(state: State, door: doors.View) -> Array:
    """Return actions (n, 7): turn the hand along the door, sink behind a handle that lies, draw it out.

    Everything is measured in the frame of the turned door: how far the TCP is behind the handle, aside and above it.
    """
    xp = array_namespace(state.q)
    ahead = doors.inward(door)[:, :2]
    left = xp.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
    away = state.tcp[:, :3] - doors.at(door, door.bar)
    back, aside, up = xp.sum(away[:, :2] * ahead, axis=-1), xp.sum(away[:, :2] * left, axis=-1), away[:, 2]
    turn = moves.down(state, along=doors.heading(door), period=2 * xp.pi)
    crooked = xp.abs(turn[:, 2])
    lack = doors.BEHIND - back
    off = parts.length(xp.stack([lack, aside], axis=-1))
    low = 1 - moves.share(up, 0.016, 0.03)
    within = moves.share(back, 0.008, 0.016) * (1 - moves.share(back, 0.062, 0.072))
    inside = low * within * (1 - moves.share(xp.abs(aside), 0.045, 0.055))
    # Not yet there: above the handle, and before it until the hand is turned. What is low and beside rises first.
    high = moves.share(off + 0.04 * moves.share(crooked, 0.15, 0.4), 0.010, 0.035) * (1 - inside)
    near = moves.share(off, 0.02, 0.04) * (1 - moves.share(off, 0.14, 0.22))
    free = 1 - near * (1 - moves.share(up, 0.03, 0.055))
    goal = lack - ASIDE * moves.share(crooked, 0.3, 0.9)
    start = free[:, None] * (goal[:, None] * ahead - aside[:, None] * left)
    draw = _lead(door)[:, :2] - (0.5 * aside)[:, None] * left
    plane = inside[:, None] * draw + (1 - inside)[:, None] * start
    going = 1 - moves.share(door.angle, WANTED - 0.06, WANTED)
    move = xp.concat([plane, (HOVER * high - up)[:, None]], axis=-1) * going[:, None]
    return moves.act(move, turn * going[:, None], xp.zeros_like(up))

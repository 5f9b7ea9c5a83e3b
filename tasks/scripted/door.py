"""Opening a door: take the handle from above and lead it along its arc."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import open_door, parts
from tasks.scripted import moves

WANTED = open_door.OPEN + 0.12
"""The door is led to this angle, rad."""


def pull(state: State) -> Array:
    """Return actions (n, 7) that open the door by its handle."""
    xp = array_namespace(state.q)
    way = open_door.handle(state) - state.tcp[:, :3]
    beside = parts.length(way[:, :2])
    rise = 0.07 * moves.share(beside, 0.006, 0.05)
    facing = to_matrix(state.fixtures["door"][:, 3:])
    turn = moves.down(state, along=xp.atan2(facing[:, 1, 0], facing[:, 0, 0]))
    there = (beside < 0.012) & (xp.abs(way[:, 2]) < 0.015)
    gap = state.opening - 2 * open_door.BAR_RADIUS
    held = (beside < 0.022) & (xp.abs(way[:, 2]) < 0.03) & (gap < 0.006)
    # The handle runs on a circle about the hinge; its way at this angle, in the cabinet's frame.
    dx, dy = open_door.BAR_X - open_door.HINGE_X, open_door.BAR_Y - open_door.HINGE_Y
    c, s = xp.cos(state.joints["door"]), -xp.sin(state.joints["door"])
    arm = xp.stack([c * dx - s * dy, s * dx + c * dy, 0 * c], axis=-1)
    arm = xp.sum(facing * arm[:, None, :], axis=-1)
    left = xp.clip(WANTED - state.joints["door"], 0.0, 0.15)[:, None]
    tangent = xp.stack([arm[:, 1], -arm[:, 0], 0 * c], axis=-1) * left
    lead = tangent + 0.5 * way
    move = xp.concat([way[:, :2], way[:, 2:] + rise[:, None]], axis=-1)
    move = xp.where(held[:, None], lead, move)
    return moves.act(move, xp.where(held[:, None], 0 * turn, turn), 1 - parts.flag(there | held, state.q))

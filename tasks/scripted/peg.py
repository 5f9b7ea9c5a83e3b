"""Standing a peg up: take it across its axis, raise it, draw it near while the hand turns it, set it down."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts, peg_upright, pegs
from tasks.scripted import moves

PACE = 0.18
"""Largest rotation per step of the peg, rad: faster, and a heavy one slips."""

LOW = 0.013
"""Least height of the grasp above the table, m: the fingertips of a leaning hand stay clear of it."""

SPACE = 0.02
"""Room kept between the lower end and the table while the peg is turned, m."""

AWAY = 0.09
"""How far the open hand backs away from the peg that stands, m."""


def stand(state: State) -> Array:
    """Return actions (n, 7) that stand the target on its end."""
    xp = array_namespace(state.q)
    reach, lying, there = _over(state)
    lift, turn = _raised(state)
    held, stands = pegs.held(state), peg_upright.success(state)
    closed = parts.flag((there | held) & ~stands, state.q)
    held, stands = held[:, None], stands[:, None]
    move = xp.where(stands, _away(state), xp.where(held, lift, reach))
    return moves.act(move, xp.where(stands, 0 * turn, xp.where(held, turn, lying)), 1 - closed)


def _over(state: State) -> tuple[Array, Array, Array]:
    """Return displacement and rotation (n, 3) to the peg's middle, fingers across, and whether it is reached."""
    xp = array_namespace(state.q)
    way, turn = parts.offset(state, "target"), pegs.across(state)
    beside = parts.length(way[:, :2])
    down = way[:, 2] + xp.clip(LOW - state.half_sizes["target"][:, 2], 0.0, None)
    rise = 0.07 * xp.maximum(moves.share(beside, 0.004, 0.05), 0.6 * moves.share(xp.abs(turn[:, 2]), 0.1, 0.5))
    there = (beside < 0.012) & (xp.abs(down) < 0.005)
    return xp.concat([way[:, :2], (down + rise)[:, None]], axis=-1), turn, there


def _raised(state: State) -> tuple[Array, Array]:
    """Return displacement and rotation (n, 3) that raise the held peg, draw it near, erect it and set it down."""
    xp = array_namespace(state.q)
    half, steep = state.half_sizes["target"][:, 0], xp.abs(pegs.axis(state)[:, 2])
    lowest, turn = pegs.lowest(state), pegs.erect(state)
    upright = 1 - moves.share(parts.length(turn), 0.02, 0.10)
    need = half * (1 - steep) * 0.9
    free = moves.share(lowest, 0.002 + 0.2 * need, 0.01 + 0.5 * need)
    up = (1 - upright) * xp.clip(SPACE + need - lowest, -0.02, 0.04)
    up = up + upright * xp.clip(-0.002 - lowest, -0.015, 0.02)
    off = (1 - upright) * moves.share(lowest, 0.002, 0.015)
    return xp.concat([pegs.inward(state) * off[:, None], up[:, None]], axis=-1), (
        moves.shortened(turn, PACE) * xp.maximum(free, upright)[:, None]
    )


def _away(state: State) -> Array:
    """Return the displacement (n, 3) of the hand that lets go of the standing peg: it opens, then backs away."""
    hand, local = to_matrix(state.tcp[:, 3:]), pegs.local(state)
    back = (local[:, 2] - AWAY) * moves.share(parts.spare(state, "target"), 0.008, 0.02)
    return 0.5 * (hand[:, :, 1] * local[:, 1:2] + hand[:, :, 2] * back[:, None])

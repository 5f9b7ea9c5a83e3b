"""Standing a peg up: take it across its axis, raise it, turn the hand about the fingers, set it down."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts, peg_upright, pegs
from tasks.scripted import moves

PACE = 0.18
"""Largest rotation per step of the peg, rad: faster, and a heavy one slips."""

SPACE = 0.02
"""Room kept between the lower end and the table while the peg is turned, m."""


def stand(state: State) -> Array:
    """Return actions (n, 7) that stand the target on its end."""
    xp = array_namespace(state.q)
    reach, lying, there = _over(state)
    lift, turn = _raised(state)
    held = _held(state)
    # It stands: the hand lets go and stays where it is.
    stands = parts.flag(peg_upright.success(state), state.q)
    closed = parts.flag(there | held, state.q) * (1 - stands)
    held, moves_on = held[:, None], (1 - stands)[:, None]
    return moves.act(xp.where(held, lift, reach) * moves_on, xp.where(held, turn, lying) * moves_on, 1 - closed)


def _over(state: State) -> tuple[Array, Array, Array]:
    """Return displacement and rotation (n, 3) to the peg's middle, fingers across, and whether it is reached."""
    xp = array_namespace(state.q)
    way, turn = parts.offset(state, "target"), pegs.across(state)
    beside = parts.length(way[:, :2])
    rise = 0.07 * xp.maximum(moves.share(beside, 0.004, 0.05), 0.6 * moves.share(xp.abs(turn[:, 2]), 0.1, 0.5))
    there = (beside < 0.012) & (xp.abs(way[:, 2]) < 0.01)
    return xp.concat([way[:, :2], way[:, 2:] + rise[:, None]], axis=-1), turn, there


def _held(state: State) -> Array:
    """Return whether the fingers are closed around the peg, (n,) bool; it may have slipped along its length."""
    xp = array_namespace(state.q)
    way, hand = parts.offset(state, "target"), to_matrix(state.tcp[:, 3:])
    local = xp.abs(xp.sum(hand * way[:, :, None], axis=1))
    inside = (local[:, 0] < 0.05) & (local[:, 1] < 0.012) & (local[:, 2] < 0.03)
    return inside & (parts.spare(state, "target") < 0.006) & (state.contact > 1)


def _raised(state: State) -> tuple[Array, Array]:
    """Return displacement and rotation (n, 3) that raise the held peg, turn it to the vertical and set it down."""
    xp = array_namespace(state.q)
    half, steep = state.half_sizes["target"][:, 0], xp.abs(pegs.axis(state)[:, 2])
    lowest, turn = pegs.lowest(state), pegs.erect(state)
    upright = 1 - moves.share(parts.length(turn), 0.02, 0.10)
    need = half * (1 - steep) * 0.9
    free = moves.share(lowest, 0.002 + 0.2 * need, 0.01 + 0.5 * need)
    up = (1 - upright) * xp.clip(SPACE + need - lowest, -0.02, 0.04)
    up = up + upright * xp.clip(-0.002 - lowest, -0.015, 0.02)
    zero = xp.zeros_like(up)
    return xp.stack([zero, zero, up], axis=-1), moves.shortened(turn, PACE) * xp.maximum(free, upright)[:, None]

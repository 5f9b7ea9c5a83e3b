"""Standing a peg up: take it across its axis, raise it, turn the hand about the fingers, set it down."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts, peg_upright
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
    """Return displacement and rotation (n, 3) to the middle of the peg, fingers across it, and whether it is reached.

    Of the two ways to lie across the peg, the one with the hand's x outward leaves the wrist room to turn.
    """
    xp = array_namespace(state.q)
    axis, way = peg_upright.axis(state), parts.offset(state, "target")
    flip = xp.where(xp.sum(axis[:, :2] * _outward(state), axis=-1) < 0, -1.0, 1.0)
    turn = moves.down(state, along=xp.atan2(flip * axis[:, 1], flip * axis[:, 0]), period=2 * math.pi)
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
    hand, axis = to_matrix(state.tcp[:, 3:]), peg_upright.axis(state)
    half, steep = state.half_sizes["target"][:, 0], xp.abs(axis[:, 2])
    height = state.poses["target"][:, 2] - state.table
    lowest = height - half * steep - state.half_sizes["target"][:, 1] * xp.sqrt(xp.clip(1 - steep**2, 0.0, 1.0))
    # The hand turns its back outward: it ends level, pointing at the robot, where the arm still reaches.
    facing = xp.sum(hand[:, :2, 0] * _outward(state), axis=-1)
    sense = xp.where(5 * hand[:, 2, 0] - facing < 0, -1.0, 1.0)
    # Turning about axis x (0, 0, sense) brings the axis to the vertical on the shortest way.
    about = xp.stack([axis[:, 1], -axis[:, 0], 0 * steep], axis=-1) * sense[:, None]
    sine = parts.length(about)
    angle = xp.atan2(sine, sense * axis[:, 2])
    upright = 1 - moves.share(angle, 0.02, 0.10)
    need = half * (1 - steep) * 0.9
    free = moves.share(lowest, 0.002 + 0.2 * need, 0.01 + 0.5 * need)
    pace = xp.clip(angle, 0.0, PACE) * xp.maximum(free, upright) / xp.clip(sine, 0.01, None)
    up = (1 - upright) * xp.clip(SPACE + need - lowest, -0.02, 0.04)
    up = up + upright * xp.clip(-0.002 - lowest, -0.015, 0.02)
    zero = xp.zeros_like(up)
    return xp.stack([zero, zero, up], axis=-1), about * pace[:, None]


def _outward(state: State) -> Array:
    """Return the direction from the base to the peg in the plane, (n, 2)."""
    xp = array_namespace(state.q)
    place = state.poses["target"][:, :2]
    return place / xp.clip(parts.length(place), 0.05, None)[:, None]

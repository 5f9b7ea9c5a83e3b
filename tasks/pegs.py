"""How a hand and a peg stand to each other: what the peg's script follows and its expert is shown."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts
from tasks.scripted import moves


def axis(state: State) -> Array:
    """Return the peg's long axis, (n, 3), in the sense that agrees with the hand's x."""
    xp = array_namespace(state.q)
    own = to_matrix(state.poses["target"][:, 3:])[:, :, 0]
    agreement = xp.sum(own * to_matrix(state.tcp[:, 3:])[:, :, 0], axis=-1)
    return xp.where(agreement[:, None] < 0, -own, own)


def outward(state: State) -> Array:
    """Return the direction from the base to the peg in the plane, (n, 2)."""
    xp = array_namespace(state.q)
    place = state.poses["target"][:, :2]
    return place / xp.clip(parts.length(place), 0.05, None)[:, None]


def lowest(state: State) -> Array:
    """Return the height of the peg's lowest point above the table, (n,), m."""
    xp = array_namespace(state.q)
    half, steep = state.half_sizes["target"], xp.abs(axis(state)[:, 2])
    height = state.poses["target"][:, 2] - state.table
    return height - half[:, 0] * steep - half[:, 1] * xp.sqrt(xp.clip(1 - steep**2, 0.0, 1.0))


def across(state: State) -> Array:
    """Return the rotation (n, 3), rad, that points the hand down with its fingers across the peg.

    Of the two ways, the one with the hand's x outward leaves the wrist room to turn.
    """
    xp = array_namespace(state.q)
    along = axis(state)
    flip = xp.where(xp.sum(along[:, :2] * outward(state), axis=-1) < 0, -1.0, 1.0)
    return moves.down(state, along=xp.atan2(flip * along[:, 1], flip * along[:, 0]), period=2 * math.pi)


def erect(state: State) -> Array:
    """Return the rotation (n, 3), rad, that brings a held peg to the vertical.

    The hand turns its back outward: it ends level, pointing at the robot, where the arm still reaches.
    """
    xp = array_namespace(state.q)
    hand, along = to_matrix(state.tcp[:, 3:]), axis(state)
    facing = xp.sum(hand[:, :2, 0] * outward(state), axis=-1)
    sense = xp.where(5 * hand[:, 2, 0] - facing < 0, -1.0, 1.0)
    # About along x (0, 0, sense): the shortest way.
    about = xp.stack([along[:, 1], -along[:, 0], xp.zeros_like(sense)], axis=-1) * sense[:, None]
    sine = parts.length(about)
    angle = xp.atan2(sine, sense * along[:, 2])
    return about * (angle / xp.clip(sine, 0.01, None))[:, None]

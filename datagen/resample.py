"""Another control rate: the commanded path is kept, what is between two steps is interpolated, frames are held."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sim.rotations import (
    canonical_sign,
    conjugate,
    from_axis_angle,
    multiply,
    to_axis_angle,
    wxyz_to_xyzw,
    xyzw_to_wxyz,
)

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """An episode at another rate, n steps of it."""

    # Canonical states (n, 8) and actions (n, 7).
    states: Numbers
    actions: Numbers
    # The step of the original whose frame and sentence are held, (n,).
    source: NDArray[np.int64]


def resample(states: Numbers, actions: Numbers, *, rate: float, target: float) -> Resampled:
    """Return canonical states (T, 8) and delta actions (T, 7) of `rate` Hz at `target` Hz.

    The sum of the position changes and the product of the rotation changes stay what they were; to a whole multiple of
    the rate and back is the identity. Steps of less than a target step at the end are kept whole.
    """
    ratio = Fraction(rate).limit_denominator(1000) / Fraction(target).limit_denominator(1000)
    count = max(1, round(len(actions) / ratio))
    times = [min(k * ratio, Fraction(len(actions))) for k in range(count)] + [Fraction(len(actions))]
    step = np.array([min(int(t), len(actions) - 1) for t in times], dtype=np.int64)
    part = np.array([float(t - int(s)) for t, s in zip(times, step, strict=True)])
    places = np.concatenate([np.zeros((1, 3)), np.cumsum(actions[:, :3], axis=0)])
    position = places[step] + part[:, None] * actions[step, :3]
    turns = np.asarray(
        multiply(from_axis_angle(part[:, None] * actions[step, 3:6]), _accumulated(actions[:, 3:6])[step])
    )
    rotation = np.asarray(to_axis_angle(multiply(turns[1:], conjugate(turns[:-1]))))
    held = step[:-1]
    whole = np.concatenate([np.diff(position, axis=0), rotation, actions[held, 6:]], axis=1)
    return Resampled(_between(states, held, part[:-1]), whole, held)


def _accumulated(vectors: Numbers) -> Numbers:
    """Return the products (T + 1, 4) of the rotations by the vectors (T, 3), the later on the left."""
    found = np.zeros((len(vectors) + 1, 4))
    found[0, 0] = 1.0
    for k, turn in enumerate(np.asarray(from_axis_angle(vectors))):
        found[k + 1] = np.asarray(multiply(turn, found[k]))
    return found


def _between(states: Numbers, step: NDArray[np.int64], part: Numbers) -> Numbers:
    """Return the states (n, 8) at `part` of the way from each step to the next; the last one is held."""
    following = np.minimum(step + 1, len(states) - 1)
    first, second = states[step], states[following]
    here, there = np.asarray(xyzw_to_wxyz(first[:, 3:7])), np.asarray(xyzw_to_wxyz(second[:, 3:7]))
    turn = np.asarray(to_axis_angle(multiply(there, conjugate(here))))
    rotation = multiply(from_axis_angle(part[:, None] * turn), here)
    mixed = first + part[:, None] * (second - first)
    mixed[:, 3:7] = canonical_sign(wxyz_to_xyzw(np.asarray(rotation)))
    return np.asarray(mixed)

"""The statistics behind every reported number: an interval on each, and paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError
from sim.rates import wilson_bounds
from sim.streams import generator

RESAMPLES = 2000
"""Bootstrap resamples."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval and the number of values behind it."""

    estimate: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return a success rate with Wilson's score interval. No trials is an error, not 0 %."""
    if n < 1:
        raise UserError("A success rate was asked of no episodes. Run at least one episode that can be judged.")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials are impossible.")
    low, high = wilson_bounds(successes, n, level=confidence)
    return Interval(successes / n, low, high, n)


def bootstrap_mean(
    values: Sequence[float] | NDArray[np.float64], *, name: str, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Return a mean with its percentile bootstrap interval, from the stream (seed, name). No values is an error.

    Source: B. Efron, Annals of Statistics 7:1, 1979. One value gives an interval of no width: n says so.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise UserError(f"The mean of {name} was asked of no values. Run at least one episode that can be judged.")
    picks = generator(seed, "bootstrap", name).integers(len(data), size=(RESAMPLES, len(data)))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(data[picks].mean(axis=1), [tail, 100.0 - tail])
    return Interval(float(data.mean()), float(low), float(high), len(data))


@dataclass(frozen=True)
class Paired:
    """A paired comparison of two policies on the same seeds."""

    # Episodes in which only the first, and only the second, succeeded.
    only_first: int
    only_second: int
    # Pairs compared.
    n: int
    # Two-sided probability of a split at least as uneven if both were equally good.
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Return the exact two-sided McNemar test of paired outcomes. No pairs is an error.

    Source: Q. McNemar, Psychometrika 12:153, 1947; exact binomial form.
    """
    if len(first) != len(second):
        raise ValueError(f"Paired outcomes must have equal lengths; got {len(first)} and {len(second)}.")
    if not first:
        raise UserError("Two policies were compared on no common episodes. Run both on the same seeds.")
    b = sum(x and not y for x, y in zip(first, second, strict=True))
    c = sum(y and not x for x, y in zip(first, second, strict=True))
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    return Paired(b, c, len(first), min(1.0, 2 * tail))

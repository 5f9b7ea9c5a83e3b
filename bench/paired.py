"""Paired comparisons of two policies on the same episodes: the difference with its exact interval, and many at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.intervals import Interval
from sim.errors import UserError

NODES = 400
"""Nodes of the Gauss-Legendre quadrature over the share of discordant pairs that the first policy won."""

Array = NDArray[np.float64]


def difference(only_first: int, only_second: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return success rate of the first minus that of the second, over `n` pairs, with its exact interval.

    `only_first` and `only_second` count the pairs that only one of them won. The interval leaves out 0 exactly where
    the exact two-sided McNemar test rejects at the same level, and is never too narrow. Source: M. P. Fay and
    K. Lumbard, Statistics in Medicine 40:1147, 2021 (the function mcnemarExactDP of the R package exact2x2).
    """
    if n < 1:
        raise UserError("Two policies were compared on no common episodes. Run both on the same seeds.")
    if min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"{only_first} and {only_second} discordant pairs of {n} are impossible.")
    low = _lower(only_first, only_first + only_second, n, (1 - confidence) / 2)
    high = -_lower(only_second, only_first + only_second, n, (1 - confidence) / 2)
    estimate = (only_first - only_second) / n
    return Interval(estimate, min(low, estimate), max(high, estimate), n)


@lru_cache(maxsize=4096)
def _lower(wins: int, discordant: int, n: int, tail: float) -> float:
    """Return the lower limit: the quantile `tail` of (2 B - 1) T.

    B ~ Beta(wins, discordant - wins + 1) bounds the share of the discordant pairs that were won, and T the share of
    discordant pairs: Beta(discordant, n - discordant + 1) where B >= 1/2, else Beta(discordant + 1, n - discordant).
    """
    low, high = -1.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, wins, discordant, n) < tail else (low, middle)
    return (low + high) / 2


def _below(value: float, wins: int, discordant: int, n: int) -> float:
    """Return the probability that (2 B - 1) T is at most `value`."""
    if wins == 0:
        return float(at_most(discordant, n, np.array([max(0.0, -value)]))[0]) if value < 0 else 1.0
    nodes, weights = _halves()
    lost = discordant - wins
    log_density = (wins - 1) * np.log(nodes) + lost * np.log1p(-nodes)
    density = weights * np.exp(log_density + math.log(wins) + math.log(math.comb(discordant, wins)))
    edge = 2 * nodes - 1
    if value < 0:
        chosen = edge < value
        return float(density[chosen] @ at_most(discordant, n, value / edge[chosen]))
    upper = edge > value
    within = edge <= value
    reached = 1.0 - at_most(discordant - 1, n, value / edge[upper])
    return float(density[within].sum() + density[upper] @ reached)


@lru_cache(maxsize=1)
def _halves() -> tuple[Array, Array]:
    """Return nodes and weights on (0, 1/2) and on (1/2, 1), one after the other."""
    x, w = np.polynomial.legendre.leggauss(NODES // 2)  # type: ignore[no-untyped-call]
    return np.concatenate([(x + 1) / 4, (x + 3) / 4]), np.concatenate([w, w]) / 4


def at_most(k: int, n: int, p: Array) -> Array:
    """Return the probability (m,) of at most `k` successes in `n` trials of probability `p` (m,)."""
    if k >= n:
        return np.ones_like(p)
    if k < 0:
        return np.zeros_like(p)
    upper = k + 1 > n // 2
    counts = np.arange(k + 1, n + 1) if upper else np.arange(k + 1)
    logs = math.lgamma(n + 1) - np.array([math.lgamma(i + 1) + math.lgamma(n - i + 1) for i in counts])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = logs + _times_log(counts, p[:, None]) + _times_log(n - counts, 1 - p[:, None])
    total = np.minimum(1.0, np.exp(terms).sum(axis=1))
    return np.asarray(1.0 - total if upper else total)


def _times_log(count: NDArray[np.intp], p: Array) -> Array:
    """Return count * log(p), with 0 * log(0) = 0."""
    return np.where(count == 0, 0.0, count * np.log(p))


def sign_flip(sums: Sequence[int]) -> float:
    """Return the exact two-sided probability of a total as far from 0 if every sign of `sums` were a fair coin.

    `sums` hold, for each seed, the successes of the first minus those of the second policy, over all hosts: episodes of
    one seed count as one. With one episode per seed this is the exact McNemar test. Source: the randomization test of
    R. A. Fisher, The Design of Experiments, 1935.
    """
    if not sums:
        raise UserError("Two policies were compared on no common episodes. Run both on the same seeds.")
    ways = {0: 1}
    for value in (abs(s) for s in sums if s):
        grown: dict[int, int] = {}
        for total, count in ways.items():
            for end in (total - value, total + value):
                grown[end] = grown.get(end, 0) + count
        ways = grown
    observed = abs(sum(sums))
    return sum(count for total, count in ways.items() if abs(total) >= observed) / sum(ways.values())

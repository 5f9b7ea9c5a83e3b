"""Comparison of two policies that may be looked at after every pair, and stopped, without losing its guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.intervals import Interval
from sim.errors import UserError

Verdict = Literal["first is better", "second is better", "no difference that matters", "go on"]

FARTHEST = 100_000
"""Most further pairs that a forecast looks ahead."""

PRIOR = 0.5
"""Weight of each of the three outcomes in the Dirichlet mixture (Jeffreys)."""


@dataclass(frozen=True)
class Look:
    """What is known after some pairs."""

    verdict: Verdict
    # Pairs so far, and those that only the first, and only the second, won.
    n: int
    only_first: int
    only_second: int
    # Evidence that the first, and that the second, is better: the verdict falls at 2 / alpha.
    e_first: float
    e_second: float
    # Difference of the success rates; the interval holds at all looks together. None before the first pair.
    difference: Interval | None
    # Pair at which the verdict fell.
    stopped_at: int | None
    # Further pairs to a verdict if they fall as those so far; None after it, and where none is in sight.
    more: int | None


class SequentialComparison:
    """Pairs come one by one; the verdict may be read after each of them.

    With probability at least 1 - `alpha` no wrong policy is ever called better, however often one looks and whenever
    one stops; the same holds for the interval. With `margin`, the comparison also ends when the interval lies within
    +-`margin`: no difference that matters.
    """

    def __init__(self, *, alpha: float = 0.05, margin: float | None = None) -> None:
        if not 0 < alpha < 1:
            raise UserError(f"alpha = {alpha} is not allowed. Allowed: between 0 and 1, for example 0.05.")
        if margin is not None and not 0 < margin < 1:
            raise UserError(f"margin = {margin} is not allowed. Allowed: between 0 and 1, for example 0.05.")
        self.alpha, self.margin = alpha, margin
        self.n = self.only_first = self.only_second = 0
        self._verdict: Verdict = "go on"
        self._stopped_at: int | None = None

    def update(self, *, success_a: bool, success_b: bool) -> Verdict:
        """Add one pair: the outcomes of the first and of the second policy in the same episode; return the verdict."""
        self.n += 1
        self.only_first += success_a and not success_b
        self.only_second += success_b and not success_a
        if self._verdict == "go on":
            self._verdict = self._judge()
            self._stopped_at = None if self._verdict == "go on" else self.n
        return self._verdict

    def _judge(self) -> Verdict:
        threshold = math.log(2 / self.alpha)
        if log_e_value(self.only_first, self.only_second) >= threshold:
            return "first is better"
        if log_e_value(self.only_second, self.only_first) >= threshold:
            return "second is better"
        if self.margin is not None and self._within(self.margin):
            return "no difference that matters"
        return "go on"

    def _within(self, margin: float) -> bool:
        """Return whether the interval lies within +-`margin`: both ends are refuted, and the estimate lies between."""
        ends = np.array([-margin, margin])
        counts = [np.array(float(x)) for x in (self.only_first, self.only_second, self.n)]
        refuted = log_evidence_against(ends, *counts) >= math.log(1 / self.alpha)
        return bool(refuted.all()) and abs(self.only_first - self.only_second) < margin * self.n

    def interval(self) -> Interval:
        """Return the difference of the success rates with the interval that holds at every look."""
        if not self.n:
            raise UserError("A difference was asked of no pairs. Run both policies on at least one common episode.")
        counts, level = (self.only_first, self.only_second, self.n), math.log(1 / self.alpha)
        estimate = (self.only_first - self.only_second) / self.n
        return Interval(estimate, _bound(*counts, level, -1.0), _bound(*counts, level, 1.0), self.n)

    def look(self) -> Look:
        """Return everything that is known now."""
        e_first, e_second = (
            math.exp(min(700.0, log_e_value(*counts)))
            for counts in ((self.only_first, self.only_second), (self.only_second, self.only_first))
        )
        return Look(
            verdict=self._verdict,
            n=self.n,
            only_first=self.only_first,
            only_second=self.only_second,
            e_first=e_first,
            e_second=e_second,
            difference=self.interval() if self.n else None,
            stopped_at=self._stopped_at,
            more=self._more() if self._verdict == "go on" else None,
        )

    def _more(self) -> int | None:
        """Return after how many further pairs the leading policy is called better if the rates stay as they are."""
        won, lost = max(self.only_first, self.only_second), min(self.only_first, self.only_second)
        if won == lost:
            return None

        def reached(more: int) -> bool:
            grown = 1 + more / self.n
            return log_e_value(round(won * grown), round(lost * grown)) >= math.log(2 / self.alpha)

        high = 1
        while not reached(high):
            high *= 2
            if high > FARTHEST:
                return None
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high


@lru_cache(maxsize=65536)
def log_e_value(won: int, lost: int) -> float:
    """Return the logarithm of the evidence that a policy which won `won` of the discordant pairs is the better one.

    The likelihood ratio of the share s of the discordant pairs that are won against s = 1/2, averaged over s uniform in
    (1/2, 1): a test supermartingale whenever s <= 1/2, so by Ville's inequality it ever reaches 1 / a with probability
    at most a. Its integral is exact: sum of C(N + 1, k) for k <= won, divided by (N + 1) C(N, won), where N = won +
    lost. Source: the method of mixtures, H. Robbins, Annals of Mathematical Statistics 41:1397, 1970; as e-process,
    A. Ramdas et al., Statistical Science 38:576, 2023.
    """
    total = won + lost
    term, above = 1, 1
    for k in range(1, won + 1):
        term = term * (total + 2 - k) // k
        above += term
    return math.log(above) - math.log((total + 1) * math.comb(total, won))


def log_evidence_against(
    value: NDArray[np.float64],
    only_first: NDArray[np.float64],
    only_second: NDArray[np.float64],
    n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the logarithm of the evidence against the difference of the success rates being `value`; arrays broadcast.

    Likelihood of the pairs, averaged over a Dirichlet(1/2, 1/2, 1/2) law of (only first, only second, neither or both),
    divided by the largest one that has this difference. It reaches 1 / alpha with probability at most alpha where
    `value` is true, at any time. Source: M. Lindon and A. Malek, Anytime-valid inference for multinomial count data,
    NeurIPS 2022; the constrained maximum as in T. Tango, Statistics in Medicine 17:891, 1998.
    """
    flipped = value < 0
    b, c = np.where(flipped, only_second, only_first), np.where(flipped, only_first, only_second)
    d, rest = np.abs(value), n - only_first - only_second
    half = (b + c) * (1 - d) - 2 * (c + rest) * d
    q = (half + np.sqrt(half**2 + 8 * n * c * d * (1 - d))) / (4 * n)
    q = np.clip(q, 0.0, (1 - d) / 2)
    best = _xlogy(b, q + d) + _xlogy(c, q) + _xlogy(rest, 1 - 2 * q - d)
    return _log_mixture(only_first) + _log_mixture(only_second) + _log_mixture(rest) - _log_total(n) - best


def _log_mixture(count: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(_log_gamma(count + PRIOR)) - math.lgamma(PRIOR)


def _log_total(n: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(_log_gamma(n + 3 * PRIOR)) - math.lgamma(3 * PRIOR)


_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


def _xlogy(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x log(y), with 0 log(0) = 0 and x log(0) = -infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(x == 0, 0.0, x * np.log(y)))


def _bound(only_first: int, only_second: int, n: int, level: float, end: float) -> float:
    """Return where, from the estimate towards `end` (-1 or 1), the evidence against a difference reaches `level`."""
    inside, outside = (only_first - only_second) / n, end
    counts = [np.array(float(x)) for x in (only_first, only_second, n)]
    if float(log_evidence_against(np.array(end), *counts)) < level:
        return end
    for _ in range(40):
        middle = (inside + outside) / 2
        if float(log_evidence_against(np.array(middle), *counts)) < level:
            inside = middle
        else:
            outside = middle
    return outside

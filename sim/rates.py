"""Rates with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from sim.errors import UserError


@dataclass(frozen=True)
class Rate:
    """A share of n trials with its interval."""

    # Successes, trials, and their ratio.
    successes: int
    n: int
    value: float
    # Bounds of the interval.
    low: float
    high: float

    def __str__(self) -> str:
        """Return "96.0 % [93.1, 97.8]" (n = 300)."""
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}] (n = {self.n})"


def wilson(successes: int, n: int, *, level: float = 0.95) -> Rate:
    """Return the rate with its Wilson score interval (Wilson 1927). No trials are an error, not 0 %."""
    if n < 1:
        raise UserError("A success rate of no episodes was asked for. An empty evaluation is an error, not 0 %.")
    if not 0 <= successes <= n:
        raise UserError(f"{successes} successes of {n} episodes cannot be.")
    low, high = wilson_bounds(successes, n, level=level)
    return Rate(successes, n, successes / n, low, high)


def wilson_bounds(successes: float, n: float, *, level: float) -> tuple[float, float]:
    """Return the bounds of Wilson's score interval for `successes` of `n` > 0 trials; an effective `n` has a fraction.

    Source: E. B. Wilson, J. American Statistical Association 22:209, 1927.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = successes / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, center - half)), min(1.0, max(p, center + half))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values, in the order given: reject those at most alpha and no more than a share alpha errs.

    Source: S. Holm, Scandinavian Journal of Statistics 6:65, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted

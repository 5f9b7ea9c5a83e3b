"""How long a policy thinks: median and 95th percentile over all of its calls, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import NormalDist
from typing import Any

import numpy as np

from bench.intervals import Interval
from sim.errors import UserError

QUANTILES = {"p50": 0.5, "p95": 0.95}


def latency(seconds: Sequence[float]) -> dict[str, Any] | None:
    """Return {"p50", "p95"}, each an interval in seconds per call and world; None when nothing was called."""
    if not len(seconds):
        return None
    return {name: asdict(quantile(seconds, q)) for name, q in QUANTILES.items()}


def quantile(values: Sequence[float], q: float, *, level: float = 0.95) -> Interval:
    """Return the quantile `q` with the interval that lies between two of the values. No values is an error.

    Its ranks are those of the normal approximation to the binomial count of values below the quantile (W. J. Conover,
    Practical Nonparametric Statistics, 1999, section 3.2). It takes calls as independent.
    """
    if not len(values):
        raise UserError("A quantile was asked of no values. Run at least one episode that can be judged.")
    data = np.sort(np.asarray(values, dtype=np.float64))
    n = len(data)
    spread = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(n * q * (1 - q))
    low, high = (min(max(math.ceil(n * q + side * spread), 1), n) for side in (-1, 1))
    return Interval(float(np.quantile(data, q)), float(data[low - 1]), float(data[high - 1]), n)

"""The statistics behind every reported number: an interval on each, and paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

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
    """Return a mean with its bootstrap interval, from the stream (seed, name). No values is an error.

    Source: the expanded percentile interval, T. Hesterberg, The American Statistician 69:371, 2015 (see `percentiles`).
    One value gives an interval of no width: n says so.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise UserError(f"The mean of {name} was asked of no values. Run at least one episode that can be judged.")
    picks = generator(seed, "bootstrap", name).integers(len(data), size=(RESAMPLES, len(data)))
    estimate = float(data.mean())
    low, high = np.percentile(data[picks].mean(axis=1), percentiles(len(data), confidence=confidence))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), len(data))


def percentiles(groups: int, *, confidence: float) -> tuple[float, float]:
    """Return which percentiles of resampled means bound the interval of a mean of `groups` independent groups.

    As far out as Student's t is wider than the normal, and as n - 1 in the variance asks for: plain percentiles of few
    groups are too narrow. Source: Hesterberg 2015, section 4.3; t by the expansion of Abramowitz and Stegun, 26.7.5.
    """
    if groups < 3:
        return 0.0, 100.0
    v, z = groups - 1, NormalDist().inv_cdf(0.5 + confidence / 2)
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    tail = 100.0 * NormalDist().cdf(-t * math.sqrt(groups / v))
    return tail, 100.0 - tail


def cluster_weights(factors: Sequence[Sequence[Hashable]], *, name: str, seed: int = 0) -> NDArray[np.float64]:
    """Return how often each of n values is drawn in each resample, (RESAMPLES, n), from the stream (seed, name).

    `factors` name each value's clusters: its task, its seed. The clusters of each factor are drawn with replacement,
    independently of the other factors, and the counts multiplied; a factor with one cluster stays as it is. Source: the
    pigeonhole bootstrap, A. B. Owen, Annals of Applied Statistics 1:386, 2007; with one factor, the cluster bootstrap.
    """
    weights = np.ones((RESAMPLES, len(factors[0])))
    for number, factor in enumerate(factors):
        levels = {level: i for i, level in enumerate(dict.fromkeys(factor))}
        if len(levels) > 1:
            stream = generator(seed, "cluster bootstrap", name, number)
            counts = stream.multinomial(len(levels), np.full(len(levels), 1 / len(levels)), size=RESAMPLES)
            weights *= counts[:, [levels[level] for level in factor]]
    return weights


def cluster_bootstrap(
    values: Sequence[float] | NDArray[np.float64],
    *factors: Sequence[Hashable],
    name: str,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Return a mean with its percentile interval over resampled clusters (see `cluster_weights`); none is an error."""
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise UserError(f"The mean of {name} was asked of no values. Run at least one episode that can be judged.")
    weights = cluster_weights(factors or [range(len(data))], name=name, seed=seed)
    means = weighted_means(weights, data)
    low, high = np.percentile(means, percentiles(_groups(factors, len(data)), confidence=confidence))
    estimate = float(data.mean())
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), len(data))


def _groups(factors: Sequence[Sequence[Hashable]], n: int) -> int:
    """Return the number of clusters of the coarsest factor that has more than one; without factors, n."""
    return min((len(set(factor)) for factor in factors if len(set(factor)) > 1), default=1 if factors else n)


def weighted_means(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of `values` (n,) in each resample (r, n); a resample that drew none of them is left out."""
    total = weights.sum(axis=1)
    drawn = total > 0
    return np.asarray(weights[drawn] @ values / total[drawn])


def cluster_rate(
    successes: Sequence[bool], *factors: Sequence[Hashable], name: str, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Return a success rate over several tasks, hosts or seeds with an interval that knows their clusters.

    Wilson's interval at the effective number of episodes, p (1 - p) over the variance of the cluster bootstrap, and
    never more than there are; where all or none succeeded, at the number of clusters of the coarsest factor. Source:
    C. Franco et al., Journal of Survey Statistics and Methodology 7:334, 2019.
    """
    data = np.asarray(successes, dtype=np.float64)
    if not len(data):
        raise UserError(f"The rate of {name} was asked of no episodes. Run at least one episode that can be judged.")
    chosen = factors or (range(len(data)),)
    rate = float(data.mean())
    if rate in (0.0, 1.0):
        effective = float(_groups(chosen, len(data)))
    else:
        spread = float(weighted_means(cluster_weights(chosen, name=name, seed=seed), data).var())
        effective = min(float(len(data)), rate * (1 - rate) / spread) if spread > 0 else float(len(data))
    low, high = wilson_bounds(rate * effective, effective, level=confidence)
    return Interval(rate, min(low, rate), max(high, rate), len(data))


def bootstrap_quantile(
    groups: Sequence[Sequence[float]], share: float, *, name: str, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Return the quantile `share` of all values of all `groups` with its percentile interval over resampled groups.

    A group is an episode: its values, such as the latencies of its calls, are not independent. No values is an error.
    """
    filled = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    if not filled:
        raise UserError(f"A quantile of {name} was asked of no values. Run at least one episode that can be judged.")
    stream = generator(seed, "bootstrap quantile", name)
    picks = stream.integers(len(filled), size=(RESAMPLES // 4, len(filled)))
    found = [np.quantile(np.concatenate([filled[k] for k in pick]), share) for pick in picks]
    low, high = np.percentile(found, percentiles(len(filled), confidence=confidence))
    whole = np.concatenate(filled)
    estimate = float(np.quantile(whole, share))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), len(whole))


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

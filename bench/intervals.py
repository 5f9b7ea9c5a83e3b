"""The statistics behind every reported number: an interval on each, and paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sim import rates
from sim.errors import UserError
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
    found = rates.wilson(successes, n, level=confidence)
    return Interval(found.value, found.low, found.high, found.n)


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


def percentiles(groups: float, *, confidence: float) -> tuple[float, float]:
    """Return which percentiles of resampled means bound the interval of a mean of `groups` independent groups.

    As far out as Student's t is wider than the normal, and as n - 1 in the variance asks for: plain percentiles of few
    groups are too narrow. Source: Hesterberg 2015, section 4.3.
    """
    if groups < 2:
        return 0.0, 100.0
    tail = 100.0 * NormalDist().cdf(-_student(groups - 1, confidence) * math.sqrt(groups / (groups - 1)))
    return tail, 100.0 - tail


def _student(v: float, confidence: float) -> float:
    """Return how far out Student's t with `v` degrees of freedom holds `confidence`.

    Exact for 1 and 2, else the expansion of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if v < 1.5:
        return math.tan(math.pi * confidence / 2)
    if v < 2.5:
        return confidence * math.sqrt(2 / (1 - confidence**2))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    return t + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)


Factors = Sequence[Sequence[Hashable]]
"""For each way of grouping values, the cluster of every value: its training seed, its episode."""


@dataclass(frozen=True)
class Resampled:
    """The mean of values that come in clusters, resampled."""

    estimate: float
    n: int
    # (r,) means of the resamples.
    means: NDArray[np.float64]
    # Number of independent groups that the values are worth.
    groups: float

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the mean with its interval."""
        low, high = np.percentile(self.means, percentiles(self.groups, confidence=confidence))
        return Interval(self.estimate, min(float(low), self.estimate), max(float(high), self.estimate), self.n)

    def p(self) -> float:
        """Return the two-sided p-value against 0: one minus the level at which the interval just reaches 0."""
        share = min(float((self.means <= 0).mean()), float((self.means >= 0).mean()))
        share = 100.0 * max(share, 1 / len(self.means))
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            reaches = percentiles(self.groups, confidence=middle)[0] <= share
            low, high = (low, middle) if reaches else (middle, high)
        return 1.0 - high


def resampled(
    values: Sequence[float] | Sequence[bool] | NDArray[np.float64],
    *factors: Sequence[Hashable],
    name: str,
    seed: int = 0,
) -> Resampled:
    """Return the mean of values in clusters, resampled from the stream (seed, name). No values is an error.

    The clusters of each factor are drawn with replacement, independently of the other factors, and the counts
    multiplied; a factor with one cluster stays as it is, and without factors every value is a cluster. Source: the
    pigeonhole bootstrap, A. B. Owen, Annals of Applied Statistics 1:386, 2007. The number of groups follows the factor
    that the spread comes from: F. E. Satterthwaite, Biometrics Bulletin 2:110, 1946.
    """
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise UserError(f"The mean of {name} was asked of no values. Run at least one episode that can be judged.")
    chosen: Factors = factors or (range(len(data)),)
    together, parts = np.ones((RESAMPLES, len(data))), []
    for number, factor in enumerate(chosen):
        clusters = len(set(factor))
        if clusters > 1:
            counts = _drawn(factor, generator(seed, "cluster bootstrap", name, number))
            parts.append((float(_means(counts, data).var()) * clusters / (clusters - 1), clusters - 1))
            together *= counts
    spread = sum(variance for variance, _ in parts)
    freedom = [degrees for _, degrees in parts] or [0]
    worth = spread**2 / sum(v**2 / degrees for v, degrees in parts) if spread > 0 else max(freedom)
    return Resampled(float(data.mean()), len(data), _means(together, data), worth + 1)


def _drawn(factor: Sequence[Hashable], stream: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each value's cluster is drawn in each resample, (RESAMPLES, n)."""
    places = {level: i for i, level in enumerate(dict.fromkeys(factor))}
    counts = stream.multinomial(len(places), np.full(len(places), 1 / len(places)), size=RESAMPLES)
    return np.asarray(counts[:, [places[level] for level in factor]], dtype=np.float64)


def _means(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of `values` (n,) in each resample (r, n); a resample that drew none of them is left out."""
    total = weights.sum(axis=1)
    drawn = total > 0
    return np.asarray(weights[drawn] @ values / total[drawn])


def cluster_bootstrap(
    values: Sequence[float] | NDArray[np.float64],
    *factors: Sequence[Hashable],
    name: str,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Return a mean with its interval over resampled clusters; see `resampled`."""
    return resampled(values, *factors, name=name, seed=seed).interval(confidence)


def cluster_rate(
    successes: Sequence[bool], *factors: Sequence[Hashable], name: str, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Return a success rate over several tasks or training seeds with an interval that knows their clusters.

    Wilson's interval at the effective number of episodes: p (1 - p) over the variance of the cluster bootstrap, less
    what Student's t asks for. Where all or none succeeded there is no variance, and each cluster of the finest factor
    counts once. Source: E. L. Korn and B. I. Graubard, Survey Methodology 24:193, 1998, with Wilson's interval.
    """
    found = resampled(successes, *factors, name=name, seed=seed)
    rate, spread = found.estimate, float(found.means.var())
    effective = found.groups if spread == 0 else rate * (1 - rate) / spread
    if spread > 0:
        wider = _student(found.groups - 1, confidence) / NormalDist().inv_cdf(0.5 + confidence / 2)
        effective *= (1 - 1 / found.groups) / wider**2
    effective = min(float(found.n), effective)
    low, high = rates.wilson_bounds(rate * effective, effective, level=confidence)
    return Interval(rate, min(low, rate), max(high, rate), found.n)


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

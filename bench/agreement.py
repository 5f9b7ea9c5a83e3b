"""How far two hosts agree on a set of policies: Pearson's r and the mean maximum rank violation, with intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bench.intervals import RESAMPLES, Interval
from sim.errors import UserError
from sim.streams import generator

Samples = NDArray[np.float64]

LEAST_POLICIES = 3
"""Fewest policies between which an order can be compared."""

DEFINED = 0.5
"""Smallest share of the resamples in which a number must be defined to have an interval."""


@dataclass(frozen=True)
class Agreement:
    """Two hosts compared over the same policies; None where a number is not defined, and why."""

    first: str
    second: str
    policies: int
    pearson: Interval | None
    mmrv: Interval | None
    remark: str = ""


def pearson(first: Samples, second: Samples) -> Samples:
    """Return Pearson's correlation of rates (..., policies) over the policies; NaN where one side is constant."""
    a, b = (rates - rates.mean(axis=-1, keepdims=True) for rates in (first, second))
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(scale > 1e-12, (a * b).sum(axis=-1) / scale, np.nan))


def mmrv(first: Samples, second: Samples) -> Samples:
    """Return the mean maximum rank violation of rates (..., policies): 0 where `second` orders them as `first`.

    For each policy, the largest gap in `first` to a policy that `second` puts on the other side of it; then the mean.
    Source: X. Li et al., Evaluating Real-World Robot Manipulation Policies in Simulation, arXiv 2405.05941.
    """
    gap = np.abs(first[..., :, None] - first[..., None, :])
    violated = (first[..., :, None] < first[..., None, :]) != (second[..., :, None] < second[..., None, :])
    return np.asarray((gap * violated).max(axis=-1).mean(axis=-1))


def agreement(first: str, second: str, outcomes: tuple[Samples, Samples], *, confidence: float = 0.95) -> Agreement:
    """Return how far two hosts agree; `outcomes` hold 0 and 1 of each policy's episodes, (policies, episodes).

    The intervals resample the episodes of each host, the same for all policies; the policies stay as they are.
    """
    ours, theirs = outcomes
    if len(ours) != len(theirs):
        raise ValueError(f"The hosts must have the same policies; got {len(ours)} and {len(theirs)}.")
    if not ours.size or not theirs.size:
        raise UserError(f"The agreement of {first} and {second} was asked of no episodes. Run both hosts.")
    if len(ours) < LEAST_POLICIES:
        remark = f"{len(ours)} policies are too few to compare an order; {LEAST_POLICIES} are needed"
        return Agreement(first, second, len(ours), None, None, remark)
    rates = [_resampled(each, name) for each, name in ((ours, first), (theirs, second))]
    plain = [each.mean(axis=1) for each in (ours, theirs)]
    r = _interval(pearson(*plain), pearson(*rates), len(ours), confidence)
    remark = "" if r is not None else "r is not defined: all policies are equally good in one host"
    violation = _interval(mmrv(*plain), mmrv(*rates), len(ours), confidence)
    return Agreement(first, second, len(ours), r, violation, remark)


def _resampled(outcomes: Samples, host: str) -> Samples:
    """Return the policies' rates (r, policies) over resampled episodes of one host."""
    count = outcomes.shape[1]
    weights = generator(0, "agreement", host).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return np.asarray(weights @ outcomes.T / count)


def _interval(estimate: Samples, found: Samples, n: int, confidence: float) -> Interval | None:
    kept = found[np.isfinite(found)]
    value = float(estimate)
    if not np.isfinite(value) or len(kept) < DEFINED * len(found):
        return None
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(kept, [tail, 100.0 - tail])
    return Interval(value, min(float(low), value), max(float(high), value), n)


def to_json(found: Agreement) -> dict[str, object]:
    """Return the agreement as JSON."""
    return asdict(found)

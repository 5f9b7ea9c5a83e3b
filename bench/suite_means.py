"""What axes cost on average: mean drops at the middle level, by group of axes, and over tasks and hosts."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.axes import GROUPS, Axis, find_axis
from bench.config import HostTask
from bench.intervals import Interval, cluster_rate
from bench.record import Record
from bench.suite_drops import OUTCOMES, Outcomes, policies_of
from bench.suite_plan import Plan

Place = tuple[HostTask, str]

SHRINK = 8
"""Seeds at which half of the correlation between two rates is believed."""


@dataclass(frozen=True)
class Pair:
    """One seed under the nominal arm and under one axis, in one place."""

    nominal: bool
    varied: bool
    host: str
    task: str
    group: str
    seed: int


def means(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return, for each place, policy and outcome, the mean drop over axes at the middle level, and by group of axes."""
    found = []
    for outcome in OUTCOMES:
        won = Outcomes(records, outcome)
        for place in plan.places:
            for policy in policies_of(plan, place):
                pairs = _pairs(won, plan, place, policy)
                if pairs:
                    names = {"host": str(place[0]), "task": place[1], "policy": policy, "outcome": outcome}
                    ran, ignored = _ran(plan, place, policy), len(_unnoticed(plan, place, policy))
                    counts = {"axes": len(ran) + ignored, "unnoticed": ignored}
                    found.append(names | counts | _mean_drops(pairs, {axis.group for axis in ran}))
    return found


def _pairs(won: Outcomes, plan: Plan, place: Place, policy: str) -> list[Pair]:
    """Return the pairs of every axis that counts, at its middle level; what a policy cannot notice changes nothing."""
    nominal, (host, task), found = won.of(place, policy), place, []
    for axis in _ran(plan, place, policy):
        varied = won.of(place, policy, axis.name, axis.middle)
        seeds = sorted(nominal.keys() & varied.keys())
        found += [Pair(nominal[s], varied[s], str(host), task, axis.group, s) for s in seeds]
    for axis in _unnoticed(plan, place, policy):
        found += [Pair(nominal[s], nominal[s], str(host), task, axis.group, s) for s in sorted(nominal)]
    return found


def _ran(plan: Plan, place: Place, policy: str) -> list[Axis]:
    """Return the axes that count and ran at their middle level."""
    cells = [c for c in plan.cells if (c.host, c.task) == place and policy in c.policies and c.arm.laws]
    return [axis for c in cells if (axis := find_axis(c.arm.axis)).counts and c.arm.level == axis.middle]


def _unnoticed(plan: Plan, place: Place, policy: str) -> list[Axis]:
    """Return the axes that count and that the policy cannot notice."""
    host, task = place
    rows = [u for u in plan.unnoticed if (u["host"], u["task"], u["policy"]) == (str(host), task, policy)]
    return [axis for u in rows if (axis := find_axis(u["axis"])).counts and u["level"] == axis.middle]


def _mean_drops(pairs: Sequence[Pair], seen: Collection[str]) -> dict[str, Any]:
    """Return the mean over all pairs and over those of each group that is seen."""
    groups = {group: [pair for pair in pairs if pair.group == group] for group in GROUPS if group in seen}
    return {
        "drop": asdict(mean_drop(pairs, name="mean drop")),
        "groups": {group: asdict(mean_drop(part, name=f"mean drop {group}")) for group, part in groups.items()},
    }


def mean_drop(pairs: Sequence[Pair], *, name: str) -> Interval:
    """Return the mean of nominal minus varied success with its interval.

    The limits of both rates, which know that episodes of one seed and of one task belong together, are joined by the
    square-and-add rule. Their correlation over seeds narrows it; few seeds are believed little of it. A bootstrap of
    the differences themselves is too narrow where failures are rare (docs/bench.md). Source: R. G. Newcombe, Statistics
    in Medicine 17:2635, 1998, method 10; for any two rates, G. Y. Zou and A. Donner, ibid. 27:1693, 2008.
    """
    factors = [pair.task for pair in pairs], [pair.seed for pair in pairs]
    first = cluster_rate([pair.nominal for pair in pairs], *factors, name=f"{name}, nominal")
    second = cluster_rate([pair.varied for pair in pairs], *factors, name=f"{name}, varied")
    drop, r = first.estimate - second.estimate, _correlation(pairs)
    below = _joined(first.estimate - first.low, second.high - second.estimate, r)
    above = _joined(first.high - first.estimate, second.estimate - second.low, r)
    return Interval(drop, max(-1.0, drop - below), min(1.0, drop + above), len(pairs))


def _joined(a: float, b: float, r: float) -> float:
    return math.sqrt(max(0.0, a * a + b * b - 2 * r * a * b))


def _correlation(pairs: Sequence[Pair]) -> float:
    """Return the correlation between the rates of the seeds in the two arms, shrunk; 0 where there is none."""
    seeds: dict[tuple[str, str, int], list[tuple[bool, bool]]] = {}
    for pair in pairs:
        seeds.setdefault((pair.host, pair.task, pair.seed), []).append((pair.nominal, pair.varied))
    rates = np.array([np.mean(both, axis=0) for both in seeds.values()], dtype=np.float64)
    if len(rates) < 2 or (rates.std(axis=0) < 1e-9).any():
        return 0.0
    count = len({pair.seed for pair in pairs})
    return max(0.0, float(np.corrcoef(rates.T)[0, 1])) * count / (count + SHRINK)


def overall(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return, for each policy and outcome, the nominal rate and the mean drop over all tasks and hosts."""
    found = []
    for outcome in OUTCOMES:
        won = Outcomes(records, outcome)
        for policy in dict.fromkeys(policy for place in plan.places for policy in policies_of(plan, place)):
            places = [place for place in plan.places if policy in policies_of(plan, place)]
            rows = [(task, s, ok) for host, task in places for s, ok in won.of((host, task), policy).items()]
            pairs = [pair for place in places for pair in _pairs(won, plan, place, policy)]
            if rows:
                tasks, seeds, successes = zip(*rows, strict=True)
                rate = cluster_rate(successes, tasks, seeds, name=f"overall {outcome}")
                drop = asdict(mean_drop(pairs, name=f"overall drop {outcome}")) if pairs else None
                entry = {"policy": policy, "outcome": outcome, "places": len(places)}
                found.append(entry | {"nominal": asdict(rate), "drop": drop})
    return found

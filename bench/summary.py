"""From the episode log to the numbers of a report: every rate and mean with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from bench.breakdowns import breakdowns
from bench.failures import counted
from bench.intervals import bootstrap_mean, bootstrap_quantile, mcnemar, wilson
from bench.metrics import Metrics
from bench.record import Record

RATES = ("success", "success_once", "lifted", "lifted_once")
"""Outcomes of an episode that are reported as rates."""

METRICS = tuple(Metrics.__dataclass_fields__)


def summarize(
    records: Sequence[Record], timings: Sequence[dict[str, Any]], *, hosts: Sequence[str], policies: Sequence[str]
) -> dict[str, Any]:
    """Return {"cells": [...], "comparisons": [...]}: one cell per host and policy, paired tests within each host."""
    cells = [
        _cell(host, policy, _of(records, host, policy), _of(timings, host, policy))
        for host in hosts
        for policy in policies
    ]
    comparisons = [
        found
        for host in hosts
        for first, second in combinations(policies, 2)
        for outcome in ("success", "lifted")
        if (found := _comparison(host, outcome, first, second, records)) is not None
    ]
    return {"cells": cells, "comparisons": comparisons}


def _of(lines: Sequence[dict[str, Any]], host: str, policy: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["host"] == host and line["policy"] == policy]


def _cell(host: str, policy: str, records: list[Record], timings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the numbers of one policy in one host. A cell in which nothing could be judged has no numbers."""
    judged = [record for record in records if record["error"] is None]
    errors = [{"seed": record["seed"], "reason": record["error"]} for record in records if record["error"] is not None]
    cell: dict[str, Any] = {"host": host, "policy": policy, "n": len(judged), "errors": errors}
    if not judged:
        return (
            cell
            | dict.fromkeys(RATES)
            | {
                "metrics": {},
                "metrics_lifted": {},
                "seconds_per_call": None,
                "latency": {},
                "failures": [],
                "breakdowns": [],
            }
        )
    rates = {name: asdict(wilson(sum(record[name] for record in judged), len(judged))) for name in RATES}
    lifted = [record for record in judged if record["lifted"]]
    calls = [line["seconds_per_call"] for line in timings if "seconds_per_call" in line]
    return (
        cell
        | rates
        | {
            "metrics": metric_means(judged, METRICS),
            "metrics_lifted": metric_means(lifted, METRICS),
            "seconds_per_call": sum(calls) / len(calls) if calls else None,
            "latency": _latency(timings),
            "failures": counted(judged),
            "breakdowns": breakdowns(judged),
        }
    )


def _latency(timings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median and the 95th percentile of the seconds per call; empty where no call was timed."""
    groups = [line["seconds"] for line in timings if line.get("seconds")]
    if not groups:
        return {}
    return {
        name: asdict(bootstrap_quantile(groups, share, name=f"latency {name}"))
        for name, share in (("p50", 0.5), ("p95", 0.95))
    }


def metric_means(records: Sequence[Record], names: Sequence[str]) -> dict[str, Any]:
    """Return the mean of each named metric over the records that have it, with its bootstrap interval."""
    means: dict[str, Any] = {}
    for name in names:
        values = [value for record in records if (value := record["metrics"].get(name)) is not None]
        if values:
            means[name] = asdict(bootstrap_mean(values, name=name))
    return means


def _comparison(host: str, outcome: str, first: str, second: str, records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the paired test of two policies on the seeds that both finished; None where there are none."""
    by_seed = {
        policy: {r["seed"]: bool(r[outcome]) for r in _of(records, host, policy) if r["error"] is None}
        for policy in (first, second)
    }
    seeds = sorted(by_seed[first].keys() & by_seed[second].keys())
    if not seeds:
        return None
    paired = mcnemar([by_seed[first][s] for s in seeds], [by_seed[second][s] for s in seeds])
    return {"host": host, "outcome": outcome, "first": first, "second": second, **asdict(paired)}

"""From the log of a suite to its numbers: nominal cells, arms, drops against the nominal arm, means and grounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.axes import find_axis
from bench.failures import counted
from bench.grounding import grounding
from bench.intervals import wilson
from bench.record import Record
from bench.suite_drops import drops
from bench.suite_means import means, overall
from bench.suite_plan import Plan
from bench.summary import metric_means, summarize
from bench.variation import NOMINAL_AXIS, place_of
from sim.episodes import PolicySpec

RATES = ("success", "success_once", "lifted", "lifted_once")

MOTION = ("sparc", "ldlj_v", "jerk_rms", "action_change", "path_ratio", "time_to_lifted")
"""Metrics of motion that are reported for every arm."""


def summarize_plan(
    records: Sequence[Record], timings: Sequence[dict[str, Any]], plan: Plan, specs: Mapping[str, PolicySpec]
) -> dict[str, Any]:
    """Return the results of a run: those of its nominal cells, and under "suite" what the arms show."""
    policies = tuple(specs)
    if plan.suite is None:
        hosts = list(dict.fromkeys(str(host) for host, _ in plan.places))
        return summarize(records, timings, hosts=hosts, policies=policies)
    results: dict[str, Any] = {"cells": [], "comparisons": []}
    for host, task in plan.places:
        ran = [c.policies for c in plan.cells if (c.host, c.task, c.arm.axis) == (host, task, NOMINAL_AXIS)]
        if ran:
            part = [[line for line in log if _is(line, str(host), task, NOMINAL_AXIS)] for log in (records, timings)]
            found = summarize(part[0], part[1], hosts=[str(host)], policies=ran[0])
            for name, rows in found.items():
                results[name] += [row | {"task": task} for row in rows]
    return results | {"suite": suite_results(records, plan, experts=expert_names(specs))}


def expert_names(specs: Mapping[str, PolicySpec]) -> tuple[str, ...]:
    """Return the policies that see the true state: the ones to hold a policy's motion against."""
    return tuple(name for name, spec in specs.items() if "privileged" in spec.inputs)


def _is(line: Mapping[str, Any], host: str, task: str, axis: str) -> bool:
    return (line["host"], line.get("task"), line.get("axis")) == (host, task, axis)


def suite_results(records: Sequence[Record], plan: Plan, *, experts: Sequence[str]) -> dict[str, Any]:
    """Return arms, drops, means, aggregates and grounding of a suite's log."""
    assert plan.suite is not None
    found = drops(records, plan)
    return {
        **plan.suite.record(),
        "axes": {name: _about(name) for name in dict.fromkeys(c.arm.axis for c in plan.cells if c.arm.laws)},
        "experts": list(experts),
        "arms": arms(records, plan),
        "drops": found,
        "means": means(records, plan),
        "overall": overall(records, plan),
        "grounding": _grounding(records, plan),
        "unavailable": list(plan.unavailable),
        "unnoticed": list(plan.unnoticed),
    }


def _about(name: str) -> dict[str, Any]:
    axis = find_axis(name)
    return {"group": axis.group, "about": axis.about, "levels": len(axis.levels)}


def arms(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return one entry per cell and policy: rates, motion over all episodes and over successes, modes of failure."""
    by_cell: dict[Any, list[Record]] = {}
    for record in records:
        by_cell.setdefault((place_of(record), record["policy"]), []).append(record)
    return [
        {
            "host": str(cell.host),
            "task": cell.task,
            "axis": cell.arm.axis,
            "level": cell.arm.level,
            "policy": policy,
            **_arm(by_cell.get(((str(cell.host), cell.task, cell.arm.axis, cell.arm.level), policy), [])),
        }
        for cell in plan.cells
        for policy in cell.policies
    ]


def _arm(records: Sequence[Record]) -> dict[str, Any]:
    """Return the numbers of one policy in one arm; an arm in which nothing could be judged has none."""
    judged = [record for record in records if record["error"] is None]
    errors = [{"seed": record["seed"], "reason": record["error"]} for record in records if record["error"] is not None]
    rates = {
        name: asdict(wilson(sum(bool(record[name]) for record in judged), len(judged))) if judged else None
        for name in RATES
    }
    return {
        "n": len(judged),
        "errors": errors,
        **rates,
        "metrics": metric_means(judged, MOTION),
        "metrics_lifted": metric_means([record for record in judged if record["lifted"]], MOTION),
        "failures": counted(judged),
    }


def _grounding(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return what each policy did with the sentence in each place where it was asked."""
    found = []
    for host, task in plan.places:
        for policy in dict.fromkeys(record["policy"] for record in records):
            own = [r for r in records if (r["host"], r["task"], r["policy"]) == (str(host), task, policy)]
            asked = grounding(own)
            if asked is not None:
                found.append({"host": str(host), "task": task, "policy": policy, **asked})
    return found

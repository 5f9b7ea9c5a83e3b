"""What a study found: rates of every combination, what each knob brought, and how far the hosts agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.agreement import agreement, to_json
from bench.intervals import cluster_rate, resampled
from bench.study import Cell, StudyConfig, Value
from sim.errors import UserError
from sim.rates import holm

ALPHA = 0.05

ALL = "all"
"""Name of the rows over all hosts."""


@dataclass(frozen=True)
class Outcome:
    """One judged episode of one cell."""

    cell: Cell
    host: str
    seed: int
    success: bool


def outcomes(cell: Cell, log: Sequence[Mapping[str, Any]], *, policy: str, outcome: str) -> list[Outcome]:
    """Return the judged episodes of a cell from the log of its benchmark; episodes that broke off are left out."""
    return [
        Outcome(cell, record["host"], int(record["seed"]), bool(record[outcome]))
        for record in log
        if record["policy"] == policy and record["error"] is None
    ]


def report(config: StudyConfig, found: Sequence[Outcome]) -> dict[str, Any]:
    """Return the study's numbers as JSON; no judged episode is an error."""
    if not found:
        raise UserError("The study has no judged episode yet. Run the same command again to continue it.")
    hosts = list(dict.fromkeys(each.host for each in found))
    return {
        "outcome": config.outcome,
        "hosts": hosts,
        "knobs": [{"title": knob.title, "values": list(knob.values)} for knob in config.knobs],
        "seeds": list(config.seeds),
        "cells": _combinations(found, hosts),
        "curves": [_curve(knob.title, knob.values, found, hosts) for knob in config.knobs],
        "effects": _effects(config, found, hosts),
        "agreement": [to_json(each) for each in _agreements(found, hosts)],
    }


def _of(found: Sequence[Outcome], host: str) -> list[Outcome]:
    return [each for each in found if host in (ALL, each.host)]


def _rate(found: Sequence[Outcome], name: str) -> dict[str, Any] | None:
    """Return the rate over several cells: training seeds and episodes are clusters, hosts are not."""
    if not found:
        return None
    won = [each.success for each in found]
    return asdict(cluster_rate(won, [each.cell.seed for each in found], [each.seed for each in found], name=name))


def _combinations(found: Sequence[Outcome], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rates of each combination of values, pooled over its training seeds."""
    groups: dict[tuple[tuple[str, Value], ...], list[Outcome]] = {}
    for each in found:
        groups.setdefault(tuple(each.cell.values.items()), []).append(each)
    return [
        {
            "values": dict(values),
            "seeds": sorted({each.cell.seed for each in group}),
            "rates": {host: _rate(_of(group, host), f"{values} {host}") for host in [*hosts, ALL]},
        }
        for values, group in groups.items()
    ]


def _curve(knob: str, values: Sequence[Value], found: Sequence[Outcome], hosts: Sequence[str]) -> dict[str, Any]:
    """Return the rate at each value of a knob, over all values of the others."""
    return {
        "knob": knob,
        "values": list(values),
        "rates": {
            host: [
                _rate([e for e in _of(found, host) if e.cell.values[knob] == value], f"{knob} {value} {host}")
                for value in values
            ]
            for host in [*hosts, ALL]
        },
    }


def _effects(config: StudyConfig, found: Sequence[Outcome], hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what each value brought against the first of its knob, paired over everything else."""
    rows = []
    for knob in config.knobs:
        for value in knob.values[1:]:
            for host in [*hosts, ALL] if len(hosts) > 1 else [ALL]:
                row = _effect(knob.title, knob.values[0], value, _of(found, host), host)
                if row is not None:
                    rows.append(row)
    tested = [row for row in rows if row["host"] == ALL]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        sure = adjusted <= ALPHA
        change = row["difference"]["estimate"]
        row |= {"p_holm": adjusted, "verdict": "not shown" if not sure else "paid" if change > 0 else "cost"}
    return rows


def _effect(knob: str, base: Value, value: Value, found: Sequence[Outcome], host: str) -> dict[str, Any] | None:
    """Return the paired difference of two values of a knob: same other values, training seed, host and episode."""

    def place(each: Outcome) -> tuple[Any, ...]:
        others = tuple((name, held) for name, held in each.cell.values.items() if name != knob)
        return others, each.cell.seed, each.host, each.seed

    before = {place(each): each.success for each in found if each.cell.values[knob] == base}
    after = {place(each): each.success for each in found if each.cell.values[knob] == value}
    common = [where for where in before if where in after]
    if not common:
        return None
    gains = np.array([int(after[where]) - int(before[where]) for where in common], dtype=np.float64)
    trainings, episodes = [where[1] for where in common], [where[3] for where in common]
    brought = resampled(gains, trainings, episodes, name=f"effect {knob} {base} {value} {host}")
    return {
        "knob": knob,
        "from": base,
        "to": value,
        "host": host,
        "difference": asdict(brought.interval()),
        "p": brought.p(),
    }


def _agreements(found: Sequence[Outcome], hosts: Sequence[str]) -> list[Any]:
    """Return the agreement of each pair of hosts over all trained policies."""
    policies = list(dict.fromkeys(each.cell.title for each in found))
    seeds = sorted({each.seed for each in found})
    won = {(each.cell.title, each.host, each.seed): float(each.success) for each in found}

    def table(host: str) -> np.ndarray[Any, Any]:
        kept = [seed for seed in seeds if all((policy, host, seed) in won for policy in policies)]
        return np.array([[won[policy, host, seed] for seed in kept] for policy in policies])

    return [agreement(a, b, (table(a), table(b))) for a, b in itertools.combinations(hosts, 2)]

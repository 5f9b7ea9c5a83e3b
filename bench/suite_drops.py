"""How much each axis costs: drops of success against the nominal arm on the same seeds, Holm over axes, and means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.axes import GROUPS, Axis, find_axis
from bench.config import HostTask
from bench.intervals import Interval, cluster_bootstrap, cluster_rate, mcnemar, wilson
from bench.paired import difference
from bench.record import Record
from bench.suite_plan import Plan
from bench.variation import NOMINAL_AXIS
from sim.rates import holm

OUTCOMES = ("lifted", "success")
"""What drops: our task's own success, the same in every host, and the host's own."""

Won = Mapping[int, bool]
"""Seed -> whether the episode succeeded, of those that could be judged."""


class Outcomes:
    """The successes of a log by host, task, policy, axis and level."""

    def __init__(self, records: Iterable[Record], outcome: str) -> None:
        """Read the judged records."""
        self._won: dict[tuple[Any, ...], dict[int, bool]] = {}
        for record in records:
            if record["error"] is None:
                names = (record["host"], record["task"], record["policy"], record["axis"], record["level"])
                self._won.setdefault(names, {})[record["seed"]] = bool(record[outcome])

    def of(self, place: tuple[HostTask, str], policy: str, axis: str = NOMINAL_AXIS, level: int = 0) -> Won:
        """Return what one policy won in one arm of one place."""
        host, task = place
        return self._won.get((str(host), task, policy, axis, level), {})


def _policies(plan: Plan, place: tuple[HostTask, str]) -> tuple[str, ...]:
    """Return the policies of a place that has a nominal arm."""
    cells = [c for c in plan.cells if (c.host, c.task) == place and c.arm.axis == NOMINAL_AXIS]
    return cells[0].policies if cells else ()


def drops(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return, for each place, policy, arm and outcome, the rates of both arms and their paired difference.

    Holm's correction runs over all arms of one policy in one place, for each outcome by itself.
    """
    found = []
    for outcome in OUTCOMES:
        won = Outcomes(records, outcome)
        for place in plan.places:
            for policy in _policies(plan, place):
                rows = [row for row in _rows(won, plan, place, policy) if row is not None]
                for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
                    found.append({**row, "outcome": outcome, "p_holm": adjusted})
    return found


def _rows(won: Outcomes, plan: Plan, place: tuple[HostTask, str], policy: str) -> Iterable[dict[str, Any] | None]:
    nominal = won.of(place, policy)
    for cell in plan.cells:
        axis = cell.arm.axis
        compared = (cell.host, cell.task) == place and policy in cell.policies and axis != NOMINAL_AXIS
        if compared and find_axis(axis).group != "grounding":
            yield _row(
                place, policy, cell.arm.axis, cell.arm.level, nominal, won.of(place, policy, axis, cell.arm.level)
            )


def _row(
    place: tuple[HostTask, str], policy: str, axis: str, level: int, nominal: Won, varied: Won
) -> dict[str, Any] | None:
    """Return the drop of one arm; None where no seed could be judged in both."""
    seeds = sorted(nominal.keys() & varied.keys())
    if not seeds:
        return None
    before, after = [nominal[s] for s in seeds], [varied[s] for s in seeds]
    test = mcnemar(before, after)
    return {
        "host": str(place[0]),
        "task": place[1],
        "policy": policy,
        "axis": axis,
        "level": level,
        "nominal": asdict(wilson(sum(before), len(before))),
        "varied": asdict(wilson(sum(after), len(after))),
        "drop": asdict(difference(test.only_first, test.only_second, test.n)),
        "lost": test.only_first,
        "won": test.only_second,
        "n": test.n,
        "p": test.p,
    }


Gap = tuple[int, str, str, int]
"""Nominal minus varied success of one episode, with its task, group of axes and seed."""


def _gaps(won: Outcomes, plan: Plan, place: tuple[HostTask, str], policy: str) -> list[Gap]:
    """Return the gaps of every axis that counts, at its middle level; what a policy cannot notice costs nothing."""
    nominal, found = won.of(place, policy), []
    for axis in _middles(plan, place, policy):
        varied = won.of(place, policy, axis.name, axis.middle)
        found += [
            (int(nominal[s]) - int(varied[s]), place[1], axis.group, s) for s in sorted(nominal.keys() & varied.keys())
        ]
    for axis in _unnoticed(plan, place, policy):
        found += [(0, place[1], axis.group, seed) for seed in sorted(nominal)]
    return found


def _middles(plan: Plan, place: tuple[HostTask, str], policy: str) -> list[Axis]:
    cells = [c for c in plan.cells if (c.host, c.task) == place and policy in c.policies and c.arm.laws]
    return [axis for c in cells if (axis := find_axis(c.arm.axis)).counts and c.arm.level == axis.middle]


def _unnoticed(plan: Plan, place: tuple[HostTask, str], policy: str) -> list[Axis]:
    host, task = place
    rows = [u for u in plan.unnoticed if (u["host"], u["task"], u["policy"]) == (str(host), task, policy)]
    return [axis for u in rows if (axis := find_axis(u["axis"])).counts and u["level"] == axis.middle]


def means(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return, for each place, policy and outcome, the mean drop over axes at the middle level, and by group of axes."""
    found = []
    for outcome in OUTCOMES:
        won = Outcomes(records, outcome)
        for place in plan.places:
            for policy in _policies(plan, place):
                gaps = _gaps(won, plan, place, policy)
                if gaps:
                    names = {"host": str(place[0]), "task": place[1], "policy": policy, "outcome": outcome}
                    ignored = len(_unnoticed(plan, place, policy))
                    ran = _middles(plan, place, policy)
                    counts = {"axes": len(ran) + ignored, "unnoticed": ignored}
                    found.append(names | counts | _mean_drops(gaps, {axis.group for axis in ran}))
    return found


def _mean_drops(gaps: Sequence[Gap], seen: Collection[str]) -> dict[str, Any]:
    """Return the mean of all gaps and of each group that is seen; episodes of one seed are one cluster."""
    groups = {group: [gap for gap in gaps if gap[2] == group] for group in GROUPS if group in seen}
    return {
        "drop": asdict(_mean(gaps, "mean drop")),
        "groups": {group: asdict(_mean(part, f"mean drop {group}")) for group, part in groups.items()},
    }


def _mean(gaps: Sequence[Gap], name: str) -> Interval:
    """Return the mean gap over tasks and seeds; where all gaps are equal, as wide as that many seeds allow."""
    values, seeds = [gap[0] for gap in gaps], [gap[3] for gap in gaps]
    found = cluster_bootstrap(values, [gap[1] for gap in gaps], seeds, name=name)
    if found.high > found.low:
        return found
    n = len(set(seeds))
    exact = difference(n * (values[0] > 0), n * (values[0] < 0), n)
    return Interval(found.estimate, min(found.low, exact.low), max(found.high, exact.high), found.n)


def overall(records: Sequence[Record], plan: Plan) -> list[dict[str, Any]]:
    """Return, for each policy and outcome, the nominal rate and the mean drop over all tasks and hosts."""
    found = []
    for outcome in OUTCOMES:
        won = Outcomes(records, outcome)
        for policy in dict.fromkeys(policy for place in plan.places for policy in _policies(plan, place)):
            places = [place for place in plan.places if policy in _policies(plan, place)]
            rows = [(task, s, ok) for host, task in places for s, ok in won.of((host, task), policy).items()]
            gaps = [gap for place in places for gap in _gaps(won, plan, place, policy)]
            if rows:
                tasks, seeds, successes = zip(*rows, strict=True)
                rate = cluster_rate(successes, tasks, seeds, name=f"overall {outcome}")
                entry = {"policy": policy, "outcome": outcome, "places": len(places), "nominal": asdict(rate)}
                found.append(entry | {"drop": asdict(_mean(gaps, f"overall drop {outcome}")) if gaps else None})
    return found

"""How much each axis costs: drops of success against the nominal arm on the same seeds, with Holm over axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.axes import find_axis
from bench.config import HostTask
from bench.intervals import mcnemar, wilson
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


def policies_of(plan: Plan, place: tuple[HostTask, str]) -> tuple[str, ...]:
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
            for policy in policies_of(plan, place):
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

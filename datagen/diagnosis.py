"""When to stop a task that does not get on, and what to say: which filter, which cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from datagen.bias import LEVEL, adjusted, chi_square, in_words
from datagen.cells import KEPT, CellCounts
from datagen.filters import FilterReport
from datagen.quotas import PREFIX, Selection
from sim.errors import UserError

PATIENCE = 3
"""Units in a row over which acceptance is judged."""

LEAST_ACCEPTANCE = 0.05
"""Share of good candidates, of all or of a quota's cell, below which generation stops."""

LEAST_CANDIDATES = 200
"""Candidates of a quota's cell from which on its acceptance is judged."""

STALLED = 8192
"""Candidates in a row without one that is taken after which generation stops."""


class AcceptanceCollapsed(UserError):
    """A task was stopped because hardly anything that it brings can be used."""


@dataclass
class Watchdog:
    """Judges one split after every unit."""

    recent: list[FilterReport] = field(default_factory=list)
    idle: int = 0

    def check(self, report: FilterReport, taken: int, *, counts: CellCounts, selection: Selection) -> None:
        """Take note of a unit and what was taken of it; stop the task where more units will not help."""
        self.recent = [*self.recent[1 - PATIENCE :], report]
        self.idle = 0 if taken else self.idle + report.candidates
        total = FilterReport()
        for each in self.recent:
            total.merge(each)
        if len(self.recent) == PATIENCE and total.acceptance < LEAST_ACCEPTANCE:
            raise _collapsed(f"of the last {PATIENCE} units, {total.text()}", counts, selection)
        for short in selection.shortages():
            cell = counts.of(short.axis)[short.cell]
            if cell.total() >= LEAST_CANDIDATES and cell[KEPT] < LEAST_ACCEPTANCE * cell.total():
                why = ", ".join(f"{reason} {n}" for reason, n in cell.most_common() if reason != KEPT)
                raise _collapsed(
                    f"{short}; of its {cell.total()} candidates kept {cell[KEPT]}; {why}", counts, selection
                )
        if self.idle >= STALLED:
            raise _collapsed(f"none of the last {self.idle} candidates fits what is still wanted", counts, selection)


def _collapsed(what: str, counts: CellCounts, selection: Selection) -> AcceptanceCollapsed:
    short = selection.shortages()
    missing = f" Quotas that are not met: {'; '.join(map(str, short[:6]))}." if short else ""
    where = leaning(counts)
    told = f" Where they fail: {' '.join(where)}" if where else " No knob of the randomization explains it."
    return AcceptanceCollapsed(
        f"Hardly any episode passes the filters: {what}.{missing}{told} The policy does not solve the task under this "
        "randomization, or a limit in [filters] is too strict. Measure the policy first (demomill bench), then look at "
        "the limits. What was generated is kept."
    )


def leaning(counts: CellCounts, *, most: int = 3) -> list[str]:
    """Return a sentence for each of the knobs on which acceptance depends most, the strongest first."""
    axes = [axis for axis in counts.axes if not axis.name.startswith(PREFIX)]
    tests = [chi_square([(cell[KEPT], cell.total() - cell[KEPT]) for cell in counts.of(axis)]) for axis in axes]
    corrected = adjusted([test["p"] for test in tests])
    found = sorted(
        (p, -test["chi_square"], axis.name, axis, test)
        for p, test, axis in zip(corrected, tests, axes, strict=True)
        if p is not None and p < LEVEL
    )
    return [in_words(axis, _shares(counts, axis.name), {**test, "p_holm": p}) for p, _, _, axis, test in found[:most]]


def _shares(counts: CellCounts, name: str) -> Sequence[dict[str, float | str | None]]:
    """Return acceptance and name of each cell of an axis."""
    axis = next(axis for axis in counts.axes if axis.name == name)
    cells = zip(axis.labels, counts.of(axis), strict=True)
    return [{"cell": label, "acceptance": c[KEPT] / c.total() if c.total() else None} for label, c in cells]

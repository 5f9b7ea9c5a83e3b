"""Which good episodes a split takes: in the order of their numbers, no near-duplicates, equally many per cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datagen.cells import Axis, report_axes
from datagen.filters import DUPLICATE
from datagen.starts import Starts
from sim.errors import UserError, unknown
from tasks.task import Task

SURPLUS = "its cell is full"
"""Why a good episode is left out where quotas are set; it is no fault of the episode."""

PREFIX = "quota "
"""Beginning of the names of the axes that quotas are counted on."""


@dataclass(frozen=True)
class QuotaConfig:
    """Equally many episodes for every cell of one thing that episodes draw."""

    # What is balanced: "template" (of the instruction), or a knob: "cube.color", "cube.position[0]".
    by: str
    # Cells of equal probability that a number's range is cut into; of names each is a cell.
    bins: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 1000:
            raise UserError(f"quotas: bins = {self.bins} is not allowed. Allowed: 2 to 1000.")


def quota_axes(quotas: Sequence[QuotaConfig], task: Task, preset: str, appearance: str) -> tuple[Axis, ...]:
    """Return the axis of each quota; what does not hold for a whole episode is refused with the nearest name."""
    axes = []
    for quota in quotas:
        known = {axis.name: axis for axis in report_axes(task, preset, appearance, bins=quota.bins)}
        if quota.by not in known:
            raise unknown("quota", quota.by, known)
        axes.append(replace(known[quota.by], name=PREFIX + quota.by))
    if len({axis.name for axis in axes}) < len(axes):
        raise UserError("quotas: two of them balance the same thing. Name each once.")
    return tuple(axes)


def shares(wanted: int, cells: int) -> list[int]:
    """Return how many of `wanted` episodes each cell gets: equally many, the first cells one more where need be."""
    return [wanted // cells + (cell < wanted % cells) for cell in range(cells)]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a good episode."""

    # Empty for one that is taken; else `DUPLICATE` or `SURPLUS`.
    reason: str
    # Distance of its start to the nearest one taken before, m, or None where none is near.
    start_distance: float | None

    @property
    def taken(self) -> bool:
        """Whether the dataset takes it."""
        return not self.reason


@dataclass(frozen=True)
class Shortage:
    """A cell of a quota that is not full."""

    axis: Axis
    cell: int
    have: int
    want: int

    def __str__(self) -> str:
        """Return "template = take: 3 of 40"."""
        return f"{self.axis.name.removeprefix(PREFIX)} = {self.axis.labels[self.cell]}: {self.have} of {self.want}"


class Selection:
    """One split as it fills. The verdict on an episode depends on it and on those before it, and on nothing else."""

    def __init__(self, wanted: int, *, axes: Sequence[Axis] = (), min_distance: float | None = None) -> None:
        """Take nothing yet; `axes` are those of the quotas."""
        self.wanted, self.count = wanted, 0
        self._want = {axis: shares(wanted, len(axis.labels)) for axis in axes}
        self._have = {axis: [0] * len(axis.labels) for axis in axes}
        self._starts, self._min_distance = Starts(), min_distance

    @property
    def full(self) -> bool:
        """Whether the split has all its episodes."""
        return self.count == self.wanted

    def offer(self, start: Sequence[float], draw: Mapping[str, Any]) -> Verdict:
        """Return what becomes of the next good episode, and count it if it is taken."""
        distance = self._starts.distance(start)
        if self._min_distance is not None and distance is not None and distance < self._min_distance:
            return Verdict(DUPLICATE, distance)
        cells = {axis: axis.cell(draw) for axis in self._want}
        if any(cell is None or self._have[axis][cell] >= self._want[axis][cell] for axis, cell in cells.items()):
            return Verdict(SURPLUS, distance)
        for axis, cell in cells.items():
            assert cell is not None
            self._have[axis][cell] += 1
        self.count += 1
        self._starts.add(start)
        return Verdict("", distance)

    def shortages(self) -> list[Shortage]:
        """Return the cells that are not full, in order."""
        return [
            Shortage(axis, cell, have, want)
            for axis, wanted in self._want.items()
            for cell, (have, want) in enumerate(zip(self._have[axis], wanted, strict=True))
            if have < want
        ]

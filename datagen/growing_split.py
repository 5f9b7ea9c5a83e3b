"""One split of a dataset as it fills: what was counted, what is taken, which shards are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datagen.cells import Axis, CellCounts
from datagen.diagnosis import Watchdog
from datagen.filters import FilterReport
from datagen.finish import FinishedSplit
from datagen.layout import FAILURES
from datagen.quotas import SURPLUS, Selection
from datagen.rlds_writer import ShardRecord
from datagen.unit_files import UnitHeader


@dataclass(frozen=True)
class Source:
    """An episode that is taken: where it is stored, and how near its start is to those before it, m."""

    unit: Path
    row: int
    seed: int
    start_distance: float | None


class GrowingSplit:
    """What is known of one split."""

    def __init__(
        self,
        name: str,
        wanted: int,
        *,
        axes: Sequence[Axis] = (),
        quotas: Sequence[Axis] = (),
        min_distance: float | None = None,
    ) -> None:
        """Begin empty; `axes` are those on which candidates are counted, those of the quotas among them."""
        self.name, self.wanted = name, wanted
        self.sources: list[Source] = []
        self.shards: dict[int, ShardRecord] = {}
        self.handed_out = 0
        self.report = FilterReport()
        self.cells, self.written = CellCounts(axes), CellCounts(axes)
        self.surplus = 0
        self._selection = Selection(wanted, axes=quotas, min_distance=min_distance)
        self._watchdog = Watchdog()

    @property
    def full(self) -> bool:
        """Whether it has all its episodes."""
        return bool(self.wanted) and self._selection.full

    def add(self, path: Path, header: UnitHeader) -> int:
        """Count a unit and take what fits of it, in order; return how many episodes were taken."""
        self.report.merge(header.report)
        self.cells.merge(header.cells)
        before = len(self.sources)
        for episode in header.kept:
            if self._selection.full:
                break
            verdict = self._selection.offer(episode.start, episode.draw)
            if verdict.taken:
                self.sources.append(Source(path, episode.row, episode.seed, verdict.start_distance))
                self.written.add(episode.draw)
            elif verdict.reason == SURPLUS:
                self.surplus += 1
            else:
                self.report.reject(verdict.reason)
                self.cells.move(episode.draw, verdict.reason)
        return len(self.sources) - before

    def check(self, report: FilterReport, taken: int) -> None:
        """Stop the task where more units will not help."""
        self._watchdog.check(report, taken, counts=self.cells, selection=self._selection)

    def finished(self) -> FinishedSplit:
        """Return its shards in order, and what is said of it."""
        return FinishedSplit(
            shards=[self.shards[number] for number in sorted(self.shards)],
            report=self.report if self.name != FAILURES else None,
            seeds=[source.seed for source in self.sources],
            start_distances=[source.start_distance for source in self.sources],
        )

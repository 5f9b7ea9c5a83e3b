"""The loop of generation: units of candidates until enough are kept, shards handed out as soon as they are full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datagen.disk import require_space
from datagen.filters import FilterReport
from datagen.finish import FinishedSplit
from datagen.job import GenerateConfig
from datagen.journal import Journal
from datagen.pool import ShardPool
from datagen.progress import Progress, Show
from datagen.render_shards import RenderSettings, ShardJob
from datagen.rlds_writer import ShardRecord
from datagen.units import UnitHeader, load_header, load_unit, save_unit, simulate_unit
from sim.episodes import Env, Policy
from sim.errors import UserError
from sim.rollouts import RolloutOptions
from sim.streams import EPISODES_PER_SEED, Split, episode_seed
from tasks.catalogue import load_task

SEED_SPLITS: dict[str, Split] = {"train": "train", "val": "validation"}

PATIENCE = 3
"""Units in a row over which acceptance is judged."""

LEAST_ACCEPTANCE = 0.05
"""Share of kept candidates over `PATIENCE` units below which generation stops."""

Source = tuple[Path, int]
"""A kept episode: its unit's file and its row there."""


class Collector:
    """One generation: what is kept, what is handed out, what is written."""

    def __init__(
        self,
        config: GenerateConfig,
        journal: Journal,
        pool: ShardPool,
        settings: RenderSettings,
        *,
        env: Env,
        policy: Policy,
        progress: Show,
    ) -> None:
        """Prepare; `run` does the work."""
        self._config, self._journal, self._pool, self._settings = config, journal, pool, settings
        self._env, self._policy, self._show = env, policy, progress
        self._options = RolloutOptions(
            stop_held=config.hold or load_task(config.task).hold,
            perturb_share=config.perturb_share,
            perturb_std=config.perturb_std,
        )
        self._kept: dict[str, list[Source]] = {split: [] for split in config.wanted()}
        self._reports: dict[str, FilterReport] = {split: FilterReport() for split in config.wanted()}
        self._shards: dict[str, dict[int, ShardRecord]] = {split: {} for split in config.wanted()}
        self._checked_space = False
        self.simulation_seconds = 0.0

    def run(self) -> dict[str, FinishedSplit]:
        """Simulate, filter, render and write everything that is not done yet."""
        for split, wanted in self._config.wanted().items():
            self._run_split(split, wanted)
        for key, record in self._pool.finished(all_of_them=True):
            self._note(key, record)
        return {
            split: FinishedSplit([shards[number] for number in sorted(shards)], self._reports[split])
            for split, shards in self._shards.items()
        }

    def columns(self, split: str) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Yield actions (T, 7) and states (T, 8) of the kept episodes of a split, in order."""
        for path, sources in groupby(self._kept[split], key=lambda source: source[0]):
            episodes = load_unit(path).episodes
            for _, row in sources:
                yield episodes[row].actions, episodes[row].states

    def _run_split(self, split: str, wanted: int) -> None:
        kept, handed_out = self._kept[split], 0
        recent: list[FilterReport] = []
        for number in count():
            header = self._unit(split, number)
            self._reports[split].merge(header.report)
            recent = [*recent[1 - PATIENCE :], header.report]
            rows = range(min(len(header.steps), wanted - len(kept)))
            kept.extend((self._journal.unit(split, number), row) for row in rows)
            full = len(kept) if len(kept) == wanted else len(kept) - len(kept) % self._config.shard_episodes
            while handed_out < full:
                chosen = kept[handed_out : min(handed_out + self._config.shard_episodes, full)]
                self._hand_out(split, handed_out // self._config.shard_episodes, chosen)
                handed_out += len(chosen)
            for key, record in self._pool.finished():
                self._note(key, record)
            self._tell()
            if len(kept) == wanted:
                return
            _require_acceptance(recent)

    def _unit(self, split: str, number: int) -> UnitHeader:
        """Return what a unit brought, from its file or from simulating it now."""
        path = self._journal.unit(split, number)
        if path.exists():
            return load_header(path)
        size = self._config.unit_episodes
        if (number + 1) * size > EPISODES_PER_SEED:
            raise UserError(
                f"All {EPISODES_PER_SEED} episodes of seed {self._config.seed} were simulated, and only "
                f"{len(self._kept[split])} were kept. Ask for fewer, or split the job over several seeds."
            )
        seeds = [episode_seed(SEED_SPLITS[split], self._config.seed, number * size + i) for i in range(size)]
        began = time.monotonic()
        unit = simulate_unit(self._env, self._policy, seeds, options=self._options, filters=self._config.filters)
        self.simulation_seconds += time.monotonic() - began
        save_unit(path, unit)
        return UnitHeader(tuple(len(e.actions) for e in unit.episodes), unit.report)

    def _hand_out(self, split: str, number: int, sources: list[Source]) -> None:
        """Have a shard written, unless it is there already."""
        record = self._journal.shard_record(split, number)
        if record is not None:
            self._shards[split][number] = record
            return
        grouped = tuple(
            (path, tuple(row for _, row in group)) for path, group in groupby(sources, key=lambda source: source[0])
        )
        path, note = self._journal.shard(split, number), self._journal.shard_note(split, number)
        self._pool.submit((split, number), ShardJob(path, note, self._settings, grouped))

    def _note(self, key: tuple[str, int], record: ShardRecord) -> None:
        """Remember that a shard is finished; the first one tells whether the rest will fit on the disk."""
        split, number = key
        self._shards[split][number] = record
        self._tell()
        if not self._checked_space:
            self._checked_space = True
            written = sum(r.episodes for shards in self._shards.values() for r in shards.values())
            left = sum(self._config.wanted().values()) - written
            needed = int(left * record.size / record.episodes)
            require_space(self._journal.work, needed, why=f"{left} more episodes take")

    def _tell(self) -> None:
        records = [record for shards in self._shards.values() for record in shards.values()]
        self._show(
            Progress(
                wanted=sum(self._config.wanted().values()),
                kept=sum(len(kept) for kept in self._kept.values()),
                candidates=sum(report.candidates for report in self._reports.values()),
                accepted=sum(report.kept for report in self._reports.values()),
                written=sum(record.episodes for record in records),
                size=sum(record.size for record in records),
            )
        )


def _require_acceptance(recent: list[FilterReport]) -> None:
    """Stop where hardly any candidate passes: more of them will not help."""
    total = FilterReport()
    for report in recent:
        total.merge(report)
    if len(recent) >= PATIENCE and total.acceptance < LEAST_ACCEPTANCE:
        raise UserError(
            f"Hardly any episode passes the filters: of the last {PATIENCE} units, {total.text()}. The policy does not "
            "solve the task under this randomization, or a limit in [filters] is too strict. Measure the policy first "
            "(demomill bench), then look at the limits. What was generated is kept."
        )

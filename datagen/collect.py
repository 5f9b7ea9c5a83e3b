"""The loop of generation: units of candidates until enough are taken, shards handed out as soon as they are full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.cells import report_axes
from datagen.disk import free_bytes, require_space
from datagen.estimate import estimate
from datagen.filter_story import Pictures, story
from datagen.filters import FilterReport
from datagen.finish import FinishedSplit
from datagen.growing_split import GrowingSplit, Source
from datagen.job import GenerateConfig
from datagen.journal import Journal
from datagen.layout import FAILURES
from datagen.pool import Pool
from datagen.progress import Progress
from datagen.quotas import quota_axes
from datagen.render_shards import Pick, RenderSettings, ShardJob
from datagen.rlds_writer import ShardRecord
from datagen.status import Watch
from datagen.unit_files import UnitHeader, load_episodes, load_header, save_unit
from datagen.units import UnitOptions, simulate_unit
from sim.episodes import Env, Policy
from sim.errors import UserError
from sim.rollouts import RolloutOptions
from sim.streams import EPISODES_PER_SEED, Split, episode_seed
from tasks.catalogue import load_task

CERTAIN = 0.8
"""Share of an estimate from a few drawn episodes that the dataset will take in any case."""

SEED_SPLITS: dict[str, Split] = {"train": "train", "val": "validation"}


class Collector:
    """One generation: what is taken, what is handed out, what is written."""

    def __init__(
        self,
        config: GenerateConfig,
        journal: Journal,
        pool: Pool,
        settings: RenderSettings,
        *,
        env: Env,
        policy: Policy,
        progress: Watch,
    ) -> None:
        """Prepare; `run` does the work."""
        self._config, self._journal, self._pool, self._settings = config, journal, pool, settings
        self._env, self._policy, self._show = env, policy, progress
        self._options = unit_options(config)
        quotas = quota_axes(config.quotas, self._options.task, config.preset, config.appearance)
        axes, distance = self._options.axes, config.filters.min_start_distance
        self._splits = {
            name: GrowingSplit(name, wanted, axes=axes, quotas=quotas, min_distance=distance)
            for name, wanted in config.wanted().items()
        }
        if config.failures:
            self._splits[FAILURES] = GrowingSplit(FAILURES, 0)
        self._pictures = Pictures()
        self._checked_space = self._estimated = False
        self.simulation_seconds = 0.0

    def run(self) -> dict[str, FinishedSplit]:
        """Simulate, filter, render and write everything that is not done yet."""
        for name in self._config.wanted():
            self._run_split(self._splits[name])
        for key, record in self._pool.finished(all_of_them=True):
            self._note(key, record)
        return {split.name: split.finished() for split in self._splits.values() if split.sources}

    def story(self) -> dict[str, Any]:
        """Write the filmstrips of rejected episodes; return the content of report.json."""
        counted = {name: split for name, split in self._splits.items() if name != FAILURES}
        pictures = self._pictures.write(self._journal.place.growing, self._settings)
        return story(list(counted.values()), pictures)

    def columns(self, split: str) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Yield actions (T, 7) and states (T, 8) of the episodes of a split, in order."""
        for path, sources in groupby(self._splits[split].sources, key=lambda source: source.unit):
            episodes = load_episodes(path)
            for source in sources:
                yield episodes[source.row].actions, episodes[source.row].states

    def _run_split(self, split: GrowingSplit) -> None:
        for number in count():
            path = self._journal.unit(split.name, number)
            header = self._unit(split, number)
            self._estimate_once(path)
            self._pictures.add(split.name, header.report, path)
            taken = split.add(path, header)
            if split.name == "train" and self._config.failures:
                self._add_failures(path, header)
            self._hand_out_full(split)
            for key, record in self._pool.finished():
                self._note(key, record)
            self._tell()
            if split.full:
                break
            split.check(header.report, taken)
        if split.name == "train" and self._config.failures:
            self._hand_out_full(self._splits[FAILURES], to_the_end=True)

    def _estimate_once(self, unit: Path) -> None:
        """Tell what the rest will take, as soon as a unit was simulated, and refuse what the disk cannot hold."""
        if self._estimated or not self.simulation_seconds:
            return
        self._estimated = True
        config, left = self._config, sum(self._config.wanted().values()) - self._written()[0]
        found = estimate(
            unit,
            self._settings,
            left=left,
            simulation=self.simulation_seconds,
            threads=config.threads,
            workers=config.render_workers,
        )
        if found is not None:
            self._show.estimated(seconds=round(found.seconds), bytes=found.bytes)
            require_space(self._journal.work, int(CERTAIN * found.bytes), why=f"{left} more episodes take at least")

    def _add_failures(self, path: Path, header: UnitHeader) -> None:
        failed = self._splits[FAILURES]
        for each in header.failures[: self._config.failures - len(failed.sources)]:
            failed.sources.append(Source(path, each.row, each.seed, None))
        self._hand_out_full(failed)

    def _hand_out_full(self, split: GrowingSplit, *, to_the_end: bool = False) -> None:
        """Have every full shard written, and the last one once nothing follows."""
        size, sources = self._config.shard_episodes, split.sources
        whole = len(sources) if to_the_end or split.full else len(sources) - len(sources) % size
        while split.handed_out < whole:
            chosen = sources[split.handed_out : min(split.handed_out + size, whole)]
            self._hand_out(split, split.handed_out // size, chosen)
            split.handed_out += len(chosen)

    def _unit(self, split: GrowingSplit, number: int) -> UnitHeader:
        """Return what a unit brought, from its file or from simulating it now."""
        path = self._journal.unit(split.name, number)
        if not path.exists():
            size = self._config.unit_episodes
            if (number + 1) * size > EPISODES_PER_SEED:
                raise UserError(
                    f"All {EPISODES_PER_SEED} episodes of seed {self._config.seed} were simulated, and only "
                    f"{len(split.sources)} were kept. Ask for fewer, or split the job over several seeds."
                )
            seeds = [episode_seed(SEED_SPLITS[split.name], self._config.seed, number * size + i) for i in range(size)]
            began = time.monotonic()
            unit = simulate_unit(self._env, self._policy, seeds, options=self._options)
            self.simulation_seconds += time.monotonic() - began
            save_unit(path, unit)
        return load_header(path, self._options.axes)

    def _hand_out(self, split: GrowingSplit, number: int, sources: list[Source]) -> None:
        """Have a shard written, unless it is there already."""
        record = self._journal.shard_record(split.name, number)
        if record is not None:
            split.shards[number] = record
            self._show.found(record.episodes)
            return
        grouped = tuple(
            (path, tuple(Pick(source.row, source.start_distance) for source in group))
            for path, group in groupby(sources, key=lambda source: source.unit)
        )
        path, note = self._journal.shard(split.name, number), self._journal.shard_note(split.name, number)
        self._pool.submit((split.name, number), ShardJob(path, note, self._settings, grouped))

    def _note(self, key: tuple[str, int], record: ShardRecord) -> None:
        """Remember that a shard is finished; the first one tells whether the rest will fit on the disk."""
        split, number = key
        self._splits[split].shards[number] = record
        self._tell()
        if not self._checked_space:
            self._checked_space = True
            left = sum(self._config.wanted().values()) - self._written()[0]
            needed = int(left * record.size / record.episodes)
            require_space(self._journal.work, needed, why=f"{left} more episodes take about")

    def _written(self) -> tuple[int, int]:
        """Return the episodes and bytes in finished shards, failures apart."""
        records = [record for name in self._config.wanted() for record in self._splits[name].shards.values()]
        return sum(record.episodes for record in records), sum(record.size for record in records)

    def _tell(self) -> None:
        counted = [self._splits[name] for name in self._config.wanted()]
        total = FilterReport()
        for split in counted:
            total.merge(split.report)
        written, size = self._written()
        self._show(
            Progress(
                wanted=sum(self._config.wanted().values()),
                kept=sum(len(split.sources) for split in counted),
                candidates=total.candidates,
                accepted=total.kept,
                written=written,
                size=size,
                free=free_bytes(self._journal.work),
                rejected=dict(total.rejected),
            )
        )


def unit_options(config: GenerateConfig) -> UnitOptions:
    """Return how the units of a job are simulated and judged."""
    task = load_task(config.task)
    quotas = quota_axes(config.quotas, task, config.preset, config.appearance)
    return UnitOptions(
        task=task,
        preset=config.preset,
        rollout=RolloutOptions(
            stop_held=config.hold or task.hold,
            perturb_share=config.perturb_share,
            perturb_std=config.perturb_std,
        ),
        filters=config.filters,
        axes=(*report_axes(task, config.preset, config.appearance), *quotas),
        failures=config.failures > 0,
    )

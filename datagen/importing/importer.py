"""A recording becomes a dataset: its episodes converted, encoded and written to shards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.canonical import action_to_canonical, state_to_canonical
from datagen.dataset_statistics import dataset_statistics
from datagen.filters import FAILED as FAILED
from datagen.filters import FilterReport
from datagen.finish import Description, FinishedSplit, finish
from datagen.frames import to_canonical_frame
from datagen.importing.recording import RecordedEpisode, Recording
from datagen.job import demomill_version
from datagen.journal import Journal
from datagen.resample import resample
from datagen.rlds_writer import EpisodeRecord, ShardRecord, encode_jpeg, step_columns, write_shard
from sim.conventions import CANONICAL
from sim.errors import UserError
from sim.streams import SPLIT_START, split_of

DEMONSTRATOR = "whoever was recorded"
"""Who demonstrates: recordings do not tell."""

SPLITS = ("train", "val")
SHARD = 32
"""Episodes of a shard."""


@dataclass(frozen=True)
class Options:
    """How a recording is converted."""

    instruction: str
    # Pixels, episodes of the split `val`, and whether episodes without success are kept.
    image_size: int
    validation: int
    failures: bool


class Importer:
    """One import while it is under way."""

    def __init__(self, options: Options, recording: Recording, journal: Journal, job: Mapping[str, Any]) -> None:
        self.options, self.recording, self.journal = options, recording, journal
        self.description = Description(
            source=str(job["source"]),
            task=f"{recording.host}:{recording.host_task}",
            task_digest="",
            engine=recording.engine,
            host=recording.host,
            host_task=recording.host_task,
            image_size=options.image_size,
            cameras=("image",),
            demomill_version=demomill_version(),
            job=job,
        )
        self.reports = {split: FilterReport() for split in SPLITS}
        self.waiting: dict[str, list[EpisodeRecord]] = {split: [] for split in SPLITS}
        self.shards: dict[str, list[ShardRecord]] = {split: [] for split in SPLITS}
        self.seeds: dict[str, list[int]] = {split: [] for split in SPLITS}
        self.train: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def run(self) -> dict[str, Any]:
        """Convert all episodes, write them and publish the dataset."""
        every = self._validates()
        for number, episode in enumerate(self.recording.episodes()):
            failed = episode.success is not None and not episode.success[-1] and not self.options.failures
            split = "val" if number in every else "train"
            self.reports[split].add((FAILED,) if failed else ())
            if not failed:
                self._take(episode, split, number)
        if not self.seeds["train"]:
            raise UserError(
                f"None of the {len(self.recording.keys)} episodes of {self.recording.path} is left to train on. Keep "
                "those without success with --failures, or ask for fewer validation episodes."
            )
        for split in SPLITS:
            self._flush(split)
        splits = {
            split: FinishedSplit(self.shards[split], self.reports[split], self.seeds[split])
            for split in SPLITS
            if self.seeds[split]
        }
        return finish(self.journal, splits, description=self.description, statistics=dataset_statistics(self.train))

    def _validates(self) -> set[int]:
        """Return the numbers of the episodes of the split `val`."""
        count = len(self.recording.keys)
        return {int(place) for place in np.linspace(0, count - 1, self.options.validation + 2)[1:-1].round()}

    def _take(self, episode: RecordedEpisode, split: str, number: int) -> None:
        """Convert one episode and keep it."""
        if episode.seed is not None and split_of_recorded(episode.seed) == "benchmark":
            raise UserError(
                f"{self.recording.path}: {episode.key} was recorded with the seed {episode.seed}, which belongs to the "
                "benchmark. What trains on it cannot be judged. Record with seeds below 2^30."
            )
        seed = SPLIT_START["train" if split == "train" else "validation"] + number
        steps, states, actions = converted(episode, self.recording, self.options)
        record = EpisodeRecord(steps, self._metadata(episode, seed))
        self.seeds[split].append(seed)
        self.waiting[split].append(record)
        if split == "train":
            self.train.append((actions, states))
        if len(self.waiting[split]) == SHARD:
            self._flush(split)

    def _metadata(self, episode: RecordedEpisode, seed: int) -> dict[str, str | int | bool]:
        """Return the metadata of an episode; what was drawn is not known beyond the recorded seed."""
        drawn = {"recorded.episode": episode.key, "recorded.seed": episode.seed}
        success = episode.success
        shared = self.description.metadata(expert=DEMONSTRATOR, expert_digest="")
        return {
            **shared,
            "template": "imported",
            "draw": json.dumps({name: value for name, value in drawn.items() if value is not None}, sort_keys=True),
            "measurements": "{}",
            "seed": seed,
            "success": bool(success is not None and success[-1]),
            "success_once": bool(success is not None and success.any()),
            "perturbed": False,
        }

    def _flush(self, split: str) -> None:
        if self.waiting[split]:
            path = self.journal.shard(split, len(self.shards[split]))
            self.shards[split].append(write_shard(path, self.waiting[split], leaves=self.description.leaves()))
            self.waiting[split].clear()


def split_of_recorded(seed: int) -> str:
    """Return the split of our seeds that a recorded seed falls into; one beyond them belongs to none."""
    return split_of(seed) if 0 <= seed < 2**31 else ""


def converted(
    episode: RecordedEpisode, recording: Recording, options: Options
) -> tuple[dict[str, Any], NDArray[np.float32], NDArray[np.float32]]:
    """Return the columns of an episode in the canonical convention, and its states (T, 8) and actions (T, 7)."""
    declared = recording.declared
    states = state_to_canonical(episode.states, declared)
    actions = action_to_canonical(episode.actions, states, declared)
    rows = np.arange(len(actions))
    if declared.rate != CANONICAL.rate:
        other = resample(states, actions, rate=declared.rate, target=CANONICAL.rate)
        states, actions, rows = other.states, other.actions, other.source
    frames = dict(_encoded(episode.frames, np.unique(rows), recording, size=options.image_size))
    small = states.astype(np.float32), actions.astype(np.float32)
    columns = step_columns(
        states=small[0],
        joints=episode.joints[rows],
        actions=small[1],
        rewards=episode.rewards[rows],
        terminated=episode.terminated,
        instruction=options.instruction,
        frames={"image": [frames[int(row)] for row in rows]},
    )
    return columns, *small


def _encoded(
    frames: NDArray[np.uint8], rows: NDArray[np.int64], recording: Recording, *, size: int
) -> Iterator[tuple[int, bytes]]:
    for row in rows:
        yield int(row), encode_jpeg(to_canonical_frame(frames[row], recording.declared.frame, size=size))

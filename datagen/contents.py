"""One pass over everything that a dataset holds: what can be read, what is declared, seeds and statistics."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.dataset_statistics import dataset_statistics
from datagen.rlds_reader import Dataset, StoredEpisode, decode_image
from sim.errors import UserError


@dataclass
class Contents:
    """What was found in a dataset."""

    # Split -> seed of each episode that could be read, None where it carries none.
    seeds: dict[str, list[int | None]] = field(default_factory=dict)
    steps: int = 0
    # Split -> shards whose episodes could be read.
    readable: dict[str, list[int]] = field(default_factory=dict)
    # Shards that were left out, and what is wrong with those that could not be read.
    skipped: int = 0
    unreadable: list[str] = field(default_factory=list)
    # What is wrong with single episodes.
    faults: list[str] = field(default_factory=list)
    # Statistics of the train split, where it has actions and states of our kind.
    statistics: dict[str, Any] | None = None


def read_contents(dataset: Dataset, *, skip: Collection[str]) -> Contents:
    """Read every episode of a dataset but those in the shards named in `skip`."""
    contents = Contents()
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for split, lengths in dataset.splits.items():
        contents.seeds[split], contents.readable[split] = [], []
        for shard in range(len(lengths)):
            if dataset.shard_path(split, shard).name in skip:
                contents.skipped += 1
                continue
            for episode in _shard(dataset, split, shard, contents):
                pairs += _columns(episode) if split == "train" else []
    if pairs:
        contents.statistics = dataset_statistics(pairs)
    return contents


def _columns(episode: StoredEpisode) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return actions and states of an episode that has such, as a list of one."""
    actions, states = (episode.steps.get(key) for key in ("action", "observation/state"))
    if not isinstance(actions, np.ndarray) or not isinstance(states, np.ndarray):
        return []
    return [(actions, states)] if actions.ndim == states.ndim == 2 else []


def _shard(dataset: Dataset, split: str, shard: int, contents: Contents) -> Iterator[StoredEpisode]:
    """Yield the episodes of one shard and note what is found; a damaged one is noted and left."""
    try:
        for number, episode in enumerate(dataset.episodes(split, shards=[shard])):
            seed = episode.metadata.get("seed")
            contents.seeds[split].append(None if seed is None else int(seed))
            contents.steps += episode.length
            where = f"{dataset.shard_path(split, shard).name}, record {number}"
            contents.faults += [f"{where}: {fault}" for fault in episode_faults(episode)]
            yield episode
        contents.readable[split].append(shard)
    except UserError as error:
        contents.unreadable.append(str(error))


def episode_faults(episode: StoredEpisode) -> list[str]:
    """Return what is wrong with an episode: empty, not finite, wrong ends, a first frame that cannot be decoded."""
    if not episode.length:
        return ["it has no step"]
    faults = []
    for key, column in episode.steps.items():
        if isinstance(column, np.ndarray) and column.dtype.kind == "f" and not np.isfinite(column).all():
            faults.append(f"{key} is not finite")
        if isinstance(column, list) and "image" in key:
            try:
                decode_image(column[0])
            except (OSError, ValueError, UserError) as error:
                faults.append(f"{key} cannot be decoded ({error})")
    for key, place in (("is_first", 0), ("is_last", episode.length - 1)):
        marks = episode.steps.get(key)
        if isinstance(marks, np.ndarray) and np.flatnonzero(marks).tolist() != [place]:
            faults.append(f"{key} does not mark step {place} alone")
    return faults

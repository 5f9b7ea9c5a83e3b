"""A sample of a dataset's episodes made again from their seeds and compared with what is stored, byte for byte."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.collect import unit_options
from datagen.contents import Contents
from datagen.example import Values
from datagen.generate import render_settings, worlds_of
from datagen.job import GenerateConfig, describe, job_config
from datagen.render_shards import RENDERER, placed, rendered_record
from datagen.repair import as_described, renderer_name
from datagen.rlds_reader import Dataset, StoredEpisode
from datagen.rlds_writer import EpisodeRecord
from datagen.units import resimulate
from sim.episodes import Env, Policy
from sim.errors import UserError
from sim.streams import generator
from tasks.catalogue import load_task


@dataclass(frozen=True)
class Reproduced:
    """Whether the sample is the same; None where it cannot be compared here."""

    ok: bool | None
    words: str


def reproduce(
    dataset: Dataset,
    contents: Contents,
    count: int,
    *,
    seed: int,
    policy: Policy,
    worlds: Callable[[int], Env] | None = None,
) -> Reproduced:
    """Make `count` episodes again and compare them; what differs is named: engine, task, expert, renderer.

    Where one of the first three differs, nothing is compared; where only the renderer does, frames are not.
    """
    about: Any = dataset.description
    sample = _sample(dataset, contents, count, seed=seed)
    if not sample:
        return Reproduced(None, "no shard is whole")
    try:
        config = job_config({**about["job"], "unit_episodes": len(sample)})
        env = worlds(len(sample)) if worlds is not None else worlds_of(config)
    except UserError as error:
        return Reproduced(None, f"not compared: {error}")
    try:
        differing = _digests(about, config, env, policy)
        if differing:
            return Reproduced(None, f"not compared, other circumstances: {'; '.join(differing)}")
        return _compare(sample, dataset, config, env, policy)
    finally:
        env.close()


def _sample(dataset: Dataset, contents: Contents, count: int, *, seed: int) -> list[StoredEpisode]:
    """Return some stored episodes of the whole shards, drawn from the stream of `seed`."""
    places = [
        (split, shard, row)
        for split, shards in contents.readable.items()
        for shard in shards
        for row in range(dataset.splits[split][shard])
    ]
    stream = generator(seed, "verify", str((dataset.statistics or {}).get("fingerprint", "")))
    chosen = sorted(stream.choice(len(places), size=min(count, len(places)), replace=False).tolist()) if places else []
    found = []
    for k in chosen:
        split, shard, row = places[k]
        found.append(next(e for n, e in enumerate(dataset.episodes(split, shards=[shard])) if n == row))
    return found


def _digests(about: Mapping[str, Any], config: GenerateConfig, env: Env, policy: Policy) -> list[str]:
    """Return in words what decides states and is another here than it was then."""
    task = load_task(config.task)
    pairs = {
        "engine": (about["engine"], env.spec.engine),
        "task": (about["task_digest"], task.digest()),
        "expert": (about["job"].get("expert_digest", ""), policy.spec.digest or ""),
    }
    return [f"{name} was {then}, is {now}" for name, (then, now) in pairs.items() if then != now]


def _compare(
    sample: list[StoredEpisode], dataset: Dataset, config: GenerateConfig, env: Env, policy: Policy
) -> Reproduced:
    about: Any = dataset.description
    description = describe(config, load_task(config.task), env=env.spec, policy=policy.spec)
    drawn_by = about.get("renderer") or RENDERER
    spec = drawn_by if ":" in drawn_by and " " not in drawn_by else RENDERER
    settings = as_described(render_settings(config, description, policy.spec, spec), about)
    here = renderer_name(settings.renderer)
    same_renderer = here == drawn_by or "renderer" not in about
    seeds = [int(episode.metadata["seed"]) for episode in sample]
    frames = 0
    for stored, episode in zip(sample, resimulate(env, policy, seeds, options=unit_options(config)), strict=True):
        record = rendered_record(placed(episode, _start_distance(stored)), settings)
        faults = differences(stored, record, frames=same_renderer)
        if faults:
            return Reproduced(False, f"episode {episode.seed} differs in {'; '.join(faults)}")
        frames += stored.length * len(config.cameras) * same_renderer
    steps = sum(stored.length for stored in sample)
    told = f"{len(sample)} episodes, {steps} steps" + (f", {frames} frames" if frames else "")
    if not same_renderer:
        return Reproduced(None, f"{told}: equal but for the frames, drawn by {drawn_by}, which is {here} here")
    return Reproduced(True, f"{told}: equal, byte for byte")


def _start_distance(stored: StoredEpisode) -> float | None:
    """Return what only the place in the dataset tells, as it was stored."""
    value: float | None = json.loads(stored.metadata["measurements"]).get("start_distance")
    return value


def differences(stored: StoredEpisode, made: EpisodeRecord, *, frames: bool) -> list[str]:
    """Return in words where an episode that was made again differs from the stored one."""
    faults = []
    for key, column in stored.steps.items():
        again = made.steps.get(key)
        if again is None:
            faults.append(f"{key}, which is not made any more")
        elif isinstance(column, list) and ("image" not in key or frames):
            faults += _texts_differ(key, column, again)
        elif isinstance(column, np.ndarray) and (frames or not isinstance(again, list)):
            faults += _numbers_differ(key, column, again)
    for key, value in made.metadata.items():
        if stored.metadata.get(key) != value:
            faults.append(f"metadata {key}")
    return faults


def _texts_differ(key: str, column: list[bytes], again: Any) -> list[str]:
    wrong = [t for t, (a, b) in enumerate(zip(column, again, strict=False)) if a != b]
    if len(column) == len(again) and not wrong:
        return []
    first = wrong[0] if wrong else min(len(column), len(again))
    return [f"{key} at step {first} ({len(wrong)} of {len(column)} steps)"]


def _numbers_differ(key: str, column: Values, again: Any) -> list[str]:
    stored = np.asarray(column)
    if isinstance(again, list):  # Compressed tensors.
        again = [np.frombuffer(zlib.decompress(value), stored.dtype).reshape(stored.shape[1:]) for value in again]
    made = np.asarray(again, dtype=stored.dtype)
    if stored.shape != made.shape:
        return [f"{key}: {stored.shape} stored, {made.shape} made again"]
    if np.array_equal(stored, made):
        return []
    apart = np.abs(stored.astype(np.float64) - made.astype(np.float64)).reshape(len(stored), -1).max(axis=1)
    return [f"{key} from step {int(np.flatnonzero(apart)[0])} on, by up to {apart.max():.3g}"]

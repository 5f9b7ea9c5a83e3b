"""Generation in two passes that overlap: simulate and filter in state space here, render and write in workers.

Every episode depends on (seed, task, episode number) alone, units and shards hold fixed episodes, and the dataset is
the first accepted episodes in the order of their numbers: workers and interruptions change no byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.collect import Collector
from datagen.dataset_statistics import dataset_statistics
from datagen.disk import estimated_bytes, require_space
from datagen.finish import Description, finish
from datagen.job import GenerateConfig as GenerateConfig
from datagen.job import describe
from datagen.journal import finished_description, opened
from datagen.layout import Place
from datagen.pool import ShardPool
from datagen.progress import Show, rich_progress
from datagen.quotas import quota_axes
from datagen.render_shards import ANNOTATED, RENDERER, RenderSettings
from datagen.units import require_canonical
from sim.episodes import Env, Policy
from tasks.catalogue import load_task
from tasks.task import Task


@dataclass(frozen=True)
class GenerateResult:
    """A finished dataset."""

    # Folder of the dataset's version.
    path: Path
    # Split -> episodes, and split -> counts of candidates, kept and rejected by reason.
    episodes: Mapping[str, int]
    filters: Mapping[str, Any]
    # Steps and bytes in all shards.
    steps: int
    size: int
    statistics_fingerprint: str
    # Whether it was finished before this call, which then did nothing.
    already_finished: bool
    # Wall-clock seconds of this call, and how many of them went into simulation.
    seconds: float
    simulation_seconds: float


def generate(
    config: GenerateConfig,
    *,
    policy: Policy,
    progress: Show | None = None,
    worlds: Callable[[], Env] | None = None,
    renderer: str = RENDERER,
) -> GenerateResult:
    """Generate the dataset of `config` with the actions of `policy`, or continue where an earlier run stopped.

    Exactly the asked number of episodes is kept per split. `worlds` and `renderer` ("module:Class") replace the task's
    own environment and the renderer of its frames. Without `progress`, bars are shown on standard error.
    """
    if progress is None:
        with rich_progress() as show:
            return generate(config, policy=policy, progress=show, worlds=worlds, renderer=renderer)
    began = time.monotonic()
    task = load_task(config.task)
    place = config.place(task)
    env = worlds() if worlds is not None else _make_env(config, task)
    try:
        require_canonical(env.spec)
        description = describe(config, task, env=env.spec, policy=policy.spec)
        done = finished_description(place, description.job)
        if done is not None:
            return finished_result(place, done, seconds=time.monotonic() - began)
        _require_possible(config, task, place, renderer)
        settings = _settings(config, task, description, policy, renderer)
        about, spent = _run(config, place, description, settings, env=env, policy=policy, progress=progress)
    finally:
        env.close()
    return finished_result(place, about, seconds=time.monotonic() - began, simulation=spent)


def _make_env(config: GenerateConfig, task: Task) -> Env:
    from tasks.env import make_env

    return make_env(
        task.id,
        n=config.unit_episodes,
        engine=config.engine,
        preset=config.preset,
        threads=config.threads,
        image_size=config.image_size,
    )


def _require_possible(config: GenerateConfig, task: Task, place: Place, renderer: str) -> None:
    """Refuse before the first episode what could only fail after hours: no room, no renderer, no such quota."""
    quota_axes(config.quotas, task, config.preset, config.appearance)
    needed = estimated_bytes(
        episodes=sum(config.wanted().values()),
        horizon=task.horizon,
        image_size=config.image_size,
        cameras=len(config.cameras),
    )
    require_space(place.out, needed, why=f"{sum(config.wanted().values())} episodes take")
    if renderer == RENDERER:
        from sim.gl import choose_backend

        choose_backend()


def _settings(
    config: GenerateConfig, task: Task, description: Description, policy: Policy, renderer: str
) -> RenderSettings:
    spec = policy.spec
    drawn = set(config.annotations) - {"object_poses", "points"}
    return RenderSettings(
        task=task.id,
        preset=config.preset,
        appearance=config.appearance,
        image_size=config.image_size,
        cameras=config.cameras,
        metadata=description.metadata(expert=spec.name, expert_digest=spec.digest or ""),
        renderer=renderer if renderer != RENDERER or not drawn else ANNOTATED,
        annotations=config.annotations,
    )


def _run(
    config: GenerateConfig,
    place: Place,
    description: Description,
    settings: RenderSettings,
    *,
    env: Env,
    policy: Policy,
    progress: Show,
) -> tuple[dict[str, Any], float]:
    """Do what is not done yet; return demomill.json and the seconds of simulation."""
    with opened(place, description.job) as journal:
        with ShardPool(config.render_workers) as pool:
            collector = Collector(config, journal, pool, settings, env=env, policy=policy, progress=progress)
            splits = collector.run()
        statistics, report = dataset_statistics(collector.columns("train")), collector.story()
        about = finish(journal, splits, description=description, statistics=statistics, report=report)
    return about, collector.simulation_seconds


def finished_result(
    place: Place, about: Mapping[str, Any], *, seconds: float, simulation: float | None = None
) -> GenerateResult:
    """Return what `about`, the content of demomill.json, says of the dataset at `place`."""
    shards = list(about["shards"].values())
    splits = dict.fromkeys(shard["split"] for shard in shards)
    return GenerateResult(
        path=place.final,
        episodes={split: sum(s["episodes"] for s in shards if s["split"] == split) for split in splits},
        filters=about["filters"],
        steps=sum(s["steps"] for s in shards),
        size=sum(s["size"] for s in shards),
        statistics_fingerprint=about["statistics_fingerprint"],
        already_finished=simulation is None,
        seconds=seconds,
        simulation_seconds=simulation or 0.0,
    )

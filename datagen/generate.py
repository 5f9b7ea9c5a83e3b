"""Generation in two passes that overlap: simulate and filter in state space here, render and write in workers.

Every episode depends on (seed, task, episode number) alone, units and shards hold fixed episodes, and the dataset is
the first accepted episodes in the order of their numbers: workers and interruptions change no byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from datagen.collect import Collector
from datagen.dataset_statistics import dataset_statistics
from datagen.disk import estimated_bytes, require_space
from datagen.finish import Description, drawn_by, finish
from datagen.generated import GenerateResult, finished_result
from datagen.job import GenerateConfig as GenerateConfig
from datagen.job import describe
from datagen.journal import finished_description, opened
from datagen.layout import Place
from datagen.pool import ShardPool
from datagen.progress import Show, rich_progress
from datagen.render_shards import ANNOTATED, RENDERER, RenderSettings
from datagen.repair import renderer_name, repair
from datagen.status import finished, watched
from datagen.units import require_canonical
from sim.episodes import Env, Policy, PolicySpec
from sim.files import require_folder
from tasks.catalogue import load_task
from tasks.task import Task

if TYPE_CHECKING:
    from datagen.ray_pool import RayPool


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
    task, place = _refuse_impossible(config)
    with rich_progress() if progress is None else nullcontext(progress) as show:
        return _generate(config, task, place, policy=policy, progress=show, worlds=worlds, renderer=renderer)


def _generate(
    config: GenerateConfig,
    task: Task,
    place: Place,
    *,
    policy: Policy,
    progress: Show,
    worlds: Callable[[], Env] | None,
    renderer: str,
) -> GenerateResult:
    """Do what `generate` says, for a job that is possible."""
    began = time.monotonic()
    env = worlds() if worlds is not None else worlds_of(config)
    try:
        require_canonical(env.spec)
        description = describe(config, task, env=env.spec, policy=policy.spec)
        settings = render_settings(config, description, policy.spec, renderer)
        done = finished_description(place, description.job, repair=config.repair)
        if done is not None:
            mended = repair(place, done, settings, config, env=env, policy=policy) if config.repair else ()
            return finished_result(place, done, seconds=time.monotonic() - began, repaired=mended)
        description = drawn_by(description, _require_possible(config, task, place, renderer))
        about, spent = _run(config, place, description, settings, env=env, policy=policy, progress=progress)
    finally:
        env.close()
    return finished_result(place, about, seconds=time.monotonic() - began, simulation=spent)


def _refuse_impossible(config: GenerateConfig) -> tuple[Task, Place]:
    """Return the task and the place of the dataset; what does not go with them is refused before a bar is drawn."""
    task = load_task(config.task)
    config.check(task)
    place = config.place(task)
    require_folder(place.final)
    return task, place


def worlds_of(config: GenerateConfig) -> Env:
    """Return the worlds that a job's candidates are simulated in."""
    from tasks.env import make_env

    return make_env(
        config.task,
        n=config.unit_episodes,
        engine=config.engine,
        preset=config.preset,
        threads=config.threads,
        image_size=config.image_size,
        device=config.device,
    )


def _require_possible(config: GenerateConfig, task: Task, place: Place, renderer: str) -> str:
    """Refuse before the first episode what could only fail after hours: no room, no renderer.

    Returns what draws the frames.
    """
    needed = estimated_bytes(
        episodes=sum(config.wanted().values()),
        horizon=task.horizon,
        image_size=config.image_size,
        cameras=len(config.cameras),
    )
    require_space(place.out, needed, why=f"{sum(config.wanted().values())} episodes take about")
    return renderer_name(renderer)


def render_settings(
    config: GenerateConfig, description: Description, spec: PolicySpec, renderer: str = RENDERER
) -> RenderSettings:
    """Return what all frames of a job's dataset have in common; `spec` is that of the policy which demonstrates."""
    drawn = set(config.annotations) - {"object_poses", "points"}
    return RenderSettings(
        task=description.task,
        preset=config.preset,
        appearance=config.appearance,
        image_size=config.image_size,
        cameras=config.cameras,
        metadata=description.metadata(expert=spec.name, expert_digest=spec.digest or ""),
        renderer=renderer if renderer != RENDERER or not drawn else ANNOTATED,
        annotations=config.annotations,
    )


def _pool(config: GenerateConfig) -> ShardPool | RayPool:
    """Return what writes the job's shards."""
    if config.executor == "ray":
        from datagen.ray_pool import RayPool

        return RayPool(config.workers)
    return ShardPool(config.render_workers)


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
    with opened(place, description.job) as journal, watched(place, progress) as watch:
        if config.repair:
            watch.log(f"repair: made again {', '.join(journal.drop_damaged()) or 'nothing'}")
        with _pool(config) as pool:
            collector = Collector(config, journal, pool, settings, env=env, policy=policy, progress=watch)
            splits = collector.run()
        statistics, report = dataset_statistics(collector.columns("train")), collector.story()
        about = finish(journal, splits, description=description, statistics=statistics, report=report)
        finished(watch, about, report)
    return about, collector.simulation_seconds

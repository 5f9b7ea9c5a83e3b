"""The stages of an overnight job, in order. Each continues by itself when it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import BenchConfig
from bench.learning_stages import dagger, vla
from bench.night import Night
from sim.episodes import Env, Episode, Policy
from sim.errors import UserError, unknown
from sim.streams import EPISODES_PER_SEED, episode_seed

if TYPE_CHECKING:
    from datagen.job import GenerateConfig
    from datagen.write_episodes import WriteConfig
    from policies.expert_settings import TrainExpertConfig

STAND_IN = "stand-in for real data ({host} {host_task})"
"""How data that takes the place of real data is called, wherever it appears."""

BATCH = 4
"""Stand-in episodes asked for at a time, until enough are good."""


def expert(night: Night) -> dict[str, Any]:
    """Train the expert, or take the shipped one."""
    from policies.expert import expert_folder, load_expert

    if night.config.reuse_expert:
        folder = expert_folder(night.task.id)
        load_expert(str(folder))
        return {"folder": str(folder), "reused": True}
    from policies.train_expert import train_expert

    made = train_expert(expert_config(night))
    return {"folder": made.folder, "reused": False, "score": asdict(made.score)}


def expert_config(night: Night) -> TrainExpertConfig:
    """Return the training of the expert that a job asks for."""
    from policies.expert_settings import TrainExpertConfig

    return TrainExpertConfig(task=night.task.id, out=night.out / "expert", **asdict(night.config.expert))


def _expert(night: Night) -> Policy:
    """Return the expert as it demonstrates."""
    from policies.loading import load_policy

    return load_policy(night.expert())


def synthetic(night: Night) -> dict[str, Any]:
    """Generate the filtered demonstrations."""
    from datagen.generate import generate

    made = generate(synthetic_config(night), policy=_expert(night))
    return {"path": str(made.path), "episodes": dict(made.episodes), "steps": made.steps, "filters": dict(made.filters)}


def synthetic_config(night: Night) -> GenerateConfig:
    """Return the demonstrations that a job asks for."""
    from datagen.job import GenerateConfig

    chosen = asdict(night.config.synthetic)
    del chosen["floor"]  # The policy knows it.
    return GenerateConfig(task=night.task.id, out=night.out / "data", name="synthetic", **chosen)


def stand_in(night: Night) -> dict[str, Any]:
    """Roll the expert out in a host, every step rendered, and store the good episodes."""
    from datagen.progress import rich_progress
    from datagen.write_episodes import write_episodes

    config, policy = stand_in_config(night), _expert(night)
    with rich_progress() as show:
        host, host_task = _twin(night, night.config.stand_in.host)
        episodes = _host_episodes(night, policy, host, host_task, seed=night.config.stand_in.seed)
        made = write_episodes(episodes, config, policy=policy.spec, progress=show)
    return {"path": str(made.path), "source": config.source, "episodes": dict(made.episodes), "steps": made.steps}


def stand_in_config(night: Night) -> WriteConfig:
    """Return the stand-in data that a job asks for."""
    from datagen.write_episodes import WriteConfig

    stage = night.config.stand_in
    host, host_task = _twin(night, stage.host)
    return WriteConfig(
        task=night.task.id,
        source=STAND_IN.format(host=host, host_task=host_task),
        out=night.out / "data",
        name="stand_in",
        episodes=stage.episodes,
        cameras=night.config.synthetic.cameras,
        origin={"host": host, "host_task": host_task, "seed": stage.seed, "hold": night.config.synthetic.hold},
    )


def _twin(night: Night, host: str) -> tuple[str, str]:
    """Return host and environment of the task's twin."""
    twins = {twin.host: twin.host_task for twin in night.task.twins}
    if host not in twins:
        raise unknown("host for the stand-in data", host, twins)
    return host, twins[host]


def _host_episodes(night: Night, policy: Policy, host: str, host_task: str, *, seed: int) -> Iterator[Episode]:
    """Yield the expert's episodes in the host, every step rendered, for as long as they are wanted.

    The seeds are train seeds: no benchmark episode can be among them.
    """
    from bench.hosts.registry import make_host
    from sim.rollouts import RolloutOptions, rollout

    env: Env = make_host(host, host_task, task=night.task, stop_lifted=night.config.synthetic.hold or night.task.hold)
    options = RolloutOptions(cameras=night.config.synthetic.cameras)
    try:
        for first in range(0, min(EPISODES_PER_SEED, 100 * night.config.stand_in.episodes), BATCH):
            seeds = [episode_seed("train", seed, first + i) for i in range(BATCH)]
            yield from rollout(env, policy, seeds, options=options)
    finally:
        env.close()
    raise UserError(
        f"The expert succeeded in fewer than {night.config.stand_in.episodes} of 100 times as many episodes of "
        f"{host} {host_task}. Look at it: demomill bench expert:{night.task.id} --hosts {host}"
    )


def benchmark(night: Night) -> dict[str, Any]:
    """Judge the VLA beside its upper and its lower bound."""
    from bench.run import bench
    from policies.loading import policy_factory

    stage = night.config.bench
    policies: dict[str, Callable[[], Policy]] = {
        "vla": policy_factory(night.trained(), execute=night.config.vla.execute),
        "expert (upper bound)": policy_factory(night.result("expert")["folder"]),
        "random (lower bound)": policy_factory("random", seed=stage.seed),
    }
    made = bench(bench_config(night), policies=policies, command=f"demomill overnight (in {night.out})")
    return {"folder": str(made.out), "remark": _remark(night)}


def _remark(night: Night) -> str:
    """Say which hosts are held out for the VLA."""
    if "stand_in" not in night.results:
        return "The VLA saw synthetic data only: every host is held out for it."
    host, host_task = _twin(night, night.config.stand_in.host)
    return (
        f"The VLA saw {night.config.stand_in.episodes} stand-in demonstrations from {host}:{host_task}: "
        "that host is not held out for it. The others are."
    )


def bench_config(night: Night) -> BenchConfig:
    """Return the benchmark that a job asks for."""
    stage = night.config.bench
    return BenchConfig(
        out=night.out / "bench",
        task=night.task.id,
        hosts=stage.hosts,
        episodes=stage.episodes,
        seed=stage.seed,
        horizon=stage.horizon,
        workers=stage.workers,
        filmstrips=stage.filmstrips,
    )


def page(night: Night) -> dict[str, Any]:
    """Write the page to read in the morning."""
    from bench.story import story
    from bench.view import write_page

    path = write_page(
        night.out / "report.html",
        [Path(night.result("benchmark")["folder"])],
        sections=story(night),
        remarks=[night.result("benchmark")["remark"]],
        title=f"demomill: {night.task.id}, from PPO expert to benchmarked VLA",
    )
    return {"page": str(path)}


STAGES: Mapping[str, Callable[[Night], Mapping[str, Any]]] = {
    "expert": expert,
    "synthetic": synthetic,
    "stand_in": stand_in,
    "vla": vla,
    "dagger": dagger,
    "benchmark": benchmark,
    "page": page,
}

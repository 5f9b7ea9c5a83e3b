"""What the policies and hosts of a run mean, compared before a simulator is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import BenchConfig, HostTask
from bench.first_look import check_seeds
from bench.suite_plan import Plan
from sim.compatibility import agree
from sim.conventions import CANONICAL, from_json
from sim.episodes import SHOWN, EnvSpec, PolicySpec
from sim.errors import UserError
from sim.files import read_json, write_json
from tasks.catalogue import load_task
from tasks.task import Task

if TYPE_CHECKING:
    from bench.worker import WorkerJob


def require_agreement(config: BenchConfig, plan: Plan, specs: Mapping[str, PolicySpec]) -> None:
    """Refuse seeds that stand twice or were trained on, too short a horizon, and policies that mean other things.

    Worker processes compare again with what each host says of itself when it is open; this comes before all that costs.
    """
    check_seeds(plan.seeds)
    for host, name in plan.places:
        task = load_task(name)
        _check_horizon(config, task)
        for spec in specs.values():
            agree(spec, expected(config, host, task))


def env_json(spec: EnvSpec) -> dict[str, Any]:
    """Return what a host says of itself, as JSON."""
    return asdict(spec) | {"offers": sorted(spec.offers), "adapters": list(spec.adapters)}


class Meanings:
    """conventions.json of a run: what each host said of itself, and how each policy's terms were adapted to it."""

    def __init__(self, path: Path, specs: Mapping[str, PolicySpec]) -> None:
        """Go on with the file at `path`, if there is one."""
        self._path, self._specs = path, specs
        self._told: dict[str, Any] = read_json(path) if path.exists() else {}

    def opened(self, job: WorkerJob, said: Mapping[str, Any]) -> None:
        """Write down what the host of `job` says of itself."""
        stored = dict(said) | {"convention": from_json(said["convention"], source=str(job.host))}
        env = EnvSpec(**stored | {"offers": frozenset(said["offers"]), "adapters": tuple(said["adapters"])})
        policies = {name: {"adapters": list(agree(self._specs[name], env).adapters)} for name in job.factories}
        told = {"environment": dict(said), "policies": policies}
        if self._told.get(f"{job.host} {env.task}") != told:
            self._told[f"{job.host} {env.task}"] = told
            write_json(self._path, self._told)


def _check_horizon(config: BenchConfig, task: Task) -> None:
    """Refuse to cut episodes off before the steps that the task needs."""
    if config.horizon is not None and config.horizon < task.horizon:
        raise UserError(
            f"horizon = {config.horizon} is shorter than the {task.horizon} steps that {task.id} needs: episodes would "
            f"be cut off and count as failures. Allowed: {task.horizon} or more, or leave it out."
        )


def expected(config: BenchConfig, host: HostTask, task: Task) -> EnvSpec:
    """Return what a host will say of itself: the canonical convention at the run's image size and horizon."""
    return EnvSpec(
        task=task.id,
        host=host.host,
        host_task=host.host_task,
        convention=replace(CANONICAL, image_size=config.image_size),
        horizon=task.horizon if config.horizon is None else config.horizon,
        engine="",
        offers=SHOWN | {"wrist_image"},
    )

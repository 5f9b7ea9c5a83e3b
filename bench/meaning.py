"""What the policies and hosts of a run mean, compared before a simulator is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.config import BenchConfig, HostTask
from bench.first_look import check_seeds
from bench.suite_plan import Plan
from sim.compatibility import agree
from sim.conventions import CANONICAL
from sim.episodes import SHOWN, EnvSpec, PolicySpec
from sim.errors import UserError
from tasks.catalogue import load_task
from tasks.task import Task


def require_agreement(config: BenchConfig, plan: Plan, specs: Mapping[str, PolicySpec]) -> None:
    """Refuse seeds that stand twice or were trained on, a horizon that is too short, and policies that mean other things.

    Worker processes compare again with what each host says of itself when it is open; this comes before all that costs.
    """
    check_seeds(plan.seeds)
    for host, name in plan.places:
        task = load_task(name)
        _check_horizon(config, task)
        for spec in specs.values():
            agree(spec, expected(config, host, task))


def _check_horizon(config: BenchConfig, task: Task) -> None:
    """Refuse to cut episodes off before the steps that the task needs."""
    if config.horizon is not None and config.horizon < task.horizon:
        raise UserError(
            f"horizon = {config.horizon} is shorter than the {task.horizon} steps that {task.id} needs: episodes would be "
            f"cut off and count as failures. Allowed: {task.horizon} or more, or leave it out."
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

"""A job of one task or of several: each becomes a dataset of its own; a task that does not get on stops only itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from datagen.diagnosis import AcceptanceCollapsed
from datagen.generate import generate
from datagen.generated import GenerateResult
from datagen.job import GenerateConfig
from datagen.progress import Show
from sim.episodes import Policy
from sim.errors import UserError
from sim.files import require_folder
from tasks.catalogue import load_task


@dataclass(frozen=True)
class SeveralResult:
    """The datasets of a job of several tasks."""

    datasets: tuple[GenerateResult, ...]
    # Task -> why it was stopped.
    stopped: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every task has its dataset."""
        return not self.stopped

    def __rich__(self) -> str:
        """Return the results one after the other, then what was stopped."""
        parts = [made.__rich__() for made in self.datasets]
        return "\n\n".join([*parts, *(f"{task} was stopped. {why}" for task, why in self.stopped.items())])


def generate_job(
    config: GenerateConfig,
    *,
    load_policy: Callable[[str], Policy],
    progress: Show | None = None,
    run: Callable[..., GenerateResult] = generate,
) -> GenerateResult | SeveralResult:
    """Generate the dataset of a job, or one dataset per task, or continue where an earlier run stopped.

    `load_policy` loads who demonstrates; `run` generates one dataset.
    """
    if not config.tasks:
        return run(config, policy=load_policy(config.policy), progress=progress)
    jobs = single_jobs(config)
    policies = [load_policy(job.policy) for job in jobs]  # All of them first: a wrong name is told now, not at dawn.
    datasets: list[GenerateResult] = []
    stopped: dict[str, str] = {}
    for job, policy in zip(jobs, policies, strict=True):
        try:
            datasets.append(run(job, policy=policy, progress=progress))
        except AcceptanceCollapsed as error:
            stopped[job.task] = str(error)
    return SeveralResult(tuple(datasets), stopped)


def single_jobs(config: GenerateConfig) -> list[GenerateConfig]:
    """Return one job per task, with the settings that all share and those of its own."""
    jobs = []
    for share in config.tasks:
        episodes = config.episodes if share.episodes is None else share.episodes
        val_episodes = config.val_episodes if share.val_episodes is None else share.val_episodes
        jobs.append(
            replace(
                config,
                task=share.task,
                policy=share.policy,
                episodes=episodes,
                val_episodes=val_episodes,
                tasks=(),
            )
        )
    _check(jobs)
    return jobs


def _check(jobs: list[GenerateConfig]) -> None:
    """Refuse before the first what any of them would be refused for, and two that would share a folder."""
    places: dict[Path, str] = {}
    for job in jobs:
        task = load_task(job.task)
        job.check(task)
        final = job.place(task).final
        require_folder(final)
        if final in places:
            raise UserError(
                f"[[tasks]]: {places[final]} and {job.task} are the same task, {task.id}, and would share the folder "
                f"{final}. Name each task once; another dataset of it is a job of its own, with another name."
            )
        places[final] = job.task

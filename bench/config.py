"""What a benchmark runs: which policies in which hosts on which episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.episodes import Policy
from sim.errors import UserError
from sim.ranges import EPISODES, PIXELS, PROCESSES, STEPS, WHOLE, Numbers, require
from sim.streams import episode_seed
from tasks.task import Task

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

PolicyFactory = Callable[[], Policy]
"""Builds a policy inside a worker process; picklable: a function or class of a module, or a partial of one."""


@dataclass(frozen=True)
class BenchConfig:
    """One benchmark run."""

    # Folder of the run. An interrupted run in it is continued.
    out: Path
    # Task whose instructions are given and whose own success is reported as `lifted`.
    task: str = "lift_cube"
    # Hosts as "host:environment", or "host" alone for the task's twin there; by default both, or all of the suite.
    hosts: tuple[str, ...] | None = None
    # Episodes per policy and host.
    episodes: int = 20
    # Seed of the benchmark; its episodes are never trained on.
    seed: int = 0
    # Steps after which an episode is truncated; the task's own by default.
    horizon: int | None = None
    # End an episode once the object has been lifted for so many steps; by default it runs to the horizon.
    stop_lifted: int | None = None
    # Worker processes; each runs one host at a time on one thread.
    workers: int = 2
    # Worlds in each worker process: the policy is asked for all of them at once. It changes no number.
    worlds: int = 4
    # Run the episodes again that broke off with an error; the others stay.
    retry_errors: bool = False
    # Episodes per policy and host of which frames are kept.
    filmstrips: int = 3
    # Width and height of rendered images, pixels.
    image_size: int = 256
    # Suite: smoke, standard, full or a TOML file. It fixes tasks, hosts, axes, episodes and seed.
    suite: str | None = None
    # Of the suite, only these tasks.
    tasks: tuple[str, ...] = ()
    # Of the suite, only these axes, beside the nominal arm.
    axes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self, RANGES)


RANGES = {
    "episodes": EPISODES,
    "horizon": STEPS,
    "stop_lifted": STEPS,
    "workers": PROCESSES,
    "worlds": Numbers(1, 1024),
    "filmstrips": WHOLE,
    "image_size": PIXELS,
}

DEFAULT_HOSTS = ("robosuite", "maniskill")
"""Hosts of a run without a suite that names none."""


@dataclass(frozen=True)
class HostTask:
    """One environment of one host."""

    host: str
    host_task: str

    def __str__(self) -> str:
        """Return "host:environment"."""
        return f"{self.host}:{self.host_task}"


@dataclass(frozen=True)
class BenchResult:
    """What a benchmark found."""

    # Folder of the run.
    out: Path
    # The content of results.json.
    results: dict[str, Any]

    def __rich__(self) -> Table | Group:
        """Return the headline table, and the drops of a suite, for a terminal."""
        from rich.console import Group

        from bench.suite_table import suite_table
        from bench.table import results_table

        suite = self.results.get("suite")
        if suite is not None and not self.results["cells"]:
            return suite_table(suite)
        table = results_table(self.results, title=f"Benchmark in {self.out}")
        return table if suite is None else Group(table, suite_table(suite))


def host_tasks(config: BenchConfig, task: Task) -> tuple[HostTask, ...]:
    """Return the environments that `config.hosts` names; unknown ones and doubles are refused."""
    from bench.hosts.registry import OWN, check_host

    twins = {twin.host: twin.host_task for twin in task.twins} | {OWN: task.id}
    chosen: list[HostTask] = []
    for text in DEFAULT_HOSTS if config.hosts is None else config.hosts:
        host, _, host_task = text.partition(":")
        found = HostTask(host, host_task or twins.get(host, ""))
        check_host(found.host, found.host_task, task)
        if found in chosen:
            raise UserError(f"The host {found} is named twice in hosts = {list(config.hosts or ())}. Name each once.")
        chosen.append(found)
    if not chosen:
        raise UserError('No host was named: hosts is empty. Name at least one, for example hosts = ["robosuite"].')
    return tuple(chosen)


def bench_seeds(config: BenchConfig) -> tuple[int, ...]:
    """Return the episode seeds of the benchmark, equal for every policy and host."""
    return tuple(episode_seed("benchmark", config.seed, i) for i in range(config.episodes))

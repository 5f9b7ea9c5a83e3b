"""Which cells a run has: host, task, axis, level and seeds, and what is not available where, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.axes import MIDDLE, Axis, find_axis
from bench.config import BenchConfig, HostTask, bench_seeds, host_tasks
from bench.suite import Place, Suite, load_suite
from bench.suite_available import available, fits, host_knobs, notices, why_closed
from bench.variation import NOMINAL, WRAPPED, Arm
from sim.episodes import PolicySpec
from sim.errors import UserError, unknown
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tasks.task import Task


@dataclass(frozen=True)
class Cell:
    """Episodes of the same kind: one arm of one task in one host, on the run's seeds."""

    host: HostTask
    task: str
    arm: Arm
    # Policies that run in it.
    policies: tuple[str, ...]
    # First episodes of which frames are kept.
    filmed: int
    # What its records say beside the host; nothing in a run without a suite.
    labels: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Everything that a run has to do."""

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    # {"host", "task", "axis", "why"} of what cannot run.
    unavailable: tuple[dict[str, Any], ...] = ()
    # {"host", "task", "axis", "level", "policy", "why"} of arms that a policy cannot notice: they are not run.
    unnoticed: tuple[dict[str, Any], ...] = ()
    suite: Suite | None = None

    @property
    def places(self) -> list[tuple[HostTask, str]]:
        """Return every host and task, in their order."""
        return list(dict.fromkeys((cell.host, cell.task) for cell in self.cells))

    def order(self, policies: Sequence[str]) -> dict[tuple[Any, ...], int]:
        """Return the place of every record in a finished log, by its key."""
        keys = [
            (str(c.host), policy, seed, *(c.labels.get(name, d) for name, d in LABELS))
            for c in self.cells
            for policy in policies
            if policy in c.policies
            for seed in self.seeds
        ]
        return {key: number for number, key in enumerate(keys)}


LABELS = (("task", ""), ("axis", ""), ("level", 0))
"""What names the cell of a record beside its host, and what stands for it in a run without a suite."""


def make_plan(config: BenchConfig, specs: Mapping[str, PolicySpec]) -> Plan:
    """Return the plan of a run; a suite in which nothing can run is refused."""
    if config.suite is None:
        task = load_task(config.task)
        cells = [
            Cell(host, task.id, NOMINAL, tuple(specs), config.filmstrips, labels={})
            for host in host_tasks(config, task)
        ]
        return Plan(tuple(cells), bench_seeds(config))
    return _suite_plan(config, load_suite(config.suite), specs)


def _suite_plan(config: BenchConfig, suite: Suite, specs: Mapping[str, PolicySpec]) -> Plan:
    _check_selection(config, suite)
    made = _Planner(config, suite, specs)
    for place in suite.places:
        if not config.tasks or any(_means(name, place.task) for name in config.tasks):
            made.add(place)
    if not made.cells:
        told = "; ".join(dict.fromkeys(f"{each['host']}: {each['why']}" for each in made.unavailable))
        raise UserError(f"Nothing of the suite {suite.name} can run: {told or 'no place is chosen'}.")
    seeds = tuple(episode_seed("benchmark", suite.seed, i) for i in range(suite.episodes))
    return Plan(tuple(made.cells), seeds, tuple(made.unavailable), tuple(made.unnoticed), suite)


def _means(name: str, task: str) -> bool:
    """Return whether a name is a task's id, or its name without the version."""
    return name in (task, task.rsplit("-v", 1)[0])


def _check_selection(config: BenchConfig, suite: Suite) -> None:
    """Refuse settings that the suite fixes, and names that are not in it."""
    default = BenchConfig(out=config.out)
    for name in ("task", "episodes", "seed", "horizon", "stop_lifted"):
        if getattr(config, name) != getattr(default, name):
            raise UserError(
                f"{name} = {getattr(config, name)!r} and the suite {suite.name} were given: the suite fixes it. Leave "
                "it out; to choose among the suite's tasks, hosts and axes: --tasks, --hosts, --axes."
            )
    for name in config.tasks:
        if not any(_means(name, task) for task in suite.tasks):
            raise unknown(f"task of the suite {suite.name}", name, suite.tasks)
    for axis in config.axes:
        if axis not in suite.all_axes:
            raise unknown(f"axis of the suite {suite.name}", axis, suite.all_axes)
    known = {host.partition(":")[0] for place in suite.places for host in place.hosts}
    for host in config.hosts or ():
        if host.partition(":")[0] not in known:
            raise unknown(f"host of the suite {suite.name}", host, known)


class _Planner:
    """Cells in the making."""

    def __init__(self, config: BenchConfig, suite: Suite, specs: Mapping[str, PolicySpec]) -> None:
        self.config, self.suite, self.specs = config, suite, specs
        self.cells: list[Cell] = []
        self.unavailable: list[dict[str, Any]] = []
        self.unnoticed: list[dict[str, Any]] = []
        self._known: set[tuple[HostTask, str, str, int]] = set()

    def add(self, place: Place) -> None:
        """Add every cell of one task."""
        task = load_task(place.task)
        for text in place.hosts:
            name, _, environment = text.partition(":")
            host = HostTask(name, environment or task.id)
            if self.config.hosts is not None and not {name, text} & set(self.config.hosts):
                continue
            why = why_closed(host, task)
            policies = tuple(p for p, spec in self.specs.items() if fits(spec, task))
            for policy in self.specs.keys() - set(policies):
                self._cannot(host, task, "", f"the policy {policy} reads the state of another task")
            if why:
                self._cannot(host, task, "", why)
            elif policies:
                self._add_host(host, task, place.axes or self.suite.axes, policies)

    def _cannot(self, host: HostTask, task: Task, axis: str, why: str) -> None:
        self.unavailable.append({"host": str(host), "task": task.id, "axis": axis, "why": why})

    def _add_host(self, host: HostTask, task: Task, names: Sequence[str], policies: tuple[str, ...]) -> None:
        knobs = host_knobs(host, task) | WRAPPED
        chosen = [find_axis(name) for name in names if not self.config.axes or name in self.config.axes]
        if any(axis.group != "grounding" for axis in chosen) or not (chosen or self.config.axes):
            self._add_cell(host, task, NOMINAL, policies, filmed=self.config.filmstrips)
        for axis in chosen:
            here, why = available(axis, task, knobs)
            if why:
                self._cannot(host, task, axis.name, why)
            if here is not None:
                for level in _levels(here, self.suite.levels):
                    self._add_arm(host, task, here.arm(level), policies)

    def _add_arm(self, host: HostTask, task: Task, arm: Arm, policies: tuple[str, ...]) -> None:
        noticing = tuple(p for p in policies if notices(self.specs[p], arm))
        for policy in policies:
            if policy not in noticing:
                self.unnoticed.append(
                    {"host": str(host), "task": task.id, "axis": arm.axis, "level": arm.level, "policy": policy}
                )
        if noticing:
            self._add_cell(host, task, arm, noticing, filmed=min(1, self.config.filmstrips))

    def _add_cell(self, host: HostTask, task: Task, arm: Arm, policies: tuple[str, ...], *, filmed: int) -> None:
        name = (host, task.id, arm.axis, arm.level)
        if name not in self._known:
            self._known.add(name)
            labels = {"task": task.id, "axis": arm.axis, "level": arm.level}
            self.cells.append(Cell(host, task.id, arm, policies, filmed, labels))


def _levels(axis: Axis, wanted: Iterable[int]) -> list[int]:
    """Return the levels that run: an axis with one level runs it once, where the middle level is asked for."""
    if len(axis.levels) == 1:
        return [1] if MIDDLE in wanted else []
    return [level for level in wanted if level <= len(axis.levels)]

"""The hosts by name: simulators in which policies are judged. Each is imported when it is made, not before."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.errors import UserError, unknown

if TYPE_CHECKING:
    from bench.hosts.world import World
    from sim.episodes import Env
    from tasks.randomization import Knob
    from tasks.task import Task

OWN = "demomill"
"""The name under which our own engine stands beside the hosts."""

OWN_PRESET = "held_out"
"""Randomization of our own engine when it judges: wider than any training saw, sentences never trained on."""


@dataclass(frozen=True)
class HostEntry:
    """Where a host's environments are made and what they need."""

    # Python package that must be installed, and what to type after `pip install`.
    package: str
    requirement: str
    # The host's environment id -> "module:Class" of its world.
    worlds: dict[str, str]


HOSTS: dict[str, HostEntry] = {
    "robosuite": HostEntry(
        package="robosuite",
        requirement='"robosuite==1.5.2" "mujoco>=3.3.7,<3.10"',
        worlds={
            name: f"bench.hosts.robosuite_twins:Robosuite{name}" for name in ("Door", "Lift", "PickPlaceCan", "Stack")
        },
    ),
    "maniskill": HostEntry(
        package="mani_skill",
        requirement='"mani_skill==3.0.1" "numpy<2"',
        worlds={
            f"{name}-v1": f"bench.hosts.maniskill_twins:Maniskill{name}"
            for name in ("LiftPegUpright", "PickCube", "PlaceSphere", "PullCube", "PushCube", "StackCube")
        },
    ),
}
"""Every host that is not our own engine."""


def make_host(
    name: str,
    host_task: str,
    *,
    task: Task,
    n: int = 1,
    image_size: int = 256,
    horizon: int | None = None,
    stop_lifted: int | None = None,
    variation: Sequence[Knob] = (),
) -> Env:
    """Return `n` worlds of the host's environment `host_task`, described in the terms of `task`.

    `horizon` (steps) defaults to the task's, or to what the host's environment needs where that is longer. With
    `stop_lifted`, an episode ends once our task's own success has held for so many steps in a row; otherwise it runs to
    the horizon. The host "demomill" is our own engine. Every episode draws the laws of `variation`, which apply to the
    values that the host itself gives.
    """
    check_host(name, host_task, task)
    if n < 1:
        raise UserError(f"A host needs at least one world; got n = {n}.")
    if name == OWN:
        return _own(task, n=n, image_size=image_size, horizon=horizon, variation=variation)
    from bench.hosts.host_env import HostEnv

    try:
        worlds = [make_world(name, host_task, image_size=image_size) for _ in range(n)]
    except ModuleNotFoundError as error:
        raise _missing(name, HOSTS[name], str(error.name)) from error
    limit = max(task.horizon, worlds[0].horizon) if horizon is None else horizon
    env = HostEnv(
        worlds, task, host=name, host_task=host_task, horizon=limit, stop_lifted=stop_lifted, image_size=image_size
    )
    env.vary(variation)
    return env


def make_world(name: str, host_task: str, *, image_size: int) -> World:
    """Return one world of a host, without a task of ours."""
    made: World = _world_class(name, host_task)(image_size=image_size)
    return made


def host_knobs(name: str, host_task: str) -> frozenset[str]:
    """Return the paths that a variation can change in a host's environment; no simulator is built or imported."""
    knobs: frozenset[str] = _world_class(name, host_task).knobs
    return knobs


def _world_class(name: str, host_task: str) -> Any:
    module, attribute = HOSTS[name].worlds[host_task].split(":")
    return getattr(importlib.import_module(module), attribute)


def _own(task: Task, *, n: int, image_size: int, horizon: int | None, variation: Sequence[Knob]) -> Env:
    """Return our own engine under the held-out randomization."""
    from sim.engine import make_engine
    from tasks.env import TaskEnv

    if variation:
        raise UserError(
            f"Our own engine takes variations through its presets, not here; got {[law.text for law in variation]}."
        )
    if horizon is not None and horizon != task.horizon:
        raise UserError(f"Our own engine runs {task.id} for its {task.horizon} steps; got horizon = {horizon}.")
    return TaskEnv(task, make_engine("mujoco", task.scene, n=n), preset=OWN_PRESET, image_size=image_size)


def check_host(name: str, host_task: str, task: Task) -> None:
    """Refuse a wrong host, a wrong environment, a task without a twin there and a package that is not installed."""
    if name not in {*HOSTS, OWN}:
        raise unknown("host", name, {*HOSTS, OWN})
    if name == OWN:
        if host_task != task.id:
            raise unknown(f"environment of host {name}", host_task, [task.id])
        return
    entry = HOSTS[name]
    if host_task not in entry.worlds:
        raise unknown(f"environment of host {name}", host_task, entry.worlds)
    twins = [(twin.host, twin.host_task) for twin in task.twins]
    if (name, host_task) not in twins:
        told = ", ".join(f"{host}:{twin}" for host, twin in twins) or "none"
        raise UserError(f"The task {task.id} cannot be judged in {name}:{host_task}. It has twins in: {told}.")
    if importlib.util.find_spec(entry.package) is None:
        raise _missing(name, entry, entry.package)


def _missing(name: str, entry: HostEntry, package: str) -> UserError:
    return UserError(
        f"Host {name!r} needs the package {package!r}, which is not installed. Type: pip install {entry.requirement}"
    )

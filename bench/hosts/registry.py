"""The hosts by name: simulators in which policies are judged. Each is imported when it is made, not before."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.errors import UserError, unknown

if TYPE_CHECKING:
    from sim.episodes import Env
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
        worlds={"Lift": "bench.hosts.robosuite_host:RobosuiteLift"},
    ),
    "maniskill": HostEntry(
        package="mani_skill",
        requirement='"mani_skill==3.0.1" "numpy<2"',
        worlds={"PickCube-v1": "bench.hosts.maniskill_host:ManiskillPickCube"},
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
) -> Env:
    """Return `n` worlds of the host's environment `host_task`, described in the terms of `task`.

    `horizon` (steps) defaults to the task's. With `stop_lifted`, an episode ends once our task's own success has held
    for so many steps in a row; otherwise it runs to the horizon. The host "demomill" is our own engine.
    """
    check_host(name, host_task, task)
    if n < 1:
        raise UserError(f"A host needs at least one world; got n = {n}.")
    if name == OWN:
        return _own(task, n=n, image_size=image_size, horizon=horizon)
    from bench.hosts.host_env import HostEnv

    entry = HOSTS[name]
    module, attribute = entry.worlds[host_task].split(":")
    try:
        world = getattr(importlib.import_module(module), attribute)
        worlds = [world(image_size=image_size) for _ in range(n)]
    except ModuleNotFoundError as error:
        raise _missing(name, entry, str(error.name)) from error
    limit = task.horizon if horizon is None else horizon
    return HostEnv(worlds, task, host=name, host_task=host_task, horizon=limit, stop_lifted=stop_lifted)


def _own(task: Task, *, n: int, image_size: int, horizon: int | None) -> Env:
    """Return our own engine under the held-out randomization."""
    from sim.engine import make_engine
    from tasks.env import TaskEnv

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

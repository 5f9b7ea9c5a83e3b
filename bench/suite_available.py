"""What of a suite a host can show and a policy can notice: nothing is left at its nominal value in silence."""

from __future__ import annotations

import importlib

from bench.axes import Axis, load_axes, together
from bench.config import HostTask
from bench.hosts.registry import HOSTS, OWN, check_host
from bench.variation import Arm
from bench.variation_task import turnable
from sim.episodes import PolicySpec
from tasks.randomization import Knob, is_visual
from tasks.task import Task

SEEN_BY = {"sentence": {"instruction"}, "state": {"state"}, "privileged": {"privileged"}}
"""Owner of a path -> what a policy must read for it to make a difference; everything visual needs an image."""

IMAGES = {"image", "wrist_image"}


def why_closed(host: HostTask, task: Task) -> str:
    """Return why a task cannot be judged in a host; "" where it can. A package that is missing is refused."""
    if host.host != OWN and host.host in HOSTS and host.host_task not in HOSTS[host.host].worlds:
        return "this environment has no adapter"
    if host.host != OWN and (host.host, host.host_task) not in {(t.host, t.host_task) for t in task.twins}:
        return "the task names no such twin"
    check_host(host.host, host.host_task, task)
    return ""


def fits(spec: PolicySpec, task: Task) -> bool:
    """Return whether a policy can be asked about the task: privileged observations are those of one task."""
    own = spec.record.get("task")
    return "privileged" not in spec.inputs or own is None or own == task.id


def host_knobs(host: HostTask, task: Task) -> frozenset[str]:
    """Return the paths that the worlds of a host can turn, without building one."""
    if host.host == OWN:
        return turnable(task)
    module, attribute = HOSTS[host.host].worlds[host.host_task].split(":")
    world = getattr(importlib.import_module(module), attribute)
    return frozenset(getattr(world, "knobs", ()))


def available(axis: Axis, task: Task, knobs: frozenset[str]) -> tuple[Axis | None, str]:
    """Return the axis as it can be turned here, None where it cannot, and what is missing."""
    if axis.tasks and task.id not in axis.tasks:
        return None, f"not defined for {task.id}"
    if axis.parts:
        return _combined_here(axis, task, knobs)
    missing = sorted({law.path for laws in axis.levels for law in laws} - knobs)
    return (None, f"cannot turn {', '.join(missing)}") if missing else (axis, "")


def _combined_here(axis: Axis, task: Task, knobs: frozenset[str]) -> tuple[Axis | None, str]:
    """Return the combined axis of the parts that can be turned here, and which are left out."""
    parts = [part for name in axis.parts if (part := available(load_axes()[name], task, knobs)[0]) is not None]
    names = tuple(part.name for part in parts)
    left_out = [name for name in axis.parts if name not in names]
    if not parts:
        return None, "none of its parts is available"
    why = f"runs without {', '.join(left_out)}" if left_out else ""
    return Axis(axis.name, axis.group, axis.about, together(parts), parts=names), why


def notices(spec: PolicySpec, arm: Arm) -> bool:
    """Return whether an arm can make a difference to a policy: it reads what the arm changes."""
    return any(_noticed(law, spec.inputs) for law in arm.laws)


def _noticed(law: Knob, inputs: frozenset[str]) -> bool:
    owner = law.path.split(".")[0]
    if owner in SEEN_BY:
        return bool(SEEN_BY[owner] & inputs)
    if is_visual(law.path):
        return bool((IMAGES | ({"instruction"} if law.path.endswith(".color") else set())) & inputs)
    return True

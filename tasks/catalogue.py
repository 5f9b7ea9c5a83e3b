"""The catalogue of tasks: by versioned id, or by name alone for the newest version."""

from __future__ import annotations

import importlib

from sim.errors import unknown
from tasks.task import Task

TASKS: dict[str, str] = {
    "lift_cube-v1": "tasks.lift_cube:TASK",
}


def load_task(name: str) -> Task:
    """Return the task `name`: an id such as "lift_cube-v1", or "lift_cube" for its newest version."""
    versions = sorted(key for key in TASKS if key == name or key.rsplit("-v", 1)[0] == name)
    if not versions:
        raise unknown("task", name, TASKS, hint="Type: demomill tasks")
    module, attribute = TASKS[versions[-1]].split(":")
    task: Task = getattr(importlib.import_module(module), attribute)
    return task

"""The catalogue of tasks: by versioned id, or by name alone for the version with the best expert."""

from __future__ import annotations

import importlib

from sim.errors import unknown
from tasks.task import Task

TASKS: dict[str, str] = {
    "lift_cube-v1": "tasks.lift_cube:TASK",
    "lift_cube-v2": "tasks.lift_cube_v2:TASK",
    "open_door-v1": "tasks.open_door:TASK",
    "peg_upright-v1": "tasks.peg_upright:TASK",
    "place_in_bin-v1": "tasks.place_in_bin:TASK",
    "pull_cube-v1": "tasks.pull_cube:TASK",
    "push_cube-v1": "tasks.push_cube:TASK",
    "stack_cube-v1": "tasks.stack_cube:TASK",
}

BY_NAME: dict[str, str] = {"lift_cube": "lift_cube-v1"}
"""Names that mean another version than the newest, because its expert is the one that ships."""


def load_task(name: str) -> Task:
    """Return the task `name`: an id such as "lift_cube-v2", or a bare name for its preferred version."""
    name = BY_NAME.get(name, name)
    versions = sorted(key for key in TASKS if key == name or key.rsplit("-v", 1)[0] == name)
    if not versions:
        raise unknown("task", name, TASKS, hint="Type: demomill tasks")
    module, attribute = TASKS[versions[-1]].split(":")
    task: Task = getattr(importlib.import_module(module), attribute)
    return task

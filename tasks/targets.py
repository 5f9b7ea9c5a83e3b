"""Where the thing is that a task is about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.state import State
from tasks import doors
from tasks.task import Task

TARGET = "target"
"""Name under which environments trace where a target that is no object is grasped."""


def grasped(task: Task, state: State) -> NDArray[np.float64]:
    """Return where the task's target is grasped, (n, 3), m, base frame: an object's centre, a fixture's handle."""
    if task.target in state.poses:
        return np.asarray(state.poses[task.target], np.float64)[:, :3]
    return np.asarray(doors.handle(state), np.float64)

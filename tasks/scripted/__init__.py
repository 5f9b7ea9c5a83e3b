"""Scripted controllers, one per task: State of n worlds -> canonical actions (n, 7), without memory.

Their motion is smooth, and they read nothing but the state: an expert's training can begin as their copy.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from sim.state import Array, State

Script = Callable[[State], Array]

SCRIPTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "lift_cube-v1": ("grasp", "lift", {"name": "cube"}),
    "lift_cube-v2": ("grasp", "lift", {}),
    "open_door-v1": ("door", "pull", {}),
    "peg_upright-v1": ("peg", "stand", {}),
    "place_in_bin-v1": ("carry", "fill", {}),
    "pull_cube-v1": ("slide", "slide", {}),
    "push_cube-v1": ("slide", "slide", {}),
    "stack_cube-v1": ("carry", "stack", {}),
}
"""Task id -> module here, function, further arguments."""


def load_script(task: str) -> Script | None:
    """Return the scripted controller of the task `task` (an id), or None where there is none."""
    if task not in SCRIPTS:
        return None
    module, function, arguments = SCRIPTS[task]
    script = getattr(importlib.import_module(f"tasks.scripted.{module}"), function)
    return functools.partial(script, **arguments)

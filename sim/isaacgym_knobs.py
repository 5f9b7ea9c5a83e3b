"""What the Isaac Gym engine can vary, what it keeps in stock, and what it refuses in words."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from sim.engine import Values
from sim.errors import UserError
from sim.scene import Scene

STOCKED = ("*.half_size", "*.mass", "*.size")
"""Parameters that Isaac Gym fixes when it creates a body: an episode takes the nearest one in stock.

Of a fixture there is one, of its nominal size.
"""

SET_HERE = (
    "robot.q",
    "robot.response",
    "robot.damping",
    "robot.stiffness",
    "robot.joint_damping",
    "gripper.friction",
    "gripper.opening",
    "table.friction",
    "table.height",
    "*.position",
    "*.yaw",
    "*.friction",
    "*.shape",
    "*.present",
)
"""Parameters that every reset sets; damping and resistance of the fixtures' joints come to them."""

NOT_PHYSICAL = (
    "action.*",
    "gripper.speed",
    "observation.*",
    "light.*",
    "camera.*",
    "image.*",
    "background.*",
    "*.color",
    "*.shade",
    "*.texture",
    "table.extent",
)
"""Parameters of the task environment and of what draws: no engine's affair."""


@functools.cache
def read_paths(scene: Scene) -> tuple[str, ...]:
    """Return the parameters of a scene that this engine reads."""
    joints = [f"{f.name}.{field}" for f in scene.fixtures if f.joint for field in ("damping", "resistance")]
    return tuple(path for path in scene.nominal() if _listed(path, (*SET_HERE, *STOCKED, *joints)))


@functools.cache
def unknown_paths(scene: Scene) -> tuple[str, ...]:
    """Return the physical parameters of a scene that this engine has no way to set."""
    read = set(read_paths(scene))
    return tuple(path for path in scene.nominal() if path not in read and not _listed(path, NOT_PHYSICAL))


def _listed(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def refuse_what_cannot_vary(scene: Scene, values: Values) -> None:
    """Refuse a physical parameter that is not nominal and that this engine has no way to set."""
    for path, nominal in _unknown_nominal(scene).items():
        if path in values and not same(values[path], nominal):
            raise UserError(
                f"The Isaac Gym engine cannot vary {path}: it is {nominal} here, and {values[path]} was asked for. "
                "Leave that knob out of the randomization preset, or use --engine mujoco."
            )


def nominal_sizes(scene: Scene) -> dict[str, Any]:
    """Return the sizes of the fixtures that have one, by path: the only ones that this engine builds."""
    return {f"{fixture.name}.size": fixture.size for fixture in scene.fixtures if fixture.size is not None}


def refuse_other_sizes(scene: Scene, values: Values) -> None:
    """Refuse a fixture of another size than the nominal one."""
    for path, size in nominal_sizes(scene).items():
        if path in values and not same(values[path], size):
            raise UserError(
                f"The Isaac Gym engine builds every fixture in one size: {path} is {size} m here, and {values[path]} "
                "was asked for. Take engine.fixed_values(world, values) over into the draw, or use --engine mujoco."
            )


@functools.cache
def _unknown_nominal(scene: Scene) -> Values:
    """Return the nominal values of what this engine has no way to set."""
    nominal = scene.nominal()
    return {path: nominal[path] for path in unknown_paths(scene)}


def same(asked: Any, kept: Any) -> bool:
    """Return whether two values of one parameter are the same."""
    if isinstance(asked, str) or isinstance(kept, str):
        return bool(asked == kept)
    return bool(np.array_equal(np.asarray(asked, dtype=np.float64), np.asarray(kept, dtype=np.float64)))


def not_finite(scene: Scene, values: Values) -> list[str]:
    """Return the parameters that this engine reads and whose values are not finite numbers."""
    return [path for path in read_paths(scene) if path in values and not _is_finite(values[path])]


def _is_finite(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return all(map(math.isfinite, value)) if isinstance(value, tuple | list) else bool(np.isfinite(value).all())

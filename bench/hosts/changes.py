"""What one episode changes in a host's scene: an operation on the host's own value, path by path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench import variation
from bench.variation import Change, Changes
from sim.errors import UserError, unknown
from sim.scene import Value, light_direction, rgb
from sim.textures import TEXTURES

Body = TypeVar("Body")

AS_IT_IS: Changes = {}
"""The host without a change."""

SURROUNDINGS = frozenset(
    {
        *("others.count", "robot.q", "gripper.friction", "table.friction", "table.color"),
        *("light.direction", "light.diffuse", "light.ambient"),
        *("camera.offset", "camera.target_offset", "camera.roll", "camera.fovy"),
    }
)
"""What every world can change."""

TEXTURED = SURROUNDINGS | {"table.texture"}
"""What worlds can change whose table can be given another texture."""


def body_knobs(role: str, *, rigid: bool = False) -> frozenset[str]:
    """Return the paths of an object; a mesh, `rigid`, keeps its shape and size."""
    names = {"position", "yaw", "color", "mass", "friction"} | (set() if rigid else {"half_size", "shape"})
    return frozenset(f"{role}.{name}" for name in names)


def applied(path: str, nominal: Value, change: Change) -> Value:
    """Return the absolute value of `path` after `change`; a number stands for all components of a vector.

    A colour's name counts as its RGB where it is multiplied or added to.
    """
    operation, operand = change
    colored = path.endswith(".color")
    if isinstance(operand, str) and not (colored or isinstance(nominal, str)):
        raise UserError(f"The change {operation} {operand!r} of {path} is not allowed: its value is {nominal!r}.")
    if colored and isinstance(nominal, str) and not isinstance(operand, str):
        nominal = rgb(nominal)
    value = variation.applied(change, nominal, path=path)
    if not isinstance(value, str) and not np.isfinite(value).all():
        raise UserError(f"The change {operation} {operand!r} of {path} makes it {value}: not finite.")
    return value


@dataclass(frozen=True)
class Turned:
    """The changes of one episode, and the absolute values that they have made so far, by path."""

    changes: Changes = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def value(self, path: str, nominal: Value) -> Any:
        """Return the value of `path` after its change, and remember it."""
        self.values[path] = applied(path, nominal, self.changes[path])
        return self.values[path]

    def mass(self, path: str, nominal: float) -> float:
        """Return a mass after its change, kg; one that is not above 0 is refused."""
        mass = float(self.value(path, nominal))
        if mass <= 0:
            raise UserError(f"{path} = {mass} is not allowed: a mass must be above 0 kg.")
        return mass

    def direction(self, path: str, nominal: Value) -> NDArray[np.float64]:
        """Return a light's direction (3,) after its change, of length 1."""
        return light_direction(path, np.asarray(self.value(path, nominal), dtype=np.float64))

    def surface(self, name: str, nominal: tuple[float, ...]) -> tuple[str, tuple[float, ...]] | None:
        """Return texture and colour of "table" or another surface after its changes; None where it has none.

        `nominal` counts as its own colour where its texture alone is changed.
        """
        color, texture = f"{name}.color", f"{name}.texture"
        if not {color, texture} & self.changes.keys():
            return None
        wanted = str(self.value(texture, "plain")) if texture in self.changes else "plain"
        if wanted not in ("plain", *TEXTURES):
            raise unknown(f"texture for {texture}", wanted, ("plain", *TEXTURES))
        return wanted, rgb(self.value(color, nominal) if color in self.changes else nominal)

    def turn(self, role: str, body: Body, steps: Mapping[str, Callable[[Body, str], None]]) -> None:
        """Take, in their order, the steps for what is changed of `role`, each with the body and the path."""
        for attribute, step in steps.items():
            if (path := f"{role}.{attribute}") in self.changes:
                step(body, path)


def yaw_of(quaternion: NDArray[np.float64]) -> float:
    """Return the rotation about z, rad, of a quaternion (4,), wxyz."""
    w, x, y, z = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))

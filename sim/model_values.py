"""Scene values into a compiled MuJoCo model, always from nominal, and the start positions they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.engine import Values
from sim.mjcf import ARM_DAMPING, geom_size
from sim.scene import Object, Scene, Value

FINGERS_OPEN = (0.04, 0.04)


class ModelWriter:
    """Writes the physical values of one world into its model."""

    def __init__(self, model: mujoco.MjModel, scene: Scene) -> None:
        """Look up the model's ids once."""
        self._scratch = mujoco.MjData(model)
        self._objects = [(item, model.body(item.name).id, model.geom(item.name).id) for item in scene.objects]
        self._pads = [model.geom(f"{side}_pad").id for side in ("left", "right")]
        self._table = model.body("table").id
        self._damping = -np.array(ARM_DAMPING)

    def write(self, model: mujoco.MjModel, values: Values) -> None:
        """Set masses, sizes, frictions, servo damping and table height, and the constants that follow from them."""
        model.body_pos[self._table, 2] = values["table.height"]
        model.geom_friction[self._pads, 0] = values["gripper.friction"]
        model.actuator_biasprm[:7, 2] = self._damping * number(values["robot.damping"])
        for item, body, geom in self._objects:
            self._write_object(model, item, body, geom, values)
        mujoco.mj_setConst(model, self._scratch)

    def _write_object(self, model: mujoco.MjModel, item: Object, body: int, geom: int, values: Values) -> None:
        half = vector(values[f"{item.name}.half_size"])
        mass = number(values[f"{item.name}.mass"])
        sized = Object(item.name, item.shape, half, item.position, mass)
        model.geom_size[geom] = geom_size(sized)
        model.geom_rbound[geom] = bounding_radius(sized)
        model.geom_aabb[geom, 3:] = half
        model.geom_friction[geom, 0] = values[f"{item.name}.friction"]
        model.body_mass[body] = mass
        model.body_inertia[body] = inertia(sized)
        model.body_iquat[body] = (1.0, 0.0, 0.0, 0.0)


def number(value: Value) -> float:
    """Return a scalar value as a float."""
    assert isinstance(value, float | int)
    return float(value)


def vector(value: Value) -> tuple[float, ...]:
    """Return a vector value as a tuple."""
    return tuple(cast(Sequence[float], value))


def bounding_radius(item: Object) -> float:
    """Return the radius of the sphere around the object, m."""
    x, y, z = item.half_size
    if item.shape == "sphere":
        return x
    return float(np.hypot(x, z)) if item.shape == "cylinder" else float(np.sqrt(x * x + y * y + z * z))


def inertia(item: Object) -> tuple[float, float, float]:
    """Return the principal moments of inertia of the solid object, kg m^2, body axes."""
    x, y, z = item.half_size
    if item.shape == "sphere":
        return (0.4 * item.mass * x * x,) * 3
    if item.shape == "cylinder":
        side = item.mass * (3 * x * x + 4 * z * z) / 12
        return (side, side, item.mass * x * x / 2)
    third = item.mass / 3
    return (third * (y * y + z * z), third * (x * x + z * z), third * (x * x + y * y))


def start_positions(scene: Scene, values: Mapping[str, Value]) -> NDArray[np.float64]:
    """Return qpos (nq,) of the start that `values` describe: arm, open fingers, objects at rest on the table."""
    table = number(values["table.height"])
    parts: list[Sequence[float]] = [vector(values["robot.q"]), FINGERS_OPEN]
    for item in scene.objects:
        x, y = vector(values[f"{item.name}.position"])
        half_yaw = number(values[f"{item.name}.yaw"]) / 2
        height = table + vector(values[f"{item.name}.half_size"])[2]
        parts.append((x, y, height, float(np.cos(half_yaw)), 0.0, 0.0, float(np.sin(half_yaw))))
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])

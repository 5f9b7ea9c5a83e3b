"""Scene values into a compiled MuJoCo model, always from nominal, and the start positions they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import mujoco
import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from sim.contacts import GEOM_TYPES, HAND, OBJECT, TABLE, size_triple
from sim.dynamics import DynamicsWriter
from sim.engine import Values
from sim.errors import unknown
from sim.fixture_geoms import FixtureWriter
from sim.fixtures import SHAPES, fixture_pose
from sim.mjcf import ARM_DAMPING
from sim.panda import ARM, FINGERS
from sim.rotations import rotate
from sim.scene import Object, Scene, Value
from sim.state import Array

FINGERS_OPEN = (0.04, 0.04)


PARKED = (-5.0, 0.0, -5.0)
"""Where objects wait that an episode does without, m, base frame; each 1 m beside the one before."""

ROLLING = 2e-4
"""Resistance of round objects to turning, N m s / rad: a ball that was let go comes to rest."""


LEAN, OFF_CENTER = 1e-7, 1e-5
"""Tilt, rad, and centre of mass beside the axis, m, of cylinders.

Where a cylinder's axis is within some 1e-14 rad of a plane's normal, and not on it, MuJoCo divides rounding errors by
each other and finds no contact: one in twenty standing cylinders sank and jumped within seconds. Neither is felt.
"""


class ModelWriter:
    """Writes the physical values of one world into its model."""

    def __init__(self, model: mujoco.MjModel, scene: Scene) -> None:
        """Look up the model's ids once."""
        self._scratch = mujoco.MjData(model)
        self._objects = [(item, model.body(item.name).id, model.geom(item.name).id) for item in scene.objects]
        self._fixtures = FixtureWriter(model, scene)
        self._pads = [model.geom(f"{side}_pad").id for side in ("left", "right")]
        self._table = model.body("table").id
        self._damping = -np.array(ARM_DAMPING)
        self._frames = model.body_sameframe.copy(), model.geom_sameframe.copy()
        self._dynamics = DynamicsWriter(model)

    def write(self, model: mujoco.MjModel, values: Values) -> None:
        """Set objects, fixtures, frictions, servo damping and table height, and the constants that follow from them."""
        model.body_pos[self._table, 2] = values["table.height"]
        model.geom_friction[self._pads, 0] = values["gripper.friction"]
        model.actuator_biasprm[:7, 2] = self._damping * number(values["robot.damping"])
        for item, body, geom in self._objects:
            sized = drawn_object(item, values)
            _write_shape(model, sized, geom)
            _write_body(model, sized, body, geom)
            self._write_frames(model, sized, body, geom)
        self._fixtures.write(model, values)
        self._dynamics.write(model, values)
        mujoco.mj_setConst(model, self._scratch)

    def _write_frames(self, model: mujoco.MjModel, item: Object, body: int, geom: int) -> None:
        """Write where an object's shape and mass are in its body: a cylinder's a hair beside the axis."""
        round_foot = item.shape == "cylinder"
        model.body_ipos[body] = (OFF_CENTER if round_foot else 0.0, 0.0, 0.0)
        model.geom_quat[geom] = (1.0, 0.0, LEAN / 2 if round_foot else 0.0, 0.0)
        # What has a frame of its own must be told so, or MuJoCo takes the body's.
        bodies, geoms = self._frames
        none = int(mujoco.mjtSameFrame.mjSAMEFRAME_NONE)
        model.body_sameframe[body] = none if round_foot else bodies[body]
        model.geom_sameframe[geom] = none if round_foot else geoms[geom]


def drawn_object(item: Object, values: Values) -> Object:
    """Return the object as `values` draw it: shape, size, mass, friction and presence."""
    shape = values[f"{item.name}.shape"]
    if shape not in SHAPES:
        raise unknown(f"shape for {item.name}.shape", str(shape), SHAPES)
    return replace(
        item,
        shape=shape,
        half_size=vector(values[f"{item.name}.half_size"]),
        mass=number(values[f"{item.name}.mass"]),
        friction=number(values[f"{item.name}.friction"]),
        present=number(values[f"{item.name}.present"]),
    )


def _write_shape(model: mujoco.MjModel, item: Object, geom: int) -> None:
    """Write shape and size, with the bounds that the collision phases read."""
    model.geom_type[geom] = GEOM_TYPES[item.shape]
    model.geom_size[geom] = size_triple(item.shape, item.half_size)
    model.geom_rbound[geom] = bounding_radius(item)
    model.geom_aabb[geom, 3:] = item.half_size


def _write_body(model: mujoco.MjModel, item: Object, body: int, geom: int) -> None:
    """Write mass, friction and presence; an absent body is weightless and touches nothing."""
    model.geom_friction[geom, 0] = item.friction
    model.body_mass[body] = item.mass
    model.body_inertia[body] = inertia(item)
    model.body_iquat[body] = (1.0, 0.0, 0.0, 0.0)
    there = item.present > 0.5
    model.geom_contype[geom] = OBJECT if there else 0
    model.geom_conaffinity[geom] = TABLE | HAND | OBJECT if there else 0
    model.body_gravcomp[body] = 0.0 if there else 1.0
    dof = int(model.body_dofadr[body])
    model.dof_damping[dof + 3 : dof + 6] = 0.0 if item.shape == "box" else ROLLING


class SceneFacts:
    """What State tells of n worlds and no physics changes: sizes, shapes, presence, fixtures, the table's height."""

    def __init__(self, scene: Scene, n: int) -> None:
        """Make room for n worlds."""
        names = [item.name for item in scene.objects]
        self._scene, self._table = scene, np.zeros(n)
        self._sized = [fixture.name for fixture in scene.fixtures if fixture.size is not None]
        self._half_sizes = {name: np.zeros((n, 3)) for name in (*names, *self._sized)}
        self._shapes = {name: np.zeros(n, dtype=np.intp) for name in names}
        self._present = {name: np.ones(n, dtype=np.bool_) for name in names}
        self._fixtures = {fixture.name: np.zeros((n, 7)) for fixture in scene.fixtures}

    def write(self, world: int, values: Values) -> None:
        """Take over the values of one world."""
        self._table[world] = values["table.height"]
        for item in self._scene.objects:
            drawn = drawn_object(item, values)
            self._half_sizes[item.name][world] = drawn.half_size
            self._shapes[item.name][world] = SHAPES.index(drawn.shape)
            self._present[item.name][world] = drawn.present > 0.5
        for name in self._sized:
            self._half_sizes[name][world] = vector(values[f"{name}.size"])
        for name, poses in self._fixtures.items():
            poses[world] = fixture_pose(name, values)

    def shown(self) -> dict[str, Any]:
        """Return these fields of State, as fresh copies."""
        return {
            "table": self._table.copy(),
            "half_sizes": {name: array.copy() for name, array in self._half_sizes.items()},
            "shapes": {name: array.copy() for name, array in self._shapes.items()},
            "present": {name: array.copy() for name, array in self._present.items()},
            "fixtures": {name: array.copy() for name, array in self._fixtures.items()},
        }


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


def object_motion(scene: Scene, qpos: Array, qvel: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return poses (n, 7) and twists (n, 6) of the objects by name, as in State, of positions (n, nq) and velocities.

    MuJoCo gives a free joint's angular velocity in the body's frame; here it is in the base frame.
    """
    xp = array_namespace(qpos)
    poses, twists = {}, {}
    for i, item in enumerate(scene.objects):
        p, v = ARM + FINGERS + 7 * i, ARM + FINGERS + 6 * i
        poses[item.name] = qpos[:, p : p + 7]
        angular = rotate(poses[item.name][:, 3:], qvel[:, v + 3 : v + 6])
        twists[item.name] = xp.concat([qvel[:, v : v + 3], angular], axis=1)
    return poses, twists


def start_positions(scene: Scene, values: Mapping[str, Value]) -> NDArray[np.float64]:
    """Return qpos (nq,) of the start that `values` describe: arm, fingers, objects at rest, joints closed."""
    table = number(values["table.height"])
    opening = min(max(number(values["gripper.opening"]), 0.0), 1.0)
    parts: list[Sequence[float]] = [vector(values["robot.q"]), [opening * finger for finger in FINGERS_OPEN]]
    for i, item in enumerate(scene.objects):
        x, y = vector(values[f"{item.name}.position"])
        half_yaw = number(values[f"{item.name}.yaw"]) / 2
        place = (x, y, table + vector(values[f"{item.name}.half_size"])[2])
        if number(values[f"{item.name}.present"]) <= 0.5:
            place = (PARKED[0], PARKED[1] + i, PARKED[2])
        parts.append((*place, float(np.cos(half_yaw)), 0.0, 0.0, float(np.sin(half_yaw))))
    parts.append([0.0] * sum(fixture.joint is not None for fixture in scene.fixtures))
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])

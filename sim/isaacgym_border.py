"""Where our values become Isaac Gym's and back: quaternions, joints, fingers, frictions, servos, one function each.

Frames need no conversion: the robot's base stands in the origin of each Isaac Gym environment, z up, and the tensor API
speaks in the environment's own frame. Lengths are m, angles rad, times s on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import panda
from sim.conventions import OPENING_MAX
from sim.engine import Values
from sim.mjcf import (
    ARM_DAMPING,
    ARM_STIFFNESS,
    FINGER_DAMPING,
    FINGER_FORCE,
    FINGER_STIFFNESS,
    TABLE_CENTER,
    TABLE_HALF,
)
from sim.rotations import wxyz_to_xyzw, xyzw_to_wxyz
from sim.scene import Scene

ARM, FINGERS = 7, 2

SHAPES = {"box": 0, "cylinder": 1, "sphere": 2}
"""Shape of an object -> its number on the wire."""

TABLE_FRICTION = 0.3
"""Sliding friction of the table top in the MuJoCo model, where the larger of two coefficients counts."""

FRICTION_GRID = 0.01
"""Frictions are rounded to this: PhysX holds 64,000 materials at most, and every new coefficient makes one."""

PHYSX: dict[str, float | int] = {
    "solver_type": 1,
    "num_position_iterations": 12,
    "num_velocity_iterations": 1,
    "contact_offset": 0.004,
    "rest_offset": 0.0,
    "bounce_threshold_velocity": 0.2,
    "max_depenetration_velocity": 2.0,
    "friction_offset_threshold": 0.001,
    "friction_correlation_distance": 0.0005,
    "max_gpu_contact_pairs": 2**22,
    "default_buffer_size_multiplier": 4.0,
}
"""PhysX: temporal Gauss-Seidel, small offsets for small objects, buffers for thousands of worlds."""


def roots_from_positions(positions: NDArray[np.float64], objects: int) -> NDArray[np.float32]:
    """Return root states (k, objects, 13) at rest, xyzw, of generalized positions (k, 9 + 7 objects), wxyz."""
    poses = positions[:, ARM + FINGERS :].reshape(len(positions), objects, 7)
    roots = np.zeros((len(positions), objects, 13), dtype=np.float32)
    roots[:, :, :3] = poses[:, :, :3]
    roots[:, :, 3:7] = wxyz_to_xyzw(poses[:, :, 3:])
    return roots


def poses_from_roots(roots: NDArray[Any]) -> NDArray[np.float64]:
    """Return poses (..., 7), m and wxyz, of root states (..., 13)."""
    states = np.asarray(roots, dtype=np.float64)
    return np.concatenate([states[..., :3], np.asarray(xyzw_to_wxyz(states[..., 3:7]))], axis=-1)


def twists_from_roots(roots: NDArray[Any]) -> NDArray[np.float64]:
    """Return twists (..., 6), linear m/s and angular rad/s in the base frame, of root states (..., 13)."""
    return np.asarray(roots[..., 7:13], dtype=np.float64)


def joints_from_positions(positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return joint positions (k, 9) in the order of the wire: the arm from base to hand, left finger, right finger.

    That is MuJoCo's order too; the worker looks its own joints up by name.
    """
    return np.asarray(positions[:, : ARM + FINGERS], dtype=np.float32)


def finger_targets(gripper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return targets (n, 2), m from the middle, of gripper actions (n, 1), 1 = open."""
    return np.repeat(gripper * OPENING_MAX / 2, FINGERS, axis=1)


def opening_from_joints(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance between the fingertips (n,), m, of joint positions (n, 9)."""
    return np.asarray(joints[:, ARM] + joints[:, ARM + 1])


def servo_gains(values: Values) -> NDArray[np.float32]:
    """Return stiffness and damping (2, 9) of the servos, N m/rad, N m s/rad; N/m and N s/m for the fingers.

    Passive damping of a joint is the same torque as a servo's that holds still: it is added to the servo's.
    """
    factor, passive = number(values, "robot.stiffness", 1.0), number(values, "robot.joint_damping", 0.0)
    stiffness = np.array(ARM_STIFFNESS) * factor
    damping = np.array(ARM_DAMPING) * number(values, "robot.damping", 1.0) + passive
    fingers = ([FINGER_STIFFNESS] * FINGERS, [FINGER_DAMPING] * FINGERS)
    rows = [np.concatenate([arm, hand]) for arm, hand in zip((stiffness, damping), fingers, strict=True)]
    return np.asarray(rows, dtype=np.float32)


def number(values: Values, path: str, otherwise: float) -> float:
    """Return a scalar parameter, or what holds in scenes that have no such parameter."""
    return float(np.asarray(values.get(path, otherwise)))


def servos() -> dict[str, list[float]]:
    """Return the fields of Isaac Gym's joint properties, those of the MuJoCo model."""
    return {
        "stiffness": [*ARM_STIFFNESS, *[FINGER_STIFFNESS] * FINGERS],
        "damping": [*ARM_DAMPING, *[FINGER_DAMPING] * FINGERS],
        "effort": [*(link.torque for link in panda.LINKS), *[FINGER_FORCE] * FINGERS],
        "armature": [*[0.1] * ARM, *[0.3] * FINGERS],
        "velocity": [50.0] * (ARM + FINGERS),
    }


def frictions(scene: Scene, values: Values) -> NDArray[np.float32]:
    """Return the shapes' frictions (2 + objects,): pads, table, objects.

    PhysX in Isaac Gym takes the mean of two shapes' coefficients; in the MuJoCo model the pads' coefficient decides a
    grasp, and the larger one decides on the table. With one object all contacts get MuJoCo's coefficients exactly;
    with several, pads and table are set for their mean.
    """
    top = number(values, "table.friction", TABLE_FRICTION)
    own = np.array([number(values, f"{item.name}.friction", 1.0) for item in scene.objects] or [top])
    pads = 2.0 * number(values, "gripper.friction", 1.5) - own.mean()
    table = float((2.0 * np.maximum(own, top) - own).mean())
    listed = np.array([pads, table, *own[: len(scene.objects)]])
    rounded = np.round(np.maximum(listed, 0.0) / FRICTION_GRID) * FRICTION_GRID
    return np.asarray(rounded, dtype=np.float32)


def creation(scene: Scene, values: Sequence[Values]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what the worker builds: fields for all worlds, and arrays of what differs between them."""
    fields: dict[str, Any] = {
        "objects": [item.name for item in scene.objects],
        "timestep": scene.timestep,
        "substeps": scene.substeps,
        "servos": servos(),
        "physx": PHYSX,
        "table": {"center": list(TABLE_CENTER), "half": list(TABLE_HALF)},
    }
    count, objects = len(values), len(scene.objects)
    shape = [SHAPES[str(each.get(f"{o.name}.shape", o.shape))] for each in values for o in scene.objects]
    half = [each[f"{o.name}.half_size"] for each in values for o in scene.objects]
    mass = [each[f"{o.name}.mass"] for each in values for o in scene.objects]
    arrays: dict[str, NDArray[Any]] = {
        "shape": np.array(shape, dtype=np.int32).reshape(count, objects),
        "half_size": np.array(half, dtype=np.float64).reshape(count, objects, 3),
        "mass": np.array(mass, dtype=np.float64).reshape(count, objects),
        "table_height": np.array([each["table.height"] for each in values], dtype=np.float64),
    }
    return fields, arrays

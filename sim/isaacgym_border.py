"""Where our values become Isaac Gym's and back: quaternions, joints, fingers, frictions, servos, one function each.

Frames need no conversion: the robot's base stands in the origin of each Isaac Gym environment, z up, and the tensor API
speaks in the environment's own frame. Lengths are m, angles rad, times s on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import panda
from sim.engine import Values
from sim.fixture_urdf import ARMATURE, Actor, actors, fixture_urdf, joint_inertia
from sim.fixtures import Fixture, fixture_pose
from sim.mjcf import (
    ARM_DAMPING,
    ARM_STIFFNESS,
    FINGER_DAMPING,
    FINGER_FORCE,
    FINGER_STIFFNESS,
    TABLE_CENTER,
    TABLE_HALF,
)
from sim.model_values import start_positions
from sim.panda import ARM, FINGERS
from sim.rotations import wxyz_to_xyzw, xyzw_to_wxyz
from sim.scene import Scene

TABLE_FRICTION = 0.3
"""Sliding friction of the table top in the MuJoCo model, where the larger of two coefficients counts."""

FIXTURE_FRICTION = 0.5
"""The same of fixtures."""

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
    """Return root states (k, objects, 13) at rest, xyzw, of generalized positions (k, 9 + 7 objects ...), wxyz."""
    poses = positions[:, ARM + FINGERS : ARM + FINGERS + 7 * objects].reshape(len(positions), objects, 7)
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
    """Return the shapes' frictions (3 + objects,): pads, table, fixtures, objects.

    PhysX in Isaac Gym takes the mean of two shapes' coefficients; in the MuJoCo model the pads' coefficient decides a
    grasp, and the larger one decides elsewhere. With one object its contacts get MuJoCo's coefficients exactly; with
    several, pads, table and fixtures are set for the mean of those that are there.
    """
    top = number(values, "table.friction", TABLE_FRICTION)
    each = np.array([number(values, f"{item.name}.friction", item.friction) for item in scene.objects])
    there = np.array([number(values, f"{item.name}.present", item.present) > 0.5 for item in scene.objects], dtype=bool)
    own = each[there] if there.any() else np.array([top])
    pads = 2.0 * number(values, "gripper.friction", 1.5) - own.mean()
    table, fixtures = (float((2.0 * np.maximum(own, against) - own).mean()) for against in (top, FIXTURE_FRICTION))
    listed = np.array([pads, table, fixtures, *each])
    rounded = np.round(np.maximum(listed, 0.0) / FRICTION_GRID) * FRICTION_GRID
    return np.asarray(rounded, dtype=np.float32)


def stand_roots(scene: Scene, values: Values) -> NDArray[np.float32]:
    """Return root states (stands, 13) of what fixtures without a joint are made of, quaternions xyzw."""
    roots = np.zeros((len(stands(scene)), 13), dtype=np.float32)
    for k, actor in enumerate(stands(scene)):
        pose = np.array([fixture_pose(actor.fixture.name, values)])
        roots[k, :3], roots[k, 3:7] = pose[0, :3], wxyz_to_xyzw(pose[:, 3:])[0]
    return roots


def carriages(scene: Scene, values: Values) -> NDArray[np.float32]:
    """Return where the fixtures with a joint stand, (hinged, 4): x, y, z in m, yaw in [-pi, pi) rad, base frame."""
    rows = []
    for fixture in hinged(scene):
        x, y, z, w, _, _, turn = fixture_pose(fixture.name, values)
        yaw = (2 * np.arctan2(turn, w) + np.pi) % (2 * np.pi) - np.pi
        rows.append([x, y, z, yaw])
    return np.asarray(rows, dtype=np.float32).reshape(-1, 4)


def resistances(scene: Scene, values: Values) -> NDArray[np.float32]:
    """Return damping and dry friction of the fixtures' joints (hinged, 2): N m s/rad and N m, or N s/m and N."""
    rows = [[number(values, f"{f.name}.{field}", 0.0) for field in ("damping", "resistance")] for f in hinged(scene)]
    return np.asarray(rows, dtype=np.float32).reshape(-1, 2)


def stands(scene: Scene) -> tuple[Actor, ...]:
    """Return the actors of the fixtures without a joint."""
    return tuple(actor for fixture in scene.fixtures if fixture.joint is None for actor in actors(fixture))


def hinged(scene: Scene) -> tuple[Fixture, ...]:
    """Return the fixtures with a joint, in the order in which the joints stand in `positions`."""
    return tuple(fixture for fixture in scene.fixtures if fixture.joint is not None)


def plan(scene: Scene) -> dict[str, Any]:
    """Return what the worker builds in all worlds alike."""
    x, y = TABLE_CENTER
    return {
        "objects": [item.name for item in scene.objects],
        "timestep": scene.timestep,
        "substeps": scene.substeps,
        "servos": servos(),
        "physx": PHYSX,
        "table": {"center": [x, y, -TABLE_HALF[2]], "half": list(TABLE_HALF)},
        "stands": [{"name": a.name, "urdf": urdf_name(a.name), "solid": a.fixture.solid} for a in stands(scene)],
        "hinged": [
            {"name": f.name, "urdf": urdf_name(f.name), "inertia": joint_inertia(f), "armature": ARMATURE}
            for f in hinged(scene)
        ],
    }


def urdfs(scene: Scene) -> dict[str, str]:
    """Return the files that describe the fixtures: their names and texts."""
    return {urdf_name(actor.name): fixture_urdf(actor) for fixture in scene.fixtures for actor in actors(fixture)}


def urdf_name(actor: str) -> str:
    """Return the name of the file that describes an actor of a fixture."""
    return f"fixture_{actor}.urdf"


def starts(scene: Scene, values: Sequence[Values]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a reset, one row for each of `values`: places, gains, frictions; the bodies are missing."""
    positions = np.stack([start_positions(scene, chosen) for chosen in values])
    rows: dict[str, Callable[[Scene, Values], NDArray[np.float32]]] = {
        "friction": frictions,
        "stands": stand_roots,
        "carriages": carriages,
        "resistance": resistances,
    }
    return {
        "joints": joints_from_positions(positions),
        "roots": roots_from_positions(positions, len(scene.objects)),
        "table": np.array([number(chosen, "table.height", scene.table_height) for chosen in values], dtype=np.float32),
        "gains": np.stack([servo_gains(chosen) for chosen in values]),
        **{name: np.stack([made(scene, chosen) for chosen in values]) for name, made in rows.items()},
    }

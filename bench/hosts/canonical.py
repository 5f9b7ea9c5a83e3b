"""Small named conversions between canonical terms and those of the hosts, which list them in `spec.adapters`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.controller import clip_action
from sim.rotation_forms import FORMS
from sim.rotations import from_axis_angle, multiply

Vector = NDArray[np.float64]


def clip_canonical(action: Vector) -> Vector:
    """Return the canonical action (7,) inside its limits: 0.05 m and 0.25 rad per axis, gripper in [0, 1]."""
    return np.asarray(clip_action(action[None])[0])


def gripper_open_positive(fraction: float) -> float:
    """Return the gripper action of a host whose +1 opens and -1 closes; `fraction` is canonical, 1 = open."""
    return 2.0 * fraction - 1.0


def gripper_close_positive(fraction: float) -> float:
    """Return the gripper action of a host whose +1 closes and -1 opens; `fraction` is canonical, 1 = open."""
    return 1.0 - 2.0 * fraction


def axis_angle_to_intrinsic_xyz(vector: Vector) -> Vector:
    """Return intrinsic XYZ Euler angles (3,) of an axis-angle vector (3,): R = Rx Ry Rz, rad."""
    return FORMS["euler xyz intrinsic"].write(np.asarray(from_axis_angle(vector)))


def turned_about_z(quaternion: Vector, angle: float) -> Vector:
    """Return the frame `quaternion` (4,) wxyz turned by `angle` (rad) about its own z."""
    return np.asarray(multiply(quaternion, np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])))

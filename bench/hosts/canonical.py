"""Small named conversions between canonical terms and those of the hosts, which list them in `spec.adapters`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.rotations import from_axis_angle, multiply, to_matrix

Vector = NDArray[np.float64]


def clip_canonical(action: Vector) -> Vector:
    """Return the canonical action (7,) inside its limits: 0.05 m and 0.25 rad per axis, gripper in [0, 1]."""
    high = np.array([POSITION_LIMIT] * 3 + [ROTATION_LIMIT] * 3 + [1.0])
    low = np.append(-high[:6], 0.0)
    return np.clip(action, low, high)


def gripper_open_positive(fraction: float) -> float:
    """Return the gripper action of a host whose +1 opens and -1 closes; `fraction` is canonical, 1 = open."""
    return 2.0 * fraction - 1.0


def gripper_close_positive(fraction: float) -> float:
    """Return the gripper action of a host whose +1 closes and -1 opens; `fraction` is canonical, 1 = open."""
    return 1.0 - 2.0 * fraction


def axis_angle_to_intrinsic_xyz(vector: Vector) -> Vector:
    """Return intrinsic XYZ Euler angles (3,) of an axis-angle vector (3,): R = Rx Ry Rz, rad."""
    m = to_matrix(from_axis_angle(vector))
    middle = np.arcsin(np.clip(m[0, 2], -1.0, 1.0))
    return np.array([np.arctan2(-m[1, 2], m[2, 2]), middle, np.arctan2(-m[0, 1], m[0, 0])])


def turned_about_z(quaternion: Vector, angle: float) -> Vector:
    """Return the frame `quaternion` (4,) wxyz turned by `angle` (rad) about its own z."""
    return np.asarray(multiply(quaternion, np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])))

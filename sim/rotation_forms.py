"""The forms in which datasets and policies write rotations, each with its inverse; quaternions inside are wxyz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim import rotations

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RotationForm:
    """One way to write a rotation in `size` numbers."""

    size: int
    # (..., size) -> unit quaternions wxyz (..., 4), and back.
    read: Callable[[Numbers], Numbers]
    write: Callable[[Numbers], Numbers]


def _read_axis_angle(values: Numbers) -> Numbers:
    return np.asarray(rotations.from_axis_angle(values))


def _write_axis_angle(quaternion: Numbers) -> Numbers:
    return np.asarray(rotations.to_axis_angle(quaternion))


def _read_euler(values: Numbers) -> Numbers:
    x, y, z = _turns(values)
    return np.asarray(rotations.multiply(z, rotations.multiply(y, x)))


def _read_intrinsic(values: Numbers) -> Numbers:
    x, y, z = _turns(values)
    return np.asarray(rotations.multiply(x, rotations.multiply(y, z)))


def _write_intrinsic(quaternion: Numbers) -> Numbers:
    """Return intrinsic XYZ angles: R = Rx Ry Rz, so R transposed is Rz' Ry' Rx' of the negated angles."""
    return -rotations.to_euler_xyz(np.asarray(rotations.conjugate(quaternion)))


def _turns(angles: Numbers) -> list[Numbers]:
    """Return the quaternions (..., 4) of turns by angles (..., 3) about x, y and z."""
    axes = np.eye(3)
    return [np.asarray(rotations.from_axis_angle(angles[..., i : i + 1] * axes[i])) for i in range(3)]


def _read_columns(values: Numbers) -> Numbers:
    """Return the rotation whose first two columns are given, made orthonormal (Gram-Schmidt, Zhou et al. 2019)."""
    first, second = values[..., :3], values[..., 3:]
    x = first / np.linalg.norm(first, axis=-1, keepdims=True)
    y = second - (x * second).sum(axis=-1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.asarray(rotations.from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1)))


def _write_columns(quaternion: Numbers) -> Numbers:
    matrix = np.asarray(rotations.to_matrix(quaternion))
    return np.concatenate([matrix[..., 0], matrix[..., 1]], axis=-1)


def _read_rows(values: Numbers) -> Numbers:
    return np.asarray(rotations.conjugate(_read_columns(values)))


def _write_rows(quaternion: Numbers) -> Numbers:
    return _write_columns(np.asarray(rotations.conjugate(quaternion)))


def _read_nothing(values: Numbers) -> Numbers:
    identity = np.zeros((*values.shape[:-1], 4))
    identity[..., 0] = 1.0
    return identity


FORMS: dict[str, RotationForm] = {
    "axis-angle": RotationForm(3, _read_axis_angle, _write_axis_angle),
    "euler xyz extrinsic": RotationForm(3, _read_euler, rotations.to_euler_xyz),
    "euler xyz intrinsic": RotationForm(3, _read_intrinsic, _write_intrinsic),
    "quaternion wxyz": RotationForm(4, lambda q: q, lambda q: q),
    "quaternion xyzw": RotationForm(
        4, lambda q: np.asarray(rotations.xyzw_to_wxyz(q)), lambda q: np.asarray(rotations.wxyz_to_xyzw(q))
    ),
    "6d columns": RotationForm(6, _read_columns, _write_columns),
    "6d rows": RotationForm(6, _read_rows, _write_rows),
    "none": RotationForm(0, _read_nothing, lambda q: q[..., :0]),
}
"""Name in a declaration -> form. Angles are radians; "extrinsic" xyz is R = Rz Ry Rx, "intrinsic" XYZ is R = Rx Ry Rz;
"6d columns" are the first two columns of R after one another, "6d rows" its first two rows."""

"""Batched rotations: functions of (..., k) arrays; quaternions are wxyz unless a name says xyzw."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from sim.packed import packed
from sim.state import Array


def wxyz_to_xyzw(quaternion: Array) -> Array:
    """Return wxyz quaternions (..., 4) in the order xyzw."""
    return array_namespace(quaternion).concat([quaternion[..., 1:], quaternion[..., :1]], axis=-1)


def xyzw_to_wxyz(quaternion: Array) -> Array:
    """Return xyzw quaternions (..., 4) in the order wxyz."""
    return array_namespace(quaternion).concat([quaternion[..., 3:], quaternion[..., :3]], axis=-1)


def canonical_sign(quaternion: Array) -> Array:
    """Return quaternions (..., 4) of either order with the sign that makes the largest component positive."""
    xp = array_namespace(quaternion)
    largest = xp.argmax(xp.abs(quaternion), axis=-1)
    index = xp.arange(4, device=device(quaternion))
    chosen = xp.sum(xp.where(largest[..., None] == index, quaternion, xp.zeros_like(quaternion)), axis=-1)
    one = xp.ones_like(chosen)
    return quaternion * xp.where(chosen < 0, -one, one)[..., None]


def multiply(a: Array, b: Array) -> Array:
    """Return the Hamilton product a b of wxyz quaternions (..., 4)."""
    xp = array_namespace(a, b)
    aw, ax, ay, az = (a[..., i] for i in range(4))
    bw, bx, by, bz = (b[..., i] for i in range(4))
    return xp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def conjugate(quaternion: Array) -> Array:
    """Return the inverse rotation of unit wxyz quaternions (..., 4)."""
    xp = array_namespace(quaternion)
    return xp.concat([quaternion[..., :1], -quaternion[..., 1:]], axis=-1)


def to_matrix(quaternion: Array) -> Array:
    """Return rotation matrices (..., 3, 3) of unit wxyz quaternions (..., 4)."""
    xp = array_namespace(quaternion)
    w, x, y, z = (quaternion[..., i] for i in range(4))
    rows = [
        xp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=-1),
        xp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=-1),
        xp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1),
    ]
    return xp.stack(rows, axis=-2)


def from_matrix(matrix: Array) -> Array:
    """Return wxyz quaternions (..., 4), largest component positive, of rotation matrices (..., 3, 3).

    All four of Shepperd's candidates are formed and the best conditioned one is kept (Shepperd 1978).
    """
    xp = array_namespace(matrix)
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    t = m[0][0] + m[1][1] + m[2][2]
    own = [1 + t, *(1 + (2 * m[i][i] - t) for i in range(3))]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[1][0] + m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2]
    candidates = [[own[0], wx, wy, wz], [wx, own[1], xy, xz], [wy, xy, own[2], yz], [wz, xz, yz, own[3]]]
    best = xp.argmax(xp.stack(own, axis=-1), axis=-1)[..., None]
    row = xp.stack(candidates[0], axis=-1)
    for i in range(1, 4):
        row = xp.where(best == i, xp.stack(candidates[i], axis=-1), row)
    return canonical_sign(row / xp.sqrt(xp.sum(row * row, axis=-1, keepdims=True)))


def from_axis_angle(vector: Array) -> Array:
    """Return wxyz quaternions (..., 4) of axis-angle vectors (..., 3), rad."""
    xp = array_namespace(vector)
    angle = xp.sqrt(xp.sum(vector * vector, axis=-1, keepdims=True))
    small = angle < 1e-8
    safe = xp.where(small, xp.ones_like(angle), angle)
    scale = xp.where(small, 0.5 * xp.ones_like(angle), xp.sin(angle / 2) / safe)
    return xp.concat([xp.cos(angle / 2), vector * scale], axis=-1)


def to_axis_angle(quaternion: Array) -> Array:
    """Return axis-angle vectors (..., 3), rad, of length at most pi, of unit wxyz quaternions (..., 4)."""
    xp = array_namespace(quaternion)
    one = xp.ones_like(quaternion[..., :1])
    sign = xp.where(quaternion[..., :1] < 0, -one, one)
    w, v = quaternion[..., :1] * sign, quaternion[..., 1:] * sign
    length = xp.sqrt(xp.sum(v * v, axis=-1, keepdims=True))
    small = length < 1e-8
    safe = xp.where(small, xp.ones_like(length), length)
    scale = xp.where(small, 2.0 * xp.ones_like(length), 2 * xp.atan2(length, w) / safe)
    return v * scale


def to_euler_xyz(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return extrinsic xyz Euler angles (..., 3), R = Rz Ry Rx, of unit quaternions (..., 4); pitch in +-pi/2."""
    m = to_matrix(quaternion)
    pitch = np.arcsin(np.clip(-m[..., 2, 0], -1.0, 1.0))
    roll = np.arctan2(packed(m[..., 2, 1]), packed(m[..., 2, 2]))
    yaw = np.arctan2(packed(m[..., 1, 0]), packed(m[..., 0, 0]))
    return np.stack([roll, pitch, yaw], axis=-1)


def rotate(quaternion: Array, vector: Array) -> Array:
    """Return vectors (..., 3) rotated by unit wxyz quaternions (..., 4)."""
    xp = array_namespace(quaternion, vector)
    w, u = quaternion[..., :1], quaternion[..., 1:]
    cross = _cross(u, vector)
    return vector + 2 * (w * cross + _cross(u, cross)) + xp.zeros_like(vector)


def _cross(a: Array, b: Array) -> Array:
    xp = array_namespace(a, b)
    x = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    y = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    z = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return xp.stack([x, y, z], axis=-1)

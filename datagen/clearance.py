"""How close the robot came to the table and to itself, from recorded poses alone: no simulator is asked again."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sim.conventions import OPENING_MAX, TCP_OFFSET
from sim.panda import FINGER_OFFSET, Frame, hand_frame, link_frames

Points = NDArray[np.float64]

_FINGERTIP = FINGER_OFFSET + 0.0538 - TCP_OFFSET
"""End of the pads along z of the TCP, m."""

_FINGER_END = FINGER_OFFSET + 0.044 - TCP_OFFSET
"""End of the fingers behind the pads along z of the TCP, m."""

_CORNERS = (
    # x, distance of y beyond half the opening, z: pads, then fingers, in the TCP frame, m.
    (0.009, 0.0, _FINGERTIP),
    (0.009, 0.008, _FINGERTIP),
    (0.009, 0.023, _FINGER_END),
)
_PALM = ((0.03, 0.1, 0.066 - TCP_OFFSET), (0.03, 0.1, -TCP_OFFSET))
"""Half extents of the palm and the two ends of its box along z of the TCP, m."""

# The arm as capsules: link (8 is the hand), centre in its frame, axis, half length, radius; m. Source: franka_ros,
# franka_description/robots/common/franka_arm.xacro and franka_hand.xacro, self_collision_geometries.
_CAPSULES: tuple[tuple[int, tuple[float, float, float], str, float, float], ...] = (
    (0, (-0.075, 0.0, 0.06), "x", 0.015, 0.06),
    (1, (0.0, 0.0, -0.1915), "z", 0.1415, 0.06),
    (2, (0.0, 0.0, 0.0), "z", 0.06, 0.06),
    (3, (0.0, 0.0, -0.145), "z", 0.075, 0.06),
    (4, (0.0, 0.0, 0.0), "z", 0.06, 0.06),
    (5, (0.0, 0.0, -0.26), "z", 0.05, 0.06),
    (5, (0.0, 0.08, -0.13), "z", 0.07, 0.025),
    (6, (0.0, 0.0, -0.03), "z", 0.04, 0.05),
    (7, (0.0, 0.0, 0.01), "z", 0.07, 0.04),
    (8, (0.0, 0.0, 0.04), "y", 0.05, 0.04),
    (8, (0.0, 0.0, 0.10), "y", 0.05, 0.02),
)

_MEET = {(0, 5), (0, 6), (0, 7), (0, 8), (1, 5), (1, 6), (1, 7), (1, 8), (2, 5), (2, 6), (2, 7), (2, 8), (3, 8), (5, 8)}
"""Pairs of links that the joint limits let meet."""

_PAIRS = tuple((i, j) for i, j in combinations(range(len(_CAPSULES)), 2) if (_CAPSULES[i][0], _CAPSULES[j][0]) in _MEET)


def table_clearance(states: NDArray[np.float32], table: Points) -> float:
    """Return the lowest height of hand and fingers above the table top, m; negative where they pressed into it.

    `states` (T, 8) are canonical states; `table` (T,) is the height of the table top, m, base frame.
    """
    x, y, z, w = states[:, 3:7].astype(np.float64).T
    down = np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1)
    half = states[:, 7].astype(np.float64) * OPENING_MAX / 2
    corners = [(cx, half + cy, cz) for cx, cy, cz in _CORNERS] + [(cx, half * 0 + cy, cz) for cx, cy, cz in _PALM]
    lowest = [down[:, 2] * cz - np.abs(down[:, 0]) * cx - np.abs(down[:, 1]) * cy for cx, cy, cz in corners]
    return float(np.min(states[:, 2] + np.min(lowest, axis=0) - table))


def self_clearance(joints: Points) -> float:
    """Return the smallest distance between parts of the arm that may meet, m, for joints (T, 7), rad; below 0 they met.

    The parts are capsules that enclose the links with room to spare.
    """
    starts, ends = _segments(joints)
    first, second = (np.array([pair[k] for pair in _PAIRS]) for k in (0, 1))
    radii = np.array([capsule[4] for capsule in _CAPSULES])
    distance = segment_distance(starts[first], ends[first], starts[second], ends[second])
    return float(np.min(distance - (radii[first] + radii[second])[:, None]))


def _segments(joints: Points) -> tuple[Points, Points]:
    """Return both ends of every capsule's axis, (capsules, T, 3), base frame."""
    moving = link_frames(joints)
    zero = np.zeros((len(joints), 3))
    unit = [zero + np.eye(3)[k] for k in range(3)]
    frames = [Frame(zero, *unit), *moving, hand_frame(moving[-1])]
    starts, ends = [], []
    for link, center, axis, half, _ in _CAPSULES:
        frame = frames[link]
        middle = frame.origin + center[0] * frame.x + center[1] * frame.y + center[2] * frame.z
        along = half * getattr(frame, axis)
        starts.append(middle - along)
        ends.append(middle + along)
    return np.array(starts), np.array(ends)


def segment_distance(a: Points, b: Points, c: Points, d: Points) -> Points:
    """Return the distances (...) between segments from `a` to `b` and from `c` to `d`, each (..., 3), none a point.

    Source: C. Ericson, Real-Time Collision Detection, 2005, section 5.1.9.
    """
    u, v, r = b - a, d - c, a - c
    uu, vv, uv = _dot(u, u), _dot(v, v), _dot(u, v)
    ur, vr = _dot(u, r), _dot(v, r)
    crossing = uu * vv - uv * uv
    s = np.where(crossing > 1e-12, (uv * vr - ur * vv) / np.maximum(crossing, 1e-12), 0.0)
    t = (uv * np.clip(s, 0.0, 1.0) + vr) / vv
    t = np.clip(t, 0.0, 1.0)
    s = np.clip((uv * t - ur) / uu, 0.0, 1.0)
    gap = r + s[..., None] * u - t[..., None] * v
    return np.sqrt(_dot(gap, gap))


def _dot(a: Points, b: Points) -> Points:
    return np.asarray(np.sum(a * b, axis=-1))

"""The Franka Emika Panda: kinematic constants, batched forward kinematics and Jacobian.

Constants: franka_description (joint frames, limits); masses are round figures close to Gaz et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from sim.conventions import TCP_OFFSET
from sim.packed import packed
from sim.state import Array

ARM, FINGERS = 7, 2
"""Joints of the arm and of the hand. They come first, in this order, wherever positions of a whole scene are listed."""


@dataclass(frozen=True)
class Link:
    """One arm link: its frame in the parent's, its joint about its own z, and its mass."""

    name: str
    # Position of the frame in the parent's frame, m.
    position: tuple[float, float, float]
    # Rotation of the frame about the parent's x, rad: 0 or +-pi/2.
    tilt: float
    # Joint limits, rad.
    low: float
    high: float
    # Mass, kg, and centre of mass, m, link frame.
    mass: float
    center: tuple[float, float, float]
    # Largest torque, N m.
    torque: float


RIGHT = np.pi / 2
LINKS: tuple[Link, ...] = (
    Link("link1", (0.0, 0.0, 0.333), 0.0, -2.8973, 2.8973, 3.0, (0.0, -0.03, -0.07), 87.0),
    Link("link2", (0.0, 0.0, 0.0), -RIGHT, -1.7628, 1.7628, 3.0, (0.0, -0.07, 0.03), 87.0),
    Link("link3", (0.0, -0.316, 0.0), RIGHT, -2.8973, 2.8973, 2.5, (0.04, 0.03, -0.06), 87.0),
    Link("link4", (0.0825, 0.0, 0.0), RIGHT, -3.0718, -0.0698, 2.5, (-0.04, 0.04, 0.03), 87.0),
    Link("link5", (-0.0825, 0.384, 0.0), -RIGHT, -2.8973, 2.8973, 2.5, (0.0, 0.04, -0.11), 12.0),
    Link("link6", (0.0, 0.0, 0.0), RIGHT, -0.0175, 3.7525, 1.5, (0.05, 0.0, -0.01), 12.0),
    Link("link7", (0.088, 0.0, 0.0), RIGHT, -2.8973, 2.8973, 0.7, (0.0, 0.0, 0.07), 12.0),
)

LOW = np.array([link.low for link in LINKS])
HIGH = np.array([link.high for link in LINKS])

HAND_OFFSET = 0.107
"""Hand frame along z of link7, m; it is turned by -45 degrees about that z."""

HAND_TURN = -np.pi / 4

FINGER_OFFSET = 0.0584
"""Finger frames along z of the hand, m."""


@dataclass(frozen=True)
class Kinematics:
    """Forward kinematics of n arms in the base frame."""

    # TCP position (n, 3), m.
    position: Array
    # TCP rotation matrix (n, 3, 3); columns are the TCP's axes.
    rotation: Array
    # Geometric Jacobian (n, 6, 7): linear rows first, base frame, at the TCP.
    jacobian: Array


@dataclass(frozen=True)
class Frame:
    """The frame of one link of n arms, base frame: origin and axes, each (n, 3)."""

    origin: Array
    x: Array
    y: Array
    z: Array


def link_frames(q: Array) -> list[Frame]:
    """Return the frames of the seven links, each turned by its own joint, for joint positions (n, 7), rad."""
    xp = array_namespace(q)
    zero, one = xp.zeros_like(q[:, 0]), xp.ones_like(q[:, 0])
    x, y, z = (xp.stack([one if i == k else zero for i in range(3)], axis=-1) for k in range(3))
    origin = xp.stack([zero, zero, zero], axis=-1)
    frames = []
    for i, link in enumerate(LINKS):
        px, py, pz = link.position
        origin = origin + px * x + py * y + pz * z
        if link.tilt > 0:
            y, z = z, -y
        elif link.tilt < 0:
            y, z = -z, y
        angle = packed(q[:, i])
        c, s = xp.cos(angle)[:, None], xp.sin(angle)[:, None]
        x, y = c * x + s * y, c * y - s * x
        frames.append(Frame(origin, x, y, z))
    return frames


def hand_frame(last: Frame) -> Frame:
    """Return the frame of the hand from that of the last link."""
    c, s = float(np.cos(HAND_TURN)), float(np.sin(HAND_TURN))
    x, y = c * last.x + s * last.y, c * last.y - s * last.x
    return Frame(last.origin + HAND_OFFSET * last.z, x, y, last.z)


def forward(q: Array) -> Kinematics:
    """Return TCP pose and Jacobian for joint positions (n, 7), rad.

    Every operation is element by element over the n arms, so a row does not depend on how many others there are.
    """
    xp = array_namespace(q)
    frames = link_frames(q)
    hand, z = hand_frame(frames[-1]), frames[-1].z
    tcp = frames[-1].origin + (HAND_OFFSET + TCP_OFFSET) * z
    columns = [xp.concat([_cross(xp, f.z, tcp - f.origin), f.z], axis=-1) for f in frames]
    return Kinematics(tcp, xp.stack([hand.x, hand.y, z], axis=-1), xp.stack(columns, axis=-1))


def _cross(xp: Array, a: Array, b: Array) -> Array:
    return xp.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        axis=-1,
    )

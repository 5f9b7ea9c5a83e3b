"""Cameras of hosts: look-at views in the base frame, how `camera.*` changes one, and the camera on the hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.hosts.changes import Turned
from sim.appearance import WRIST_FOVY, WRIST_POSITION
from sim.conventions import TCP_OFFSET
from sim.errors import UserError
from sim.looks import look_at, seen_at
from sim.rotations import from_matrix, to_matrix
from sim.scene import Value

Vector = NDArray[np.float64]

NOMINAL: dict[str, Value] = {
    "camera.offset": (0.0, 0.0, 0.0),
    "camera.target_offset": (0.0, 0.0, 0.0),
    "camera.roll": 0.0,
    "camera.fovy": 1.0,
}
"""Paths and nominal values: displacements of eye and target in m, rotation about the viewing axis, factor on fovy."""

KNOBS = frozenset(NOMINAL)


@dataclass(frozen=True)
class Pinhole:
    """A camera at `eye` (3,), m, base frame, with the vertical field of view `fovy`, degrees.

    The columns of `rotation` (3, 3) are right, up and backward.
    """

    eye: Vector
    rotation: Vector
    fovy: float

    def quaternion(self) -> Vector:
        """Return `rotation` as a quaternion (4,), wxyz: the frame of OpenGL and MuJoCo."""
        return np.asarray(from_matrix(self.rotation))

    def forward_left_up(self) -> Vector:
        """Return the rotation (4,), wxyz, whose axes are forward, left and up: the frame of SAPIEN."""
        right, up, back = self.rotation.T
        return np.asarray(from_matrix(np.stack([-back, -right, up], axis=-1)))

    def project(self, points: Vector) -> Vector:
        """Return where points (k, 3), m, base frame, lie in the frame, (k, 2).

        x to the right and y down, as shares of the frame, which covers 0 to 1; what lies behind the camera is NaN.
        """
        return seen_at(points, eye=self.eye, rotation=self.rotation, fovy=self.fovy)


@dataclass(frozen=True)
class View:
    """A camera at `eye` that looks at `target`, m, base frame; `fovy` in degrees, `roll` in rad."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy: float
    roll: float = 0.0

    def pinhole(self) -> Pinhole:
        """Return the camera that has this view."""
        eye = np.array(self.eye)
        return Pinhole(eye, look_at(eye, np.array(self.target), roll=self.roll), self.fovy)


def wrist_camera(tcp: Vector) -> Pinhole:
    """Return the camera of `wrist_image` of a hand whose TCP has the pose (7,), base frame.

    It is where our own pictures have it (`sim.appearance`), whatever the host calls its hand: the hand frame is the
    TCP's, 0.1034 m back along z.
    """
    axes = to_matrix(tcp[3:])
    x, y, z = axes.T
    eye = tcp[:3] + axes @ (np.array(WRIST_POSITION) - [0.0, 0.0, TCP_OFFSET])
    return Pinhole(eye, np.stack([y, x, -z], axis=-1), WRIST_FOVY)


def changed_view(view: View, turned: Turned) -> View:
    """Return the view after the changes of `camera.*`."""
    changes = turned.changes
    values = {p: np.asarray(turned.value(p, nominal) if p in changes else nominal) for p, nominal in NOMINAL.items()}
    fovy = view.fovy * float(values["camera.fovy"])
    if not 1.0 <= fovy <= 170.0:
        raise UserError(f"camera.fovy makes the vertical field of view {fovy:.1f} degrees; it must be 1 to 170.")
    x, y, z = (np.array(view.eye) + values["camera.offset"]).tolist()
    tx, ty, tz = (np.array(view.target) + values["camera.target_offset"]).tolist()
    return View((x, y, z), (tx, ty, tz), fovy, view.roll + float(values["camera.roll"]))

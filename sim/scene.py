"""A scene as data: what stands where before anything is randomized. Engines build it; tasks declare it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError, unknown
from sim.fixtures import SHAPES, Fixture, Shape, Vec

Value = float | str | Vec
"""The value of one scene parameter: a number, a vector or a name."""

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.08, 0.08),
    "green": (0.1, 0.6, 0.15),
    "blue": (0.1, 0.2, 0.8),
    "yellow": (0.9, 0.8, 0.1),
    "orange": (0.95, 0.45, 0.05),
    "purple": (0.5, 0.15, 0.65),
}
"""Colours that sentences can name, RGB in [0, 1]."""


@dataclass(frozen=True)
class Object:
    """A rigid object that lies free on the table: a slot, whose shape, size, colour and place a draw may change."""

    # Name, used in paths ("cube.mass") and in State.
    name: str
    # Shape of body and collision.
    shape: Shape
    # Half extents, m. A cylinder: radius, radius, half height. A sphere: radius three times.
    half_size: Vec
    # Position of the centre on the table plane (x, y), m, base frame.
    position: Vec
    # Mass, kg.
    mass: float
    # Sliding friction coefficient, 1.
    friction: float = 1.0
    # Rotation about z, rad.
    yaw: float = 0.0
    # Colour: a name of PALETTE, or RGB in [0, 1]. It is multiplied by the parameter "shade".
    color: str | Vec = "red"
    # Below 0.5 the episode does without it: it is parked out of sight, touches nothing and is not drawn.
    present: float = 1.0
    # Shapes that a draw may give it; engines that must build each beforehand build no others.
    shapes: tuple[Shape, ...] = SHAPES


@dataclass(frozen=True)
class Camera:
    """A camera that looks from `position` to `target`: x and y in the base frame, z above the table top, m.

    `fovy` is the vertical field of view, degrees.
    """

    position: Vec
    target: Vec
    fovy: float


@dataclass(frozen=True)
class Scene:
    """A Panda at the origin of the base frame, a table in front of it, and objects on the table."""

    # Objects on the table, each with its own name.
    objects: tuple[Object, ...]
    # Third-person views by name; the knob "camera.view" picks one.
    cameras: tuple[tuple[str, Camera], ...]
    # Joint angles at the start of an episode, rad.
    home: Vec = (0.0, 0.2945, 0.0, -2.2907, 0.0, 2.5852, 0.7854)
    # Height of the table top above the base plane, m.
    table_height: float = -0.05
    # Physics steps of `timestep` seconds in one control step: timestep * substeps = 1 / rate.
    timestep: float = 0.005
    substeps: int = 10
    # Collision shape of the table top: a "box" with edges, or a "plane", which round objects touch at less cost.
    table_shape: Literal["box", "plane"] = "box"
    # What stands on the table and stays, each with a name that no object has.
    fixtures: tuple[Fixture, ...] = ()

    def nominal(self) -> dict[str, Value]:
        """Return every randomizable parameter by path, at its nominal value. Laws apply to these, never to a draw."""
        values: dict[str, Value] = {
            "robot.q": self.home,
            "robot.response": 1.0,
            "robot.damping": 1.0,
            # Factor on the arm servos' stiffness; passive damping of the arm's joints, N m s / rad.
            "robot.stiffness": 1.0,
            "robot.joint_damping": 0.0,
            "gripper.friction": 1.5,
            # How far the gripper is open when an episode begins, 0 to 1.
            "gripper.opening": 1.0,
            # How much of their way the fingers' set point moves in one control step at most; 1: all of it.
            "gripper.speed": 1.0,
            # Factors on time constant and damping ratio of all contacts: above 1 softer, below 1 bouncier.
            "contact.softness": 1.0,
            "contact.damping": 1.0,
            # Control steps by which actions come late, a whole number.
            "action.latency": 0.0,
            "action.noise": 0.0,
            "observation.noise": 0.0,
            "table.height": self.table_height,
            # Sliding friction of the table top; between two surfaces the larger coefficient counts.
            "table.friction": 0.3,
            "table.color": (0.6, 0.5, 0.4),
            "table.texture": "plain",
            # Edge of the table top behind the robot (x) and half its width, m.
            "table.extent": (0.15, 0.6),
            "floor.color": (0.45, 0.45, 0.45),
            "floor.texture": "plain",
            "background.color": (0.6, 0.65, 0.7),
            # Distance of the wall behind the robot's base, m.
            "background.distance": 1.5,
            "mount.color": (0.15, 0.15, 0.16),
            # A tint that multiplies the robot's own colours.
            "robot.color": (1.0, 1.0, 1.0),
            "light.direction": (-0.3, 0.2, -1.0),
            "light.diffuse": (0.7, 0.7, 0.7),
            "light.ambient": (0.35, 0.35, 0.35),
            # Above 0.5, the light casts shadows.
            "light.shadows": 0.0,
            # Number of lights, 1 to 3. The second and third have directions, colours and strengths of their own.
            "light.count": 1.0,
            "light.direction2": (0.5, -0.6, -1.0),
            "light.diffuse2": (0.25, 0.25, 0.25),
            "light.direction3": (0.3, 0.8, -0.7),
            "light.diffuse3": (0.2, 0.2, 0.2),
            "camera.view": self.cameras[0][0],
            # Added to the view's position and target, m; rotation about the viewing axis, rad; factor on its fovy.
            "camera.offset": (0.0, 0.0, 0.0),
            "camera.target_offset": (0.0, 0.0, 0.0),
            "camera.roll": 0.0,
            "camera.fovy": 1.0,
            # Factor on brightness; standard deviation of the noise, of 255 grey levels, and of the blur, pixels.
            "image.exposure": 1.0,
            "image.noise": 0.0,
            "image.blur": 0.0,
            # Quality of a JPEG compression, 1 to 100, through which the camera sends its frame; 0: none.
            "image.jpeg": 0.0,
        }
        for item in self.objects:
            values |= {
                f"{item.name}.position": item.position,
                f"{item.name}.yaw": item.yaw,
                f"{item.name}.half_size": item.half_size,
                f"{item.name}.mass": item.mass,
                f"{item.name}.friction": item.friction,
                f"{item.name}.color": item.color,
                f"{item.name}.shade": (1.0, 1.0, 1.0),
                f"{item.name}.shape": item.shape,
                f"{item.name}.present": item.present,
            }
        for fixture in self.fixtures:
            values |= fixture.nominal()
        return values


def rgb(color: Value, shade: Value = (1.0, 1.0, 1.0)) -> tuple[float, ...]:
    """Return a colour's RGB in [0, 1], component by component times `shade`, clipped."""
    if isinstance(color, str):
        if color not in PALETTE:
            raise unknown("colour", color, PALETTE)
        color = PALETTE[color]
    assert isinstance(color, tuple | list)
    assert isinstance(shade, tuple | list)
    return tuple(min(max(c * s, 0.0), 1.0) for c, s in zip(color, shade, strict=True))


def light_direction(path: str, vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction (3,) of a light at length 1; one without a direction is refused by its `path`."""
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        raise UserError(f"{path} is (0, 0, 0): a light needs a direction, for example (-0.3, 0.2, -1).")
    return vector / length

"""Fixtures as data: compounds of simple shapes that stand on the table, some with a part that turns or slides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sim.errors import UserError

Vec = tuple[float, ...]
Shape = Literal["box", "cylinder", "sphere"]

PARKED: Vec = (-5.0, -5.0, -5.0)
"""Where fixtures stand that an episode does without, m, base frame: under the floor, out of every reach."""

SHAPES: tuple[Shape, ...] = ("box", "cylinder", "sphere")
"""Shapes of objects and parts. `State.shapes` gives them as indices into this tuple."""


@dataclass(frozen=True)
class Part:
    """One rigid shape of a fixture."""

    # Name, unique in the fixture.
    name: str
    # Half extents, m. A cylinder: radius, radius, half height, its axis along z.
    half_size: Vec
    # Centre in the fixture's frame, m: origin on the table top, z up.
    position: Vec
    shape: Shape = "box"
    # It belongs to the moving part of an articulated fixture.
    moves: bool = False
    # RGB of its own; None takes the fixture's colour.
    color: Vec | None = None
    # How far half extents and position go with the fixture's `size`, component by component, m per m.
    grows: Vec = (0.0, 0.0, 0.0)
    shifts: Vec = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Articulation:
    """How the moving parts of a fixture move against the others. They start closed, at position 0."""

    kind: Literal["hinge", "slide"]
    # Direction and a point of the axis in the fixture's frame, m.
    axis: Vec
    position: Vec
    # Lowest and highest position, rad or m.
    limits: Vec
    # Mass of the moving parts, kg.
    mass: float
    # Viscous resistance, N m s / rad or N s / m, and dry friction, N m or N.
    damping: float
    resistance: float


@dataclass(frozen=True)
class Fixture:
    """Something that stands on the table and stays: a bin, a region to reach, a cabinet with a door."""

    # Name, used in paths ("bin.position") and in State.
    name: str
    parts: tuple[Part, ...]
    # Position on the table plane (x, y), m, base frame, and rotation about z, rad.
    position: Vec
    yaw: float = 0.0
    # Colour: a name of PALETTE, or RGB in [0, 1]. It is multiplied by the parameter "shade".
    color: str | Vec = (0.55, 0.55, 0.6)
    # False: it is drawn and touches nothing.
    solid: bool = True
    joint: Articulation | None = None
    # Half extents of what it holds (x, y, z), m, which episodes may draw; None: its parts are as they are.
    size: Vec | None = None
    # Below 0.5 the episode does without it: it stands at PARKED.
    present: float = 1.0

    def nominal(self) -> dict[str, float | str | Vec]:
        """Return its randomizable parameters by path, at their nominal values."""
        values: dict[str, float | str | Vec] = {
            f"{self.name}.position": self.position,
            f"{self.name}.yaw": self.yaw,
            f"{self.name}.color": self.color,
            f"{self.name}.shade": (1.0, 1.0, 1.0),
            f"{self.name}.present": self.present,
        }
        if self.size is not None:
            values[f"{self.name}.size"] = self.size
        if self.joint is not None:
            values |= {
                f"{self.name}.damping": self.joint.damping,
                f"{self.name}.resistance": self.joint.resistance,
            }
        return values


def mirrored(fixture: Fixture, name: str) -> Fixture:
    """Return the mirror image of a fixture in the plane y = 0 of its frame: left and right are exchanged."""
    parts = tuple(
        replace(part, position=_flipped(part.position), shifts=_flipped(part.shifts)) for part in fixture.parts
    )
    joint = fixture.joint
    if joint is not None:
        # An axis of rotation points the other way round in a mirror; one of sliding does not.
        sign = -1.0 if joint.kind == "hinge" else 1.0
        axis = tuple(sign * component for component in _flipped(joint.axis))
        joint = replace(joint, axis=axis, position=_flipped(joint.position))
    return replace(fixture, name=name, parts=parts, joint=joint)


def _flipped(vector: Vec) -> Vec:
    x, y, z = vector
    return (x, -y, z)


def region(name: str, *, radius: float, position: Vec, color: str | Vec) -> Fixture:
    """Return a flat round region on the table that is drawn and touches nothing: a ring and a dot, radius in m."""
    white = (0.95, 0.95, 0.95)
    parts = (
        Part("rim", (radius, radius, 0.0006), (0.0, 0.0, 0.0006), shape="cylinder"),
        Part("field", (0.8 * radius, 0.8 * radius, 0.0008), (0.0, 0.0, 0.0008), shape="cylinder", color=white),
        Part("dot", (0.3 * radius, 0.3 * radius, 0.001), (0.0, 0.0, 0.001), shape="cylinder"),
    )
    return Fixture(name, parts, position, color=color, solid=False)


def open_box(name: str, *, inside: Vec, height: float, wall: float, position: Vec, color: str | Vec) -> Fixture:
    """Return a bin: a floor and four walls. `inside` (x, y) are half extents; `height` of the walls and `wall`, m.

    Its size are the half extents of the inside and half the height.
    """
    x, y = inside
    half, side = wall / 2, height / 2
    parts = (
        Part("floor", (x + wall, y + wall, half), (0.0, 0.0, half), grows=(1.0, 1.0, 0.0)),
        Part("front", (half, y + wall, side), (x + half, 0.0, side), grows=(0.0, 1.0, 1.0), shifts=(1.0, 0.0, 1.0)),
        Part("back", (half, y + wall, side), (-x - half, 0.0, side), grows=(0.0, 1.0, 1.0), shifts=(-1.0, 0.0, 1.0)),
        Part("left", (x, half, side), (0.0, y + half, side), grows=(1.0, 0.0, 1.0), shifts=(0.0, 1.0, 1.0)),
        Part("right", (x, half, side), (0.0, -y - half, side), grows=(1.0, 0.0, 1.0), shifts=(0.0, -1.0, 1.0)),
    )
    return Fixture(name, parts, position, color=color, size=(x, y, side))


def sized_parts(fixture: Fixture, size: Sequence[float]) -> tuple[Part, ...]:
    """Return the parts of a fixture that has a size, as they are where it is `size` (3,), m."""
    assert fixture.size is not None
    if len(size) != 3 or not all(math.isfinite(x) and x > 0 for x in size):
        raise UserError(f"{fixture.name}.size = {size!r} is not allowed: it must be three lengths above 0, m.")
    more = [new - old for new, old in zip(size, fixture.size, strict=True)]

    def moved(start: Vec, share: Vec) -> Vec:
        return tuple(x + k * d for x, k, d in zip(start, share, more, strict=True))

    return tuple(
        replace(part, half_size=moved(part.half_size, part.grows), position=moved(part.position, part.shifts))
        for part in fixture.parts
    )


def is_present(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether the episode has a fixture, under absolute values."""
    return float(values[f"{name}.present"]) > 0.5


def fixture_pose(name: str, values: Mapping[str, Any]) -> tuple[float, ...]:
    """Return position (m, base frame) and quaternion (wxyz) of a fixture under absolute values."""
    x, y = values[f"{name}.position"]
    z = values["table.height"]
    if not is_present(name, values):
        x, y, z = PARKED
    half = float(values[f"{name}.yaw"]) / 2
    return (float(x), float(y), float(z), math.cos(half), 0.0, 0.0, math.sin(half))

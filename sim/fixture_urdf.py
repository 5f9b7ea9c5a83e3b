"""Fixtures as URDF: a link per rigid group of parts, and below doors and drawers a carriage that places them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from sim.fixtures import Fixture, Part

BASE, MOVING = "base", "moving"
"""Links of the parts that stand and of those that move; parts with colours of their own get links behind these."""

CARRIAGE = ("x", "y", "z", "yaw")
"""Joints between the world and a fixture with a joint of its own, by what they set: m and rad, base frame."""

ARMATURE = 0.001
"""Added inertia of a fixture's own joint, kg m^2 or kg, as in the MuJoCo model."""

CARRIAGE_RANGE, CARRIAGE_TURN = 10.0, 3.15
"""Travel of the carriage either way, m, and its turn, rad: PhysX takes no hinge of more than a full one."""

STANDING_DENSITY = 1000.0
"""Density of parts that stand still, kg / m^3: it has no effect, but a link without mass is refused."""

CARRIER_MASS = 1.0
"""Mass and moments of inertia of the carriage's own links, kg and kg m^2: they only stand still."""


@dataclass(frozen=True)
class Group:
    """Parts of one fixture that are one link: they move together and share a colour."""

    # Name of the link, unique in the fixture.
    link: str
    parts: tuple[Part, ...]
    # Link that it is fixed to; "" for the first group of the standing or of the moving parts.
    parent: str


def groups(fixture: Fixture) -> tuple[Group, ...]:
    """Return the links of a fixture: standing before moving parts, the fixture's own colour before others."""
    found: list[Group] = []
    for moves in (False, True):
        first = MOVING if moves else BASE
        chosen = [part for part in fixture.parts if part.moves == moves]
        colors = sorted({part.color for part in chosen}, key=lambda color: (color is not None, color or ()))
        for k, color in enumerate(colors):
            parts = tuple(part for part in chosen if part.color == color)
            found.append(Group(first if k == 0 else f"{first}_{k}", parts, first if k else ""))
    return tuple(found)


@dataclass(frozen=True)
class Actor:
    """One thing that an engine places: a whole fixture with a joint, or one group of a fixture that stands still."""

    # Name, unique in the scene.
    name: str
    fixture: Fixture
    groups: tuple[Group, ...]


def actors(fixture: Fixture) -> tuple[Actor, ...]:
    """Return what a fixture is placed as: all in one where it has a joint, else a body for each colour.

    Fixed bodies without joints can be moved by their root states; nobody has shown that for those with links.
    """
    found = groups(fixture)
    if fixture.joint is not None:
        return (Actor(fixture.name, fixture, found),)
    return tuple(Actor(f"{fixture.name}.{group.link}", fixture, (group,)) for group in found)


def fixture_urdf(actor: Actor) -> str:
    """Return the URDF text. Its frame is the fixture's: origin on the table top, z up.

    A fixture with a joint hangs on a carriage of four joints from the world's origin, named after CARRIAGE, so that
    each world can have it elsewhere; its own joint is named "joint".
    """
    joint = actor.fixture.joint
    lines = ['<?xml version="1.0"?>', f'<robot name="{actor.name}">']
    if joint is not None:
        lines += _carriage()
    for group in actor.groups:
        lines += _link(actor.fixture, group)
        if group.parent and joint is not None:
            lines += _joint(f"{group.link}_mount", "fixed", group.parent, group.link)
    if joint is not None:
        kind = {"hinge": "revolute", "slide": "prismatic"}[joint.kind]
        lines += _joint("joint", kind, BASE, MOVING, xyz=joint.position, axis=joint.axis, limits=joint.limits)
    return "\n".join([*lines, "</robot>"]) + "\n"


def _carriage() -> Iterator[str]:
    """Yield the links and joints from the world's origin to the fixture's base."""
    axes = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0), "yaw": (0.0, 0.0, 1.0)}
    links = ["ground", *(f"carrier_{name}" for name in CARRIAGE[:-1]), BASE]
    for name in links[:-1]:
        yield f'  <link name="{name}">'
        yield _inertial(CARRIER_MASS, np.zeros(3), CARRIER_MASS * np.eye(3))
        yield "  </link>"
    for name, (parent, child) in zip(CARRIAGE, pairwise(links), strict=True):
        kind, far = ("revolute", CARRIAGE_TURN) if name == "yaw" else ("prismatic", CARRIAGE_RANGE)
        yield from _joint(name, kind, parent, child, axis=axes[name], limits=(-far, far))


def _link(fixture: Fixture, group: Group) -> Iterator[str]:
    """Yield a link with its shapes; those of moving parts lie where the joint's point is the origin."""
    yield f'  <link name="{group.link}">'
    yield _inertial(*inertial(fixture, group))
    for part in group.parts:
        shape = f'<origin xyz="{_numbers(part_center(fixture, part))}"/><geometry>{_geometry(part)}</geometry>'
        yield f"    <visual>{shape}</visual>"
        if fixture.solid:
            yield f"    <collision>{shape}</collision>"
    yield "  </link>"


def part_center(fixture: Fixture, part: Part) -> NDArray[np.float64]:
    """Return a part's centre in its link's frame, m."""
    center = np.asarray(part.position, dtype=np.float64)
    if part.moves and fixture.joint is not None:
        center = center - np.asarray(fixture.joint.position, dtype=np.float64)
    return center


def part_mass(fixture: Fixture, part: Part) -> float:
    """Return a part's mass, kg: of moving parts their share by bounding volume, as in the MuJoCo model."""
    volume = prod(part.half_size)
    if fixture.joint is None or not part.moves:
        return STANDING_DENSITY * 8 * volume
    return fixture.joint.mass * volume / sum(prod(other.half_size) for other in fixture.parts if other.moves)


def inertial(fixture: Fixture, group: Group) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return mass, centre of mass (3,) in the link's frame and inertia (3, 3) about it of a group of solid parts."""
    masses = np.array([part_mass(fixture, part) for part in group.parts])
    centers = np.array([part_center(fixture, part) for part in group.parts])
    center = masses @ centers / masses.sum()
    total = np.zeros((3, 3))
    for part, mass, place in zip(group.parts, masses, centers, strict=True):
        away = place - center
        total += np.diag(_moments(part, mass)) + mass * (away @ away * np.eye(3) - np.outer(away, away))
    return float(masses.sum()), center, total


def joint_inertia(fixture: Fixture) -> float:
    """Return what resists an acceleration of the fixture's joint: kg m^2 about a hinge's axis, kg along a slide's."""
    joint = fixture.joint
    assert joint is not None
    if joint.kind == "slide":
        return joint.mass + ARMATURE
    axis, total = np.asarray(joint.axis) / np.linalg.norm(joint.axis), ARMATURE
    for group in groups(fixture):
        if group.link.startswith(MOVING):
            mass, center, moments = inertial(fixture, group)
            arm = np.cross(axis, center)
            total += float(axis @ moments @ axis + mass * (arm @ arm))
    return total


def _moments(part: Part, mass: float) -> tuple[float, float, float]:
    """Return the principal moments of inertia of a solid part, kg m^2."""
    x, y, z = part.half_size
    if part.shape == "sphere":
        return (0.4 * mass * x * x,) * 3
    if part.shape == "cylinder":
        side = mass * (3 * x * x + 4 * z * z) / 12
        return side, side, mass * x * x / 2
    third = mass / 3
    return third * (y * y + z * z), third * (x * x + z * z), third * (x * x + y * y)


def _geometry(part: Part) -> str:
    x, _, z = part.half_size
    if part.shape == "sphere":
        return f'<sphere radius="{x:.9g}"/>'
    if part.shape == "cylinder":
        return f'<cylinder radius="{x:.9g}" length="{2 * z:.9g}"/>'
    return f'<box size="{_numbers([2 * half for half in part.half_size])}"/>'


def _inertial(mass: float, center: NDArray[np.float64], inertia: NDArray[np.float64]) -> str:
    names = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    numbers = inertia[np.triu_indices(3)]
    moments = " ".join(f'{name}="{number:.9g}"' for name, number in zip(names, numbers, strict=True))
    return f'    <inertial><origin xyz="{_numbers(center)}"/><mass value="{mass:.9g}"/><inertia {moments}/></inertial>'


def _joint(
    name: str,
    kind: str,
    parent: str,
    child: str,
    *,
    xyz: Sequence[float] = (0.0, 0.0, 0.0),
    axis: Sequence[float] | None = None,
    limits: Sequence[float] | None = None,
) -> Iterator[str]:
    yield f'  <joint name="{name}" type="{kind}">'
    yield f'    <origin xyz="{_numbers(xyz)}"/><parent link="{parent}"/><child link="{child}"/>'
    if axis is not None and limits is not None:
        yield f'    <axis xyz="{_numbers(axis)}"/>'
        yield f'    <limit lower="{limits[0]:.9g}" upper="{limits[1]:.9g}" effort="100000" velocity="50"/>'
    yield "  </joint>"


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{float(value):.9g}" for value in values)

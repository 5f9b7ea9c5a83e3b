"""Fixtures in a MuJoCo model: their bodies, shapes and joints, and where each world has them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mujoco

from sim.contacts import GEOM_TYPES, HAND, OBJECT, SOLIMP, SOLREF, TABLE, size_triple
from sim.engine import Values
from sim.fixtures import Fixture, Part, fixture_pose, is_present, sized_parts
from sim.scene import Scene

MOVING = "_moving"
"""What the name of a fixture's moving body ends with, after the fixture's own."""


def add_fixture(world: mujoco.MjsBody, fixture: Fixture, *, table: float) -> None:
    """Add a fixture that stands on the table top at the height `table`, m; a joint's position follows all others."""
    half = fixture.yaw / 2
    body = world.add_body(
        name=fixture.name, pos=[*fixture.position, table], quat=[math.cos(half), 0, 0, math.sin(half)]
    )
    moving = body
    if fixture.joint is not None:
        kinds = {"hinge": mujoco.mjtJoint.mjJNT_HINGE, "slide": mujoco.mjtJoint.mjJNT_SLIDE}
        moving = body.add_body(name=fixture.name + MOVING)
        moving.add_joint(
            name=fixture.name,
            type=kinds[fixture.joint.kind],
            axis=fixture.joint.axis,
            pos=fixture.joint.position,
            range=fixture.joint.limits,
            damping=[fixture.joint.damping, 0, 0],
            frictionloss=fixture.joint.resistance,
            armature=0.001,
        )
    for part in fixture.parts:
        _add_part(moving if part.moves else body, fixture, part)


def _add_part(body: mujoco.MjsBody, fixture: Fixture, part: Part) -> None:
    """Add one shape; it touches objects and the hand, and no other part of a fixture."""
    body.add_geom(
        name=geom_name(fixture, part),
        type=GEOM_TYPES[part.shape],
        size=size_triple(part.shape, part.half_size),
        pos=part.position,
        mass=_mass(fixture, part),
        contype=TABLE if fixture.solid else 0,
        conaffinity=OBJECT | HAND if fixture.solid else 0,
        friction=[0.5, 0.005, 0.0001],
        solref=SOLREF,
        solimp=SOLIMP,
    )


def _mass(fixture: Fixture, part: Part) -> float:
    """Return a moving part's share of the mass, by its bounding volume; what stands still needs none."""
    if fixture.joint is None or not part.moves:
        return 0.0
    volumes = {p.name: math.prod(p.half_size) for p in fixture.parts if p.moves}
    return fixture.joint.mass * volumes[part.name] / sum(volumes.values())


def geom_name(fixture: Fixture, part: Part) -> str:
    """Return the name of a part's geom."""
    return f"{fixture.name}_{part.name}"


def fixture_geoms(scene: Scene) -> Iterator[tuple[Fixture, Part, str]]:
    """Yield every part of every fixture with the name of its geom."""
    for fixture in scene.fixtures:
        for part in fixture.parts:
            yield fixture, part, geom_name(fixture, part)


def write_size(model: mujoco.MjModel, fixture: Fixture, values: Values) -> None:
    """Give the parts of a fixture the size that `values` have, with the bounds that the collision phases read."""
    size = values[f"{fixture.name}.size"]
    assert isinstance(size, tuple | list)
    for part in sized_parts(fixture, size):
        geom = model.geom(geom_name(fixture, part)).id
        model.geom_size[geom] = size_triple(part.shape, part.half_size)
        model.geom_pos[geom] = part.position
        model.geom_rbound[geom] = math.hypot(*part.half_size)
        model.geom_aabb[geom, 3:] = part.half_size


class FixtureWriter:
    """Puts the fixtures of one world where its values say."""

    def __init__(self, model: mujoco.MjModel, scene: Scene) -> None:
        """Look up the model's ids once."""
        self._bodies = [(fixture.name, model.body(fixture.name).id) for fixture in scene.fixtures]
        self._sized = [fixture for fixture in scene.fixtures if fixture.size is not None]
        self._dofs = [(f.name, int(model.joint(f.name).dofadr[0])) for f in scene.fixtures if f.joint is not None]

    def write(self, model: mujoco.MjModel, values: Values) -> None:
        """Set poses and sizes, and damping and dry friction of joints."""
        for name, body in self._bodies:
            pose = fixture_pose(name, values)
            model.body_pos[body], model.body_quat[body] = pose[:3], pose[3:]
        for fixture in self._sized:
            write_size(model, fixture, values)
        for name, dof in self._dofs:
            model.dof_damping[dof] = values[f"{name}.damping"]
            # The solver has a row for every joint with friction: none for those that nobody can touch.
            model.dof_frictionloss[dof] = values[f"{name}.resistance"] if is_present(name, values) else 0.0

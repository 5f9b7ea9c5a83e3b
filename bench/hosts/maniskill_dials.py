"""What of a built ManiSkill scene can be changed, through SAPIEN's own properties, and put back as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from bench.hosts.changes import applied
from bench.hosts.maniskill_design import Vector, raw
from bench.hosts.maniskill_looks import Looks, visible_materials
from bench.hosts.maniskill_scene import Body, ManiskillScene
from bench.hosts.views import View
from bench.variation import Changes
from sim.errors import UserError
from sim.scene import Value, rgb


class Dials:
    """Changes one scene. Each change leaves behind how to undo it."""

    def __init__(self, scene: ManiskillScene) -> None:
        """Begin with the scene as it was built."""
        self._scene, self._env, self._looks = scene, scene.env, Looks(scene)
        self._undo: list[Callable[[], None]] = []
        self.values: dict[str, Value] = {}

    @property
    def view(self) -> View:
        """The view as it is now."""
        return self._looks.view

    def restore(self) -> None:
        """Undo every change, the last one first."""
        self.values = {}
        while self._undo:
            self._undo.pop()()
        self._looks.restore()

    def after_reset(self, changes: Changes) -> None:
        """Make the changes to what the reset has left."""
        for role in self._scene.design.items:
            self._change_body(role, self._scene.bodies[role], changes)
        if "gripper.friction" in changes:
            links = [self._scene.links[f"panda_{side}finger"] for side in ("left", "right")]
            self._slide("gripper.friction", [s for link in links for s in link._bodies[0].collision_shapes], changes)
        if "table.friction" in changes:
            table = self._env.table_scene.table
            self._slide("table.friction", list(table._bodies[0].collision_shapes), changes)
        if "robot.q" in changes:
            self._move_arm(changes)
        self.values |= self._looks.apply(changes)

    def _value(self, path: str, nominal: Value, changes: Changes) -> Any:
        """Return the value of `path` after its change, and remember it."""
        self.values[path] = applied(path, nominal, changes[path])
        return self.values[path]

    def _change_body(self, role: str, body: Body, changes: Changes) -> None:
        steps: Mapping[str, Callable[[Body, str, Changes], None]] = {
            "mass": self._mass,
            "friction": lambda body, path, changes: self._slide(path, _shapes(body.actor), changes),
            "color": self._color,
            "position": self._position,
            "yaw": self._yaw,
        }
        for attribute, step in steps.items():
            if (path := f"{role}.{attribute}") in changes:
                step(body, path, changes)

    def _mass(self, body: Body, path: str, changes: Changes) -> None:
        """Change the mass, and the inertia with it."""
        component = body.actor._bodies[0]
        before, inertia = float(component.mass), np.array(component.inertia)
        mass = float(self._value(path, before, changes))
        if mass <= 0:
            raise UserError(f"{path} = {mass} is not allowed: a mass must be above 0 kg.")

        def undo() -> None:
            component.set_mass(before)
            component.set_inertia(inertia)

        component.set_mass(mass)
        component.set_inertia(inertia * mass / before)
        self._undo.append(undo)

    def _slide(self, path: str, shapes: list[Any], changes: Changes) -> None:
        """Change the friction of shapes, which share their material with others: each gets one of its own."""
        import sapien

        for shape in reversed(shapes):
            old = shape.physical_material
            value = max(0.0, float(cast(float, applied(path, float(old.static_friction), changes[path]))))
            ratio = value / old.static_friction if old.static_friction else 0.0
            shape.set_physical_material(
                sapien.physx.PhysxMaterial(value, ratio * old.dynamic_friction, old.restitution)
            )
            self._undo.append(lambda shape=shape, old=old: shape.set_physical_material(old))  # type: ignore[misc]
            self.values[path] = value

    def _color(self, body: Body, path: str, changes: Changes) -> None:
        color, before = self._value(path, body.color or (0.6, 0.6, 0.6), changes), body.color
        materials = visible_materials(body.actor)
        colors = [list(material.base_color) for material in materials]

        def undo() -> None:
            body.color = before
            for material, old in zip(materials, colors, strict=True):
                material.set_base_color(old)

        body.color = color if isinstance(color, str) else ""
        for material in materials:
            material.set_base_color([*rgb(color), 1.0])
        self._undo.append(undo)

    def _position(self, body: Body, path: str, changes: Changes) -> None:
        pose, base = raw(body.actor.pose.raw_pose), self._scene.base
        place = self._value(path, tuple((pose[:2] - base[:2]).tolist()), changes)
        pose[:2] = np.array(place) + base[:2]
        put(body.actor, pose)

    def _yaw(self, body: Body, path: str, changes: Changes) -> None:
        from sim.rotations import from_axis_angle, multiply

        pose = raw(body.actor.pose.raw_pose)
        w, x, y, z = pose[3:]
        yaw = float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
        turn = float(self._value(path, yaw, changes)) - yaw
        pose[3:] = multiply(from_axis_angle(np.array([0.0, 0.0, turn])), pose[3:])
        put(body.actor, pose)

    def _move_arm(self, changes: Changes) -> None:
        """Start with other joint angles; the controller then starts from there."""
        import torch

        agent = self._env.agent
        q = raw(agent.robot.get_qpos())
        q[:7] = self._value("robot.q", tuple(q[:7].tolist()), changes)
        agent.reset(torch.tensor(q[None], dtype=torch.float32))
        agent.controller.reset()


def put(actor: Any, pose: Vector) -> None:
    """Set an actor's pose (7,) in the world, and let it rest."""
    import sapien

    actor.set_pose(sapien.Pose(p=pose[:3], q=pose[3:]))


def _shapes(actor: Any) -> list[Any]:
    return list(actor._bodies[0].collision_shapes)

"""What of a built ManiSkill scene can be changed, through SAPIEN's own properties, and put back as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from bench.hosts.changes import Turned, applied, yaw_of
from bench.hosts.maniskill_design import Vector, raw
from bench.hosts.maniskill_looks import Looks, visible_materials
from bench.hosts.maniskill_scene import Body, ManiskillScene
from bench.hosts.views import View
from bench.variation import Changes
from sim.scene import Value, rgb


class Dials:
    """Changes one scene. Each change leaves behind how to undo it."""

    def __init__(self, scene: ManiskillScene) -> None:
        """Begin with the scene as it was built."""
        self._scene, self._env, self._looks = scene, scene.env, Looks(scene)
        self._undo: list[Callable[[], None]] = []
        self._turned = Turned()

    @property
    def values(self) -> dict[str, Value]:
        """The absolute values that the changes have made, by path."""
        return self._turned.values

    @property
    def view(self) -> View:
        """The view as it is now."""
        return self._looks.view

    def restore(self) -> None:
        """Undo every change, the last one first."""
        self._turned = Turned()
        while self._undo:
            self._undo.pop()()
        self._looks.restore()

    def after_reset(self, changes: Changes) -> None:
        """Make the changes to what the reset has left."""
        self._turned = Turned(changes)
        steps: dict[str, Callable[[Body, str], None]] = {
            "mass": self._mass,
            "friction": lambda body, path: self._slide(path, _shapes(body.actor)),
            "color": self._color,
            "position": self._position,
            "yaw": self._yaw,
        }
        for role in self._scene.design.items:
            self._turned.turn(role, self._scene.bodies[role], steps)
        if "gripper.friction" in changes:
            links = [self._scene.links[f"panda_{side}finger"] for side in ("left", "right")]
            self._slide("gripper.friction", [s for link in links for s in link._bodies[0].collision_shapes])
        if "table.friction" in changes:
            table = self._env.table_scene.table
            self._slide("table.friction", list(table._bodies[0].collision_shapes))
        if "robot.q" in changes:
            self._move_arm()
        self._looks.apply(self._turned)

    def _mass(self, body: Body, path: str) -> None:
        """Change the mass, and the inertia with it."""
        component = body.actor._bodies[0]
        before, inertia = float(component.mass), np.array(component.inertia)
        mass = self._turned.mass(path, before)

        def undo() -> None:
            component.set_mass(before)
            component.set_inertia(inertia)

        component.set_mass(mass)
        component.set_inertia(inertia * mass / before)
        self._undo.append(undo)

    def _slide(self, path: str, shapes: list[Any]) -> None:
        """Change the friction of shapes, which share their material with others: each gets one of its own."""
        import sapien

        for shape in reversed(shapes):
            old = shape.physical_material
            value = max(0.0, float(cast(float, applied(path, float(old.static_friction), self._turned.changes[path]))))
            ratio = value / old.static_friction if old.static_friction else 0.0
            shape.set_physical_material(
                sapien.physx.PhysxMaterial(value, ratio * old.dynamic_friction, old.restitution)
            )
            self._undo.append(lambda shape=shape, old=old: shape.set_physical_material(old))  # type: ignore[misc]
            self.values[path] = value

    def _color(self, body: Body, path: str) -> None:
        color, before = self._turned.value(path, body.color or (0.6, 0.6, 0.6)), body.color
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

    def _position(self, body: Body, path: str) -> None:
        pose, base = raw(body.actor.pose.raw_pose), self._scene.base
        place = self._turned.value(path, tuple((pose[:2] - base[:2]).tolist()))
        pose[:2] = np.array(place) + base[:2]
        put(body.actor, pose)

    def _yaw(self, body: Body, path: str) -> None:
        from sim.rotations import from_axis_angle, multiply

        pose = raw(body.actor.pose.raw_pose)
        yaw = yaw_of(pose[3:])
        turn = float(self._turned.value(path, yaw)) - yaw
        pose[3:] = multiply(from_axis_angle(np.array([0.0, 0.0, turn])), pose[3:])
        put(body.actor, pose)

    def _move_arm(self) -> None:
        """Start with other joint angles; the controller then starts from there."""
        import torch

        agent = self._env.agent
        q = raw(agent.robot.get_qpos())
        q[:7] = self._turned.value("robot.q", tuple(q[:7].tolist()))
        agent.reset(torch.tensor(q[None], dtype=torch.float32))
        agent.controller.reset()


def put(actor: Any, pose: Vector) -> None:
    """Set an actor's pose (7,) in the world, and let it rest."""
    import sapien

    actor.set_pose(sapien.Pose(p=pose[:3], q=pose[3:]))


def _shapes(actor: Any) -> list[Any]:
    return list(actor._bodies[0].collision_shapes)

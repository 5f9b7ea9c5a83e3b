"""One built environment of ManiSkill: its actors, its state in our terms, its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.hosts.maniskill_design import Design, Vector, from_base, raw
from bench.hosts.maniskill_make import CAMERA, Structure, add_wrist_camera, make, pose_of
from bench.hosts.others import OTHERS
from bench.hosts.views import wrist_camera
from sim.episodes import Images
from sim.fixtures import SHAPES
from sim.rotations import conjugate, rotate
from sim.state import State

HAND = ("panda_hand", "panda_leftfinger", "panda_rightfinger")

KINDS_OF = {"box": "cube", "cylinder": "cylinder", "sphere": "ball"}
"""Shape -> what an object that was given it is called."""


@dataclass
class Body:
    """A free actor, and what it is at the moment."""

    actor: Any
    kind: str
    color: str
    shape: str
    half_size: Vector


class ManiskillScene:
    """One environment, built with a structure."""

    def __init__(self, design: Design, structure: Structure, *, image_size: int) -> None:
        """Build the scene. No observation is rendered unless `image` or `wrist_image` is called."""
        self.design, self._structure, self._size = design, structure, image_size
        self.env = make(design, structure, image_size=image_size)
        self._find()

    def rebuild(self, structure: Structure, *, seed: int) -> None:
        """Build the scene anew with another structure, in the same environment."""
        self.env.structure = self._structure = structure
        self.env.reset(seed=seed, options={"reconfigure": True})
        self._find()

    def renew(self) -> None:
        """Move all that is solid, as it is, into a new PhysX scene: an episode then depends on nothing before it.

        PhysX keeps more of an episode than positions and velocities: contact points, impulses from which its solver
        starts, the order of pairs and bodies, how long a body has yet to stay awake. No reset clears these; a scene in
        which nothing has happened has none, and a body that is woken from sleep has its whole time before it. Lights
        and cameras stay in `stage`, so nothing that draws is built anew.
        """
        import sapien

        old, physx = self.env.scene.sub_scenes[0], sapien.physx
        physx.set_scene_config(old.physx_system.config)
        new = sapien.Scene([physx.PhysxCpuSystem(), old.render_system])
        new.physx_system.timestep = old.physx_system.timestep
        solid = [e for e in old.entities if e.find_component_by_type(physx.PhysxRigidBaseComponent) is not None]
        for entity in solid:
            old.remove_entity(entity)
        for entity in solid:
            new.add_entity(entity)
        for entity in solid:
            body = entity.find_component_by_type(physx.PhysxRigidBodyComponent)
            if body is not None and not getattr(body, "kinematic", False):  # A link has no such property.
                body.put_to_sleep()
                body.wake_up()
        self.env.scene.sub_scenes, self.env.scene.px = [new], new.physx_system

    def _find(self) -> None:
        """Look up the scene of lights and cameras, the robot's links and the actors."""
        self.stage = self.env.scene.sub_scenes[0]
        self._wrist: Any = None
        self.links = self.env.agent.robot.links_map
        self.bodies = {}
        for role, item in self.design.items.items():
            actor = getattr(self.env, item.attribute)
            shape, half = measured(actor)
            kind = KINDS_OF[shape] if role in self._structure.shapes else item.kind
            self.bodies[role] = Body(actor, kind, item.color, shape, half)
        if self._structure.shapes:
            self.design.rule(self.env, {role: body.half_size for role, body in self.bodies.items()})
        for other in OTHERS[: self._structure.count]:
            actor = self.env.others[other.name]
            self.bodies[other.name] = Body(actor, other.kind, other.color, *measured(actor))

    @property
    def base(self) -> Vector:
        """Pose (7,) of the robot's base in ManiSkill's world."""
        return raw(self.env.agent.robot.pose.raw_pose)

    def tcp(self) -> Vector:
        """Return the pose (7,) of the TCP in the base frame."""
        return from_base(self.base, raw(self.links["panda_hand_tcp"].pose.raw_pose))

    def state(self) -> State:
        """Return the state of this world."""
        robot, base = self.env.agent.robot, self.base
        qpos, qvel = raw(robot.get_qpos()), raw(robot.get_qvel())
        fixed = self.design.fixed(self.env, base)
        halves = {name: body.half_size for name, body in self.bodies.items()}
        halves |= {name: each.half_size for name, each in fixed.items() if each.half_size is not None}
        return State(
            time=raw(self.env.elapsed_steps)[None] / float(self.env.control_freq),
            q=qpos[None, :7],
            qd=qvel[None, :7],
            tcp=self.tcp()[None],
            opening=np.array([qpos[7] + qpos[8]]),
            poses={name: from_base(base, raw(body.actor.pose.raw_pose))[None] for name, body in self.bodies.items()},
            twists={name: _twist(base, body.actor)[None] for name, body in self.bodies.items()},
            half_sizes={name: half[None].copy() for name, half in halves.items()},
            table=np.array([-base[2]]),
            contact=np.array([self._contact()]),
            shapes={name: np.array([SHAPES.index(body.shape)]) for name, body in self.bodies.items()},
            fixtures={name: each.pose[None] for name, each in fixed.items()},
        )

    def _contact(self) -> float:
        """Return the sum over hand and fingers of the length of the net contact force, N."""
        return float(sum(np.linalg.norm(raw(self.links[name].get_net_contact_forces())) for name in HAND))

    def image(self) -> Images:
        """Return one frame of the base camera, with what ManiSkill hides from its own observations hidden."""
        return self._shot(self.env.scene.sensors[CAMERA])

    def wrist_image(self) -> Images:
        """Return one frame of the camera on the hand, which is made when it is first asked for."""
        if self._wrist is None:
            self._wrist = add_wrist_camera(self.env, self.stage, image_size=self._size)
        self._wrist.camera.set_local_pose(pose_of(wrist_camera(self.tcp())))
        return self._shot(self._wrist)

    def _shot(self, sensor: Any) -> Images:
        for hidden in self.env._hidden_objects:
            hidden.hide_visual()
        self.env.scene.update_render(update_sensors=True, update_human_render_cameras=False)
        sensor.capture()
        shown = sensor.get_obs(rgb=True, depth=False, position=False, segmentation=False, normal=False, albedo=False)
        return np.ascontiguousarray(shown["rgb"].cpu().numpy()[0], dtype=np.uint8)

    def close(self) -> None:
        """Free the scene."""
        self.env.close()


def measured(actor: Any) -> tuple[str, Vector]:
    """Return shape and half extents (3,) of an actor, m to a micrometre, by its collision shape."""
    (shape,) = actor._bodies[0].collision_shapes
    if hasattr(shape, "half_size"):
        return "box", _rounded(*shape.half_size)
    if hasattr(shape, "half_length"):
        return "cylinder", _rounded(shape.radius, shape.radius, shape.half_length)
    return "sphere", _rounded(shape.radius, shape.radius, shape.radius)


def _rounded(*half: float) -> Vector:
    return np.array([round(float(x), 6) for x in half])


def _twist(base: Vector, actor: Any) -> Vector:
    """Return linear and angular velocity (6,) in the base frame."""
    turned = conjugate(base[3:])
    return np.concatenate([rotate(turned, raw(v)) for v in (actor.linear_velocity, actor.angular_velocity)])

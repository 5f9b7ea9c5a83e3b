"""The simulation: its parameters, one environment per world, and the actors in it."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from sim.isaacgym_worker.layout import DOFS

BOX, CYLINDER, SPHERE = 0, 1, 2
"""Shapes of objects, as numbers on the wire."""

HAND_BODIES = ("hand", "left_finger", "right_finger", "left_pad", "right_pad")
"""Bodies of the robot with collision shapes; the contact force is summed over them."""

PADS = ("left_pad", "right_pad")

ROBOT_FILTER = 1
"""Collision filter of the robot: two shapes with a common bit do not collide, so the fingers do not touch the hand."""


class Built:
    """The simulation and the handles of everything in it. `prepare_sim` has been called: nothing can be added."""

    def __init__(self, gymapi: Any, plan: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.gymapi, self.gym = gymapi, gymapi.acquire_gym()
        self.plan, self.arrays = plan, arrays
        self.count, self.objects, self.substeps = int(plan["n"]), list(plan["objects"]), int(plan["substeps"])
        self.device = str(plan["device"])
        self.sim = self._create_sim()
        self.robot_asset = self._load_robot()
        self._assets: dict[tuple[float, ...], Any] = {}
        self.envs: list[Any] = []
        self.robots: list[int] = []
        self.tables: list[int] = []
        self.items: list[list[int]] = []
        self.rooms: list[dict[str, int]] = []
        for world in range(self.count):
            self._add_world(world)
        self.prepared = False

    def prepare(self) -> None:
        """Close the simulation for additions; tensors exist from here on."""
        if not self.gym.prepare_sim(self.sim):
            raise RuntimeError("prepare_sim failed")
        self.prepared = True

    def body_count(self) -> int:
        """Return the number of rigid bodies in all worlds."""
        return int(self.gym.get_sim_rigid_body_count(self.sim))

    def _create_sim(self) -> Any:
        gymapi = self.gymapi
        on_gpu = self.device.startswith("cuda")
        params = gymapi.SimParams()
        params.dt, params.substeps = float(self.plan["timestep"]), 1
        params.up_axis = gymapi.UP_AXIS_Z
        params.gravity = gymapi.Vec3(0.0, 0.0, -9.81)
        params.use_gpu_pipeline = params.physx.use_gpu = on_gpu
        for name, value in self.plan["physx"].items():
            setattr(params.physx, name, value)
        params.physx.contact_collection = gymapi.ContactCollection(1)
        index = int(self.device.split(":")[1]) if on_gpu else 0
        graphics = index if self.plan.get("frames") else -1
        sim = self.gym.create_sim(index, graphics, gymapi.SIM_PHYSX, params)
        if sim is None:
            raise RuntimeError("create_sim failed")
        return sim

    def _options(self, **values: Any) -> Any:
        """Return asset options without Isaac Gym's own damping and skin, which MuJoCo has not."""
        options = self.gymapi.AssetOptions()
        defaults = {"linear_damping": 0.0, "angular_damping": 0.0, "thickness": 0.0}
        for name, value in dict(defaults, **values).items():
            setattr(options, name, value)
        return options

    def _load_robot(self) -> Any:
        options = self._options(
            fix_base_link=True,
            disable_gravity=True,
            collapse_fixed_joints=False,
            flip_visual_attachments=False,
            use_mesh_materials=True,
            default_dof_drive_mode=int(self.gymapi.DOF_MODE_POS),
        )
        asset = self.gym.load_asset(self.sim, str(self.plan["folder"]), str(self.plan["urdf"]), options)
        if asset is None or self.gym.get_asset_dof_count(asset) != len(DOFS):
            raise RuntimeError(f"the robot's URDF was not loaded with its {len(DOFS)} joints")
        return asset

    def _add_world(self, world: int) -> None:
        """Add an environment with robot, table and objects, in this order."""
        gymapi, gym, half = self.gymapi, self.gym, float(self.plan["spacing"]) / 2
        corners = gymapi.Vec3(-half, -half, -half), gymapi.Vec3(half, half, half)
        env = gym.create_env(self.sim, corners[0], corners[1], max(int(math.sqrt(self.count)), 1))
        self.envs.append(env)
        robot = gym.create_actor(env, self.robot_asset, self._pose((0.0, 0.0, 0.0)), "robot", world, ROBOT_FILTER, 0)
        self._drive(env, robot)
        self.robots.append(robot)
        self.tables.append(self._add_table(world, env))
        self.items.append([self._add_object(world, env, k) for k in range(len(self.objects))])
        if self.plan.get("frames"):
            self.rooms.append({name: self._add_box(world, env, name, room) for name, room in self.plan["room"].items()})

    def _drive(self, env: Any, robot: int) -> None:
        """Give the joints their servos: position drives with stiffness, damping, armature and largest effort."""
        properties = self.gym.get_actor_dof_properties(env, robot)
        properties["driveMode"].fill(self.gymapi.DOF_MODE_POS)
        for dof, name in enumerate(DOFS):
            index = self.gym.find_actor_dof_index(env, robot, name, self.gymapi.DOMAIN_ACTOR)
            for field, values in self.plan["servos"].items():
                properties[field][index] = values[dof]
        self.gym.set_actor_dof_properties(env, robot, properties)

    def _add_table(self, world: int, env: Any) -> int:
        x, y, z = self.plan["table"]["half"]
        height = float(self.arrays["table_height"][world])
        center = (*self.plan["table"]["center"], height - z)
        return self._add_box(world, env, "table", {"half": [x, y, z], "center": center})

    def _add_box(self, world: int, env: Any, name: str, box: dict[str, Any]) -> int:
        """Add a box that stays where it is."""
        key = (name, *box["half"])
        if key not in self._assets:
            sides = [2.0 * float(half) for half in box["half"]]
            self._assets[key] = self.gym.create_box(self.sim, *sides, self._options(fix_base_link=True))
        return int(self.gym.create_actor(env, self._assets[key], self._pose(box["center"]), name, world, 0, 0))

    def _add_object(self, world: int, env: Any, k: int) -> int:
        """Add a free object with the shape, the size and the mass of this world."""
        shape = int(self.arrays["shape"][world, k])
        half = tuple(float(value) for value in self.arrays["half_size"][world, k])
        mass = float(self.arrays["mass"][world, k])
        key = (shape, *half, mass)
        if key not in self._assets:
            self._assets[key] = self._object_asset(shape, half, mass)
        state = self.arrays["roots"][world, k]
        pose = self._pose(state[:3], state[3:7])
        return int(self.gym.create_actor(env, self._assets[key], pose, self.objects[k], world, 0, 0))

    def _object_asset(self, shape: int, half: tuple[float, ...], mass: float) -> Any:
        """Return the asset of a solid object; its density brings the mass."""
        x, y, z = half
        if shape == BOX:
            options = self._options(density=mass / (8.0 * x * y * z))
            return self.gym.create_box(self.sim, 2.0 * x, 2.0 * y, 2.0 * z, options)
        if shape == SPHERE:
            options = self._options(density=mass / (4.0 / 3.0 * math.pi * x**3))
            return self.gym.create_sphere(self.sim, x, options)
        if shape != CYLINDER:
            raise ValueError(f"no shape has the number {shape}")
        name = f"cylinder_{len(self._assets)}.urdf"
        with open(os.path.join(str(self.plan["folder"]), name), "w") as stream:
            stream.write(cylinder_urdf(x, 2.0 * z, mass))
        options = self._options(replace_cylinder_with_capsule=False)
        return self.gym.load_asset(self.sim, str(self.plan["folder"]), name, options)

    def _pose(self, position: Any, quaternion: Any = (0.0, 0.0, 0.0, 1.0)) -> Any:
        """Return a transform; the quaternion is xyzw."""
        pose = self.gymapi.Transform()
        pose.p = self.gymapi.Vec3(*(float(value) for value in position))
        pose.r = self.gymapi.Quat(*(float(value) for value in quaternion))
        return pose

    def indices(self) -> dict[str, Any]:
        """Return where actors, joints and hand bodies of each world lie in the simulation's tensors."""
        gym, everywhere = self.gym, self.gymapi.DOMAIN_SIM
        found: dict[str, list[Any]] = {"robot": [], "items": [], "dofs": [], "bodies": []}
        for env, robot, items in zip(self.envs, self.robots, self.items):
            found["robot"].append(gym.get_actor_index(env, robot, everywhere))
            found["items"].append([gym.get_actor_index(env, item, everywhere) for item in items])
            found["dofs"].append(self._named(gym.find_actor_dof_index, env, robot, DOFS))
            found["bodies"].append(self._named(gym.find_actor_rigid_body_index, env, robot, HAND_BODIES))
        whole = {name: np.array(rows, dtype=np.int64) for name, rows in found.items()}
        return dict(whole, items=whole["items"].reshape(self.count, len(self.objects)))

    def _named(self, find: Any, env: Any, actor: int, names: tuple[str, ...]) -> list[int]:
        """Return the indices of joints or bodies by name; Isaac Gym says -1 where there is none."""
        indices = [int(find(env, actor, name, self.gymapi.DOMAIN_SIM)) for name in names]
        if min(indices) < 0:
            raise RuntimeError("the robot lacks one of {}: {}".format(", ".join(names), indices))
        return indices


def cylinder_urdf(radius: float, length: float, mass: float) -> str:
    """Return a solid cylinder along z as URDF, with its inertia written out."""
    side = mass * (3.0 * radius**2 + length**2) / 12.0
    end = mass * radius**2 / 2.0
    geometry = f'<geometry><cylinder radius="{radius:.9g}" length="{length:.9g}"/></geometry>'
    return (
        f'<robot name="cylinder"><link name="cylinder"><inertial><mass value="{mass:.9g}"/>'
        f'<inertia ixx="{side:.9g}" ixy="0" ixz="0" iyy="{side:.9g}" iyz="0" izz="{end:.9g}"/></inertial>'
        f"<visual>{geometry}</visual><collision>{geometry}</collision></link></robot>\n"
    )

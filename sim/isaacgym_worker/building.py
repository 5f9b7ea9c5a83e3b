"""The simulation: its parameters, one environment per world, and the actors in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.isaacgym_worker.assets import HINGED_DOFS, Assets
from sim.isaacgym_worker.layout import CARRIAGE, DOFS

HAND_BODIES = ("hand", "left_finger", "right_finger", "left_pad", "right_pad")
"""Bodies of the robot with collision shapes; the contact force is summed over them."""

ROBOT_FILTER, STANDING_FILTER = 1, 2
"""Collision filters: two shapes with a common bit do not collide. The fingers do not touch the hand, and what stands
(table, fixtures and their moving parts) does not touch what stands."""

CARRIAGE_DRIVE = {"stiffness": 1e5, "damping": 1e4, "armature": 50.0, "effort": 1e5, "velocity": 50.0}
"""Servos that hold a jointed fixture in its place: it gives 0.25 mm to the hand's 25 N. N/m, N s/m, kg, N, m/s."""

PARKED, PARKED_APART, PARKED_ROW = (-5.0, 0.0, -5.0), 0.4, 8
"""Where bodies wait that no slot uses, m, and how: so far apart, so many in a row. They touch nothing there."""


class World:
    """The handles of one world's actors."""

    def __init__(self, env: Any, robot: int, table: int) -> None:
        self.env, self.robot, self.table = env, robot, table
        self.bodies: list[int] = []
        self.stands: list[int] = []
        self.hinged: list[int] = []
        self.room: dict[str, int] = {}


class Built:
    """The simulation and the handles of everything in it. After `prepare` nothing can be added."""

    def __init__(self, gymapi: Any, plan: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.gymapi, self.gym = gymapi, gymapi.acquire_gym()
        self.plan, self.arrays = plan, arrays
        self.count, self.objects, self.substeps = int(plan["n"]), list(plan["objects"]), int(plan["substeps"])
        self.device, self.hinged = str(plan["device"]), list(plan["hinged"])
        self.sim = self._create_sim()
        self._assets = Assets(gymapi, self.gym, self.sim, str(plan["folder"]))
        self.worlds: list[World] = []
        for number in range(self.count):
            self._add_world(number)
        # Which column's body is in each slot of each world (n, slots), -1: none.
        self.active = np.full((self.count, len(self.objects)), -1, dtype=np.int64)

    def prepare(self) -> None:
        """Close the simulation for additions; tensors exist from here on."""
        if not self.gym.prepare_sim(self.sim):
            raise RuntimeError("prepare_sim failed")

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

    def _add_world(self, number: int) -> None:
        """Add an environment with robot, table, objects and fixtures, in this order."""
        gymapi, gym, half = self.gymapi, self.gym, float(self.plan["spacing"]) / 2
        corners = gymapi.Vec3(-half, -half, -half), gymapi.Vec3(half, half, half)
        env = gym.create_env(self.sim, corners[0], corners[1], max(int(math.sqrt(self.count)), 1))
        origin = self._pose((0.0, 0.0, 0.0))
        robot_asset = self._assets.robot(str(self.plan["urdf"]))
        robot = gym.create_actor(env, robot_asset, origin, "robot", number, ROBOT_FILTER, 0)
        self._drive(env, robot, DOFS, self.plan["servos"])
        world = World(env, robot, self._add_box(number, env, "table", self.plan["table"], STANDING_FILTER))
        self.worlds.append(world)
        world.bodies = [self._add_body(number, env, k) for k in range(len(self.arrays["slot"]))]
        for stand in self.plan["stands"]:
            # A number that no world has: what is only seen collides with nothing.
            group = number if stand["solid"] else number + self.count
            asset = self._assets.stand(str(stand["urdf"]))
            world.stands.append(int(gym.create_actor(env, asset, origin, stand["name"], group, STANDING_FILTER, 0)))
        for fixture in self.hinged:
            asset = self._assets.hinged(str(fixture["urdf"]))
            actor = int(gym.create_actor(env, asset, origin, fixture["name"], number, STANDING_FILTER, 0))
            self._drive_fixture(env, actor, float(fixture["armature"]))
            world.hinged.append(actor)
        if self.plan.get("frames"):
            world.room = {name: self._add_box(number, env, name, box, 0) for name, box in self.plan["room"].items()}

    def _drive(self, env: Any, robot: int, names: tuple[str, ...], fields: dict[str, Any]) -> None:
        """Give the joints their servos: position drives with stiffness, damping, armature and largest effort."""
        properties = self.gym.get_actor_dof_properties(env, robot)
        for k, name in enumerate(names):
            index = self.gym.find_actor_dof_index(env, robot, name, self.gymapi.DOMAIN_ACTOR)
            properties["driveMode"][index] = self.gymapi.DOF_MODE_POS
            for field, values in fields.items():
                properties[field][index] = values[k]
        self.gym.set_actor_dof_properties(env, robot, properties)

    def _drive_fixture(self, env: Any, actor: int, armature: float) -> None:
        """Hold a fixture's carriage with servos, and leave its own joint to the efforts that stand for its friction."""
        self._drive(env, actor, CARRIAGE, {field: [value] * 4 for field, value in CARRIAGE_DRIVE.items()})
        properties = self.gym.get_actor_dof_properties(env, actor)
        index = self.gym.find_actor_dof_index(env, actor, "joint", self.gymapi.DOMAIN_ACTOR)
        properties["driveMode"][index] = self.gymapi.DOF_MODE_EFFORT
        properties["stiffness"][index] = properties["damping"][index] = properties["friction"][index] = 0.0
        properties["armature"][index] = armature
        self.gym.set_actor_dof_properties(env, actor, properties)

    def _add_box(self, number: int, env: Any, name: str, box: dict[str, Any], filter_bits: int) -> int:
        """Add a box that stays where it is put."""
        asset = self._assets.fixed_box(box["half"])
        return int(self.gym.create_actor(env, asset, self._pose(box["center"]), name, number, filter_bits, 0))

    def _add_body(self, number: int, env: Any, k: int) -> int:
        """Add the body of column `k`, waiting out of sight, with the shape, the size and the mass of this world."""
        half = tuple(float(value) for value in self.arrays["half_size"][number, k])
        asset = self._assets.body(int(self.arrays["shape"][k]), half, float(self.arrays["mass"][number, k]))
        name = "{}_{}".format(self.objects[int(self.arrays["slot"][k])], k)
        return int(self.gym.create_actor(env, asset, self._pose(parked_place(k)), name, number, 0, 0))

    def _pose(self, position: Any) -> Any:
        """Return a transform without rotation."""
        pose = self.gymapi.Transform()
        pose.p = self.gymapi.Vec3(*(float(value) for value in position))
        return pose

    def indices(self) -> dict[str, Any]:
        """Return where actors, joints and hand bodies of each world lie in the simulation's tensors.

        Actors: robots (n,), tables (n,), bodies (n, columns), stands (n, stands), hinged (n, hinged). Joints: dofs
        (n, 9), carriages (n, hinged, 4), hinges (n, hinged). Bodies: hands (n, 5).
        """
        gym, n, hinged = self.gym, self.count, len(self.hinged)
        found: dict[str, list[Any]] = {name: [] for name in ("robots", "tables", "bodies", "stands", "hinged")}
        joints: dict[str, list[Any]] = {name: [] for name in ("dofs", "hands", "fixtures")}
        for world in self.worlds:
            groups = ([world.robot], [world.table], world.bodies, world.stands, world.hinged)
            for rows, handles in zip(found.values(), groups):
                rows.append([gym.get_actor_index(world.env, handle, self.gymapi.DOMAIN_SIM) for handle in handles])
            joints["dofs"].append(self._named(gym.find_actor_dof_index, world.env, world.robot, DOFS))
            joints["hands"].append(self._named(gym.find_actor_rigid_body_index, world.env, world.robot, HAND_BODIES))
            names = [self._named(gym.find_actor_dof_index, world.env, actor, HINGED_DOFS) for actor in world.hinged]
            joints["fixtures"].append(names)
        whole = {name: np.array(rows, dtype=np.int64).reshape(n, -1) for name, rows in found.items()}
        fixtures = np.array(joints["fixtures"], dtype=np.int64).reshape(n, hinged, len(HINGED_DOFS))
        return dict(
            whole,
            robots=whole["robots"][:, 0],
            tables=whole["tables"][:, 0],
            dofs=np.array(joints["dofs"], dtype=np.int64),
            hands=np.array(joints["hands"], dtype=np.int64),
            carriages=fixtures[:, :, :-1],
            hinges=fixtures[:, :, -1],
        )

    def _named(self, find: Any, env: Any, actor: int, names: tuple[str, ...]) -> list[int]:
        """Return the indices of joints or bodies by name; Isaac Gym says -1 where there is none."""
        indices = [int(find(env, actor, name, self.gymapi.DOMAIN_SIM)) for name in names]
        if min(indices) < 0:
            raise RuntimeError("an actor lacks one of {}: {}".format(", ".join(names), indices))
        return indices


def parked_place(k: int) -> tuple[float, float, float]:
    """Return where the body of column `k` waits, m, in its world's frame."""
    x, y, z = PARKED
    return x - PARKED_APART * (k // PARKED_ROW), y + PARKED_APART * (k % PARKED_ROW), z

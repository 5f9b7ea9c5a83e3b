"""ManiSkill's `PickCube-v1` with its Panda and its own pd_ee_delta_pose controller, spoken to in canonical terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.hosts.canonical import axis_angle_to_intrinsic_xyz, clip_canonical, gripper_open_positive
from bench.hosts.vulkan import needs_vulkan, prefer_lavapipe
from sim.episodes import Images
from sim.rotations import conjugate, multiply, rotate
from sim.state import State

POSITION_SCALE = 0.1
"""Metres for a controller input of 1 (`pos_upper` of pd_ee_delta_pose)."""

ROTATION_SCALE = -0.1
"""Radians for a controller input of 1: the controller multiplies by `rot_lower`, so the sign is turned."""

CENTRAL_HALF = 2.0 * np.arctan(0.5)
"""Field of view of the central half of a 90 degree image, rad (53.13 degrees)."""

ADAPTERS = (
    "action_scale: 0.1 m for an input of 1; rotations saturate at a norm of 0.1 rad per step",
    "rotation_sign: the controller multiplies by rot_lower = -0.1",
    "axis_angle_to_intrinsic_xyz: the controller reads intrinsic XYZ Euler angles",
    "gripper_open_positive: +1 opens, -1 closes",
    "base_frame: world minus the base at (-0.615, 0, 0); table top at 0 m",
    "camera: base_camera with the field of view of its central half (53.13 instead of 90 degrees)",
    "goal_hidden: the goal marker is not drawn, as in ManiSkill's own observations",
)


class ManiskillPickCube:
    """One `PickCube-v1` environment on the CPU."""

    adapters = ADAPTERS

    def __init__(self, *, image_size: int) -> None:
        """Build the scene once; `reset` never rebuilds it. No observation is rendered unless `image` is called."""
        prefer_lavapipe()
        import gymnasium
        import mani_skill.envs
        import sapien

        with needs_vulkan("ManiSkill"):
            made = gymnasium.make(
                "PickCube-v1",
                num_envs=1,
                obs_mode="none",
                reward_mode="none",
                control_mode="pd_ee_delta_pose",
                sim_backend="physx_cpu",
                render_backend="cpu",
                sensor_configs={"base_camera": {"width": image_size, "height": image_size, "fov": CENTRAL_HALF}},
            )
        self._env = cast(Any, made.unwrapped)  # Without the wrapper that truncates after 50 steps: the horizon is ours.
        self.engine = f"PhysX CPU in sapien {sapien.__version__}, mani_skill {mani_skill.__version__}"
        self._links = self._env.agent.robot.links_map
        self._success = False

    def reset(self, seed: int) -> None:
        """Begin the episode of `seed`."""
        _, info = self._env.reset(seed=seed)
        self._success = bool(info["success"][0])

    def step(self, action: NDArray[np.float64]) -> None:
        """Execute one canonical action (7,)."""
        *_, info = self._env.step(to_maniskill(action))
        self._success = bool(info["success"][0])

    def state(self) -> State:
        """Return the state of this world."""
        robot, cube = self._env.agent.robot, self._env.cube
        base = _numpy(robot.pose.raw_pose)
        qpos, qvel = _numpy(robot.get_qpos()), _numpy(robot.get_qvel())
        turned = conjugate(base[3:])
        twist = [rotate(turned, _numpy(v)) for v in (cube.linear_velocity, cube.angular_velocity)]
        return State(
            time=_numpy(self._env.elapsed_steps)[None] / float(self._env.control_freq),
            q=qpos[None, :7],
            qd=qvel[None, :7],
            tcp=from_base(base, _numpy(self._links["panda_hand_tcp"].pose.raw_pose))[None],
            opening=np.array([qpos[7] + qpos[8]]),
            poses={"cube": from_base(base, _numpy(cube.pose.raw_pose))[None]},
            twists={"cube": np.concatenate(twist)[None]},
            half_sizes={"cube": np.full((1, 3), float(self._env.cube_half_size))},
            table=np.array([-base[2]]),
            contact=np.array([self._contact()]),
        )

    def _contact(self) -> float:
        """Return the sum over hand and fingers of the length of the net contact force, N."""
        names = ("panda_hand", "panda_leftfinger", "panda_rightfinger")
        return float(sum(np.linalg.norm(_numpy(self._links[name].get_net_contact_forces())) for name in names))

    def success(self) -> bool:
        """Return ManiSkill's own verdict: the cube within 2.5 cm of the goal and the robot still."""
        return self._success

    def fault(self) -> str | None:
        """Return None: PhysX reports nothing; a state that is not finite is seen by the caller."""
        return None

    def image(self, camera: str) -> Images:
        """Return one frame of the base camera's central half, goal marker hidden."""
        for hidden in self._env._hidden_objects:
            hidden.hide_visual()
        self._env.scene.update_render(update_sensors=True, update_human_render_cameras=False)
        sensor = self._env.scene.sensors["base_camera"]
        sensor.capture()
        shown = sensor.get_obs(rgb=True, depth=False, position=False, segmentation=False, normal=False, albedo=False)
        return np.ascontiguousarray(_raw(shown["rgb"]), dtype=np.uint8)

    def extras(self) -> Mapping[str, Any]:
        """Return the goal that ManiSkill drew, as seen from the base, m."""
        goal = _numpy(self._env.goal_site.pose.p) - _numpy(self._env.agent.robot.pose.p)
        return {"goal.position": [float(x) for x in goal]}

    def close(self) -> None:
        """Free the scene."""
        self._env.close()


def to_maniskill(action: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the input (7,) of pd_ee_delta_pose in [-1, 1] for a canonical action (7,).

    Source: `PDEEPoseController._clip_and_scale_action` and `compute_target_pose` of mani_skill 3.0.1.
    """
    clipped = clip_canonical(action)
    rotation = axis_angle_to_intrinsic_xyz(clipped[3:6]) / ROTATION_SCALE
    gripper = gripper_open_positive(float(clipped[6]))
    return np.concatenate([clipped[:3] / POSITION_SCALE, rotation, [gripper]]).astype(np.float32)


def from_base(base: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the world `pose` (7,) as seen from the world pose `base` (7,); position m, quaternion wxyz."""
    inverse = conjugate(base[3:])
    return np.concatenate([rotate(inverse, pose[:3] - base[:3]), multiply(inverse, pose[3:])])


def _raw(tensor: Any) -> NDArray[Any]:
    """Return the only world's row of a torch tensor as numpy."""
    return np.asarray(tensor.cpu().numpy()[0])


def _numpy(tensor: Any) -> NDArray[np.float64]:
    return _raw(tensor).astype(np.float64)

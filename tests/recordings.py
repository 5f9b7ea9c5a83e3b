"""Recordings as robomimic and ManiSkill lay them out, of motion whose canonical states and actions are known."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from sim.rotation_forms import FORMS
from sim.rotations import from_axis_angle, multiply, xyzw_to_wxyz
from sim.streams import generator
from tests.foreign_data import motion

BASE = np.array([-0.56, 0.0, 0.912])
CONTROLLER = {
    "type": "OSC_POSE", "input_max": 1, "input_min": -1, "input_type": "delta", "input_ref_frame": "base",
    "output_max": [0.05] * 3 + [0.5] * 3, "output_min": [-0.05] * 3 + [-0.5] * 3,
}  # fmt: skip
MODEL = '<mujoco><worldbody><body name="robot0_base" pos="-0.56 0 0.912"/></worldbody></mujoco>'


def frames(number, count, size=32):
    return generator(number, "frames").integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def write_robomimic(path: Path, *, episodes=4, change=None, controller=None, steps=40, **env) -> Path:
    """Write `data/demo_N`; the last episode has no success. `change(group)` spoils the first."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        composite = {"type": "BASIC", "body_parts": {"right": CONTROLLER | (controller or {})}}
        settings = {"robots": ["Panda"], "control_freq": 20, "controller_configs": composite} | env
        told = {"env_name": "Lift", "env_version": "1.5.2", "type": 1, "env_kwargs": settings}
        data.attrs["env_args"] = json.dumps(told)
        for number in range(episodes):
            states, actions = motion(number, steps=steps)
            group = data.create_group(f"demo_{number}")
            group.attrs["model_file"] = MODEL
            group["actions"] = np.concatenate(
                [actions[:, :3] / 0.05, actions[:, 3:6] / 0.5, 1 - 2 * actions[:, 6:]], axis=1
            )
            group["rewards"] = (np.arange(steps) == steps - 1) * float(number < episodes - 1)
            obs = group.create_group("obs")
            obs["agentview_image"] = frames(number, steps)
            obs["robot0_eef_quat"] = states[:, 3:7]
            back = multiply(xyzw_to_wxyz(states[:, 3:7]), from_axis_angle(np.array([0, 0, -np.pi / 2])))
            obs["robot0_eef_quat_site"] = np.roll(np.asarray(back), -1, axis=1)
            obs["robot0_eef_pos"] = states[:, :3] + BASE
            obs["robot0_gripper_qpos"] = states[:, 7:] * [[0.04, -0.04]]
            obs["robot0_joint_pos"] = np.full((steps, 7), 0.1 * number)
            if change is not None and number == 0:
                change(group)
    return path


def write_maniskill(path: Path, *, episodes=3, change=None, mode="pd_ee_delta_pose", seeds=0, steps=40) -> Path:
    """Write `traj_N` and the JSON file beside it."""
    told = {"env_info": {"env_id": "PickCube-v1", "env_kwargs": {"control_mode": mode, "obs_mode": "rgb"}}}
    told["episodes"] = [
        {"episode_id": n, "episode_seed": seeds + n, "control_mode": mode, "elapsed_steps": steps}
        for n in range(episodes)
    ]
    with h5py.File(path, "w") as file:
        for number in range(episodes):
            states, actions = motion(number, steps=steps + 1)
            group = file.create_group(f"traj_{number}")
            intrinsic = FORMS["euler xyz intrinsic"].write(np.asarray(from_axis_angle(actions[:, 3:6])))
            whole = np.concatenate([actions[:, :3] / 0.1, intrinsic / -0.1, 2 * actions[:, 6:] - 1], axis=1)[:steps]
            group["actions"] = whole if mode == "pd_ee_delta_pose" else whole[:, [0, 1, 2, 6]]
            wxyz = np.asarray(xyzw_to_wxyz(states[:, 3:7]))
            group["obs/extra/tcp_pose"] = np.concatenate([states[:, :3] + [-0.615, 0, 0], wxyz], axis=1)
            group["obs/agent/qpos"] = np.concatenate([np.zeros((steps + 1, 7)), states[:, [7, 7]] * 0.04], axis=1)
            group["obs/sensor_data/base_camera/rgb"] = frames(number, steps + 1, size=64)
            group["obs/sensor_param/base_camera/intrinsic_cv"] = np.tile(np.eye(3) * 32.0, (steps + 1, 1, 1))
            group["env_states/articulations/panda"] = np.tile(
                np.array([-0.615, 0, 0, 1, 0, 0, 0] + [0.0] * 24), (steps + 1, 1)
            )
            group["success"] = np.arange(steps) > steps - 3
            group["terminated"] = np.zeros(steps, bool)
            if change is not None and number == 0:
                change(group)
    path.with_suffix(".json").write_text(json.dumps(told))
    return path

"""Recordings made by running robosuite and ManiSkill themselves, imported, against what their adapters say."""

import json
import os

import h5py
import numpy as np
import pytest

from datagen.importing.import_recording import ImportConfig, import_recording
from datagen.rlds_reader import decode_image, open_dataset
from sim.conventions import CANONICAL
from sim.rotations import rotate, xyzw_to_wxyz

pytestmark = pytest.mark.slow

STEPS = 48


def wave(step, phase):
    """Return a smooth motion (7,) of an arm in the units of a controller, gripper last: closed in the second half."""
    turn = np.sin(0.2 * step + np.array([0.0, 1.0, 2.0, 0.5, 1.5, 2.5]) + phase)
    return np.concatenate([0.4 * turn, [1.0 if step < STEPS // 2 else -1.0]])


@pytest.fixture(scope="module")
def robosuite_file(tmp_path_factory):
    """Run `Lift` with its own observations and lay them out as robomimic's dataset_states_to_obs does."""
    from sim import gl

    os.environ.setdefault("MUJOCO_GL", gl.choose_backend())
    import robosuite

    controller = robosuite.load_composite_controller_config(robot="Panda")
    settings = {"robots": ["Panda"], "control_freq": 20, "controller_configs": controller}
    env = robosuite.make(
        "Lift", **settings, has_renderer=False, has_offscreen_renderer=True, use_camera_obs=True, ignore_done=True,
        camera_names="agentview", camera_heights=64, camera_widths=64, seed=0, renderer="mujoco",
    )  # fmt: skip
    path, fingers = tmp_path_factory.mktemp("robosuite") / "image.hdf5", []
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        told = {"env_name": "Lift", "env_version": robosuite.__version__, "type": 1, "env_kwargs": settings}
        data.attrs["env_args"] = json.dumps(told, default=str)
        seen = env.reset()
        group = data.create_group("demo_0")
        group.attrs["model_file"] = env.model.get_xml()
        rows, actions = [], []
        for step in range(STEPS):
            rows.append(seen)
            fingers.append(_fingers(env))
            actions.append(wave(step, 0.0) * [1, 1, 1, 0.5, 0.5, 0.5, -1])
            seen = env.step(actions[-1])[0]
        group["actions"] = np.array(actions)
        for key in ("robot0_eef_pos", "robot0_eef_quat", "robot0_eef_quat_site", "robot0_gripper_qpos"):
            group[f"obs/{key}"] = np.array([row[key] for row in rows])
        group["obs/robot0_joint_pos"] = np.array([row["robot0_joint_pos"] for row in rows])
        group["obs/agentview_image"] = np.array([row["agentview_image"][::-1] for row in rows])
    env.close()
    return path, np.array(fingers)


def _fingers(env):
    """Return where the two fingertips are, as seen from the base, (2, 3)."""
    model, data = env.sim.model, env.sim.data
    base = data.body_xpos[model.body_name2id("robot0_base")]
    tips = [model.body_name2id(f"gripper0_right_finger_joint{k}_tip") for k in (1, 2)]
    return data.body_xpos[tips] - base


def test_a_recording_of_robosuite_is_what_its_fingers_and_our_adapter_say(robosuite_file, tmp_path):
    from bench.hosts.robosuite_host import to_robosuite

    path, fingers = robosuite_file
    result = import_recording(ImportConfig(path, "Lift the cube.", tmp_path, "lift", image_size=64))
    episode = next(open_dataset(result.path).episodes("train"))
    states = episode.steps["observation/state"].astype(float)
    hand = xyzw_to_wxyz(states[:, 3:7])
    assert np.abs(states[:, :2] - fingers.mean(axis=1)[:, :2]).max() < 0.02
    apart = fingers[:, 0] - fingers[:, 1]
    along = rotate(hand, np.array([0.0, 1.0, 0.0]))
    assert (np.abs((apart / np.linalg.norm(apart, axis=1, keepdims=True) * along).sum(axis=1)) > 0.999).all()
    assert np.allclose(np.linalg.norm(apart, axis=1) - states[:, 7] * 0.08, 0.0, atol=0.03)
    with h5py.File(path) as file:
        recorded = file["data/demo_0/actions"][:]
        frames = file["data/demo_0/obs/agentview_image"][:]
    actions = episode.steps["action"].astype(float)
    again = np.array([to_robosuite(action) for action in actions])
    assert np.allclose(again, recorded, atol=1e-5)
    shown = decode_image(episode.steps["observation/image"][0])
    assert np.corrcoef(shown.ravel(), frames[0].ravel())[0, 1] > 0.98
    assert "of turning" in result.note


@pytest.fixture(scope="module")
def maniskill_file(tmp_path_factory):
    """Run `PickCube-v1` under ManiSkill's own RecordEpisode."""
    from bench.hosts.vulkan import prefer_lavapipe

    prefer_lavapipe()
    import gymnasium
    import mani_skill.envs
    from mani_skill.utils.wrappers.record import RecordEpisode

    assert mani_skill.envs
    env = gymnasium.make(
        "PickCube-v1", num_envs=1, obs_mode="rgb", control_mode="pd_ee_delta_pose", sim_backend="physx_cpu",
        render_backend="cpu", max_episode_steps=STEPS,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("maniskill")
    recorder = RecordEpisode(env, str(folder), trajectory_name="trajectory", save_video=False)
    recorder.reset(seed=3)
    for step in range(STEPS):
        recorder.step((wave(step, 0.3) * [1, 1, 1, 1, 1, 1, 1]).astype(np.float32))
    recorder.flush_trajectory()
    recorder.close()
    return folder / "trajectory.h5"


def test_a_recording_of_maniskill_moves_and_turns_as_it_is_told(maniskill_file, tmp_path):
    from bench.hosts.maniskill_host import to_maniskill

    config = ImportConfig(maniskill_file, "Pick up the cube.", tmp_path, "pick", image_size=64, failures=True)
    result = import_recording(config)
    episode = next(open_dataset(result.path).episodes("train"))
    assert (result.host_task, len(episode.steps["action"])) == ("PickCube-v1", STEPS)
    assert json.loads(episode.metadata["draw"])["recorded.seed"] == 3
    states = episode.steps["observation/state"].astype(float)
    assert np.abs(states[0, :3] - [0.615, 0.0, 0.17]).max() < 0.05
    actions = episode.steps["action"].astype(float)
    small = (np.abs(actions[:, :6]) <= [0.05] * 3 + [0.25] * 3).all(axis=1)
    with h5py.File(maniskill_file) as file:
        recorded = file["traj_0/actions"][:]
    again = np.array([to_maniskill(action) for action in actions[small]])
    assert np.allclose(again, recorded[small], atol=1e-4)
    told = dict(part.rsplit(" ", 1) for part in result.note.split("commands ")[1].split(", "))
    assert float(told["of motion"]) > 0.8
    assert float(told["of turning"]) > 0.8
    assert CANONICAL.rate == 20.0

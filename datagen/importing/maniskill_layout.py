"""ManiSkill's own recordings: `trajectory.h5` with `traj_N/{actions, obs, success, ...}` beside `trajectory.json`.

Facts: mani_skill 3.0.1 utils/wrappers/record.py (groups and JSON), agents/controllers/pd_ee_pose.py (how actions are
scaled) and agents/robots/panda/panda.py (limits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.declaration import Declaration, DeclaredAction, DeclaredFrame, DeclaredKeys, DeclaredState
from datagen.importing.recording import RecordedEpisode, Recording, column, same_length
from sim.conventions import CANONICAL, OPENING_MAX
from sim.errors import UserError
from sim.files import read_json
from sim.rotations import wxyz_to_xyzw

STEP, TURN = 0.1, -0.1
"""Metres and radians for an action of 1: the controller multiplies rotations by `rot_lower`, which turns their sign."""

MODES = {"pd_ee_delta_pose": 7, "pd_ee_delta_pos": 4}
"""Control modes that are read, and the numbers of their actions."""

TCP, QPOS, RGB = "obs/extra/tcp_pose", "obs/agent/qpos", "obs/sensor_data/base_camera/rgb"
INTRINSIC, ROBOT = "obs/sensor_param/base_camera/intrinsic_cv", "env_states/articulations/panda"

HALF_WIDTH = 0.5
"""Half the width of the canonical view over its focal length: 53.13 degrees, the middle half of 90."""

REPLAY = (
    "Let ManiSkill replay it: python -m mani_skill.trajectory.replay_trajectory --traj-path FILE -c pd_ee_delta_pose "
    "-o rgb --save-traj"
)


def maniskill_recording(file: Any, path: Path) -> Recording:
    """Return the recording in an open file of this layout; its JSON file lies beside it."""
    said = read_json(path.with_suffix(".json"))
    settings = said.get("env_info", {}).get("env_kwargs", {})
    told = {f"traj_{episode['episode_id']}": episode for episode in said.get("episodes", [])}
    keys = tuple(sorted((key for key in file if re.fullmatch(r"traj_\d+", key)), key=lambda k: int(k[5:])))
    unknown = [key for key in keys if key not in told]
    if not keys or unknown:
        raise UserError(
            f"{path} and its .json do not belong together: {', '.join(unknown[:4]) or 'there is no traj_N'}. Copy both."
        )
    mode = str(told[keys[0]].get("control_mode", settings.get("control_mode")))
    others = {str(episode.get("control_mode", mode)) for episode in told.values()} - {mode}
    if mode not in MODES or others:
        raise UserError(
            f"{path} was recorded in the control mode {', '.join([mode, *sorted(others)])!r}; "
            f"{', '.join(MODES)} are read, one in a file. {REPLAY}"
        )
    if settings.get("robot_uids", "panda") != "panda":
        raise UserError(f"{path} was recorded with the robot {settings['robot_uids']!r}; 'panda' is read.")
    first = _group(file, keys[0], RGB, path)
    side, rate = _middle(file[keys[0]], first.shape), float(settings.get("control_freq", 20))
    return Recording(
        path=path,
        declared=_declaration(mode, rate, side, base=_base(file[keys[0]], f"{path}: {keys[0]}")),
        host="maniskill",
        host_task=str(said.get("env_info", {}).get("env_id", "unknown")),
        engine="PhysX in mani_skill",
        adapters=(
            "rotation_sign: the controller multiplies by rot_lower = -0.1; vectors longer than 1 are shortened to 1",
            "base_frame: world minus the recorded root of the robot",
            f"camera: the middle {side} of {first.shape[2]} pixels of base_camera, the canonical field of view",
        ),
        keys=keys,
        read=lambda key: _episode(file, key, told[key], side, mode, path),
    )


def _group(file: Any, key: str, name: str, path: Path) -> NDArray[Any]:
    return column(file[key], name, where=f"{path}: {key}", instead=REPLAY)


def _episode(file: Any, key: str, told: Mapping[str, Any], side: int, mode: str, path: Path) -> RecordedEpisode:
    """Return one trajectory; of its T + 1 observations the last one, which no action follows, is left out."""
    where = f"{path}: {key}"
    actions = _group(file, key, "actions", path).astype(np.float64)
    count = len(actions)
    seen = {name: _group(file, key, name, path) for name in (TCP, QPOS, RGB)}
    same_length({"actions + 1": np.empty(count + 1), **seen}, where=where)
    if actions.shape[1:] != (MODES[mode],):
        raise UserError(f"{where}: actions have {actions.shape[1:]} numbers; {mode} has {MODES[mode]}.")
    frames, poses, qpos = seen[RGB][:count], seen[TCP][:count].astype(np.float64), seen[QPOS][:count]
    top, left = (frames.shape[1] - side) // 2, (frames.shape[2] - side) // 2
    success = file[key].get("success")
    rewards = file[key]["rewards"] if "rewards" in file[key] else np.zeros(count)
    seed = told.get("episode_seed")
    return RecordedEpisode(
        key=key,
        states=np.concatenate([poses[:, :3], wxyz_to_xyzw(poses[:, 3:]), qpos[:, 7:8] + qpos[:, 8:9]], axis=1),
        actions=effective(actions),
        joints=qpos[:, :7].astype(np.float32),
        frames=frames[:, top : top + side, left : left + side],
        rewards=np.asarray(rewards, dtype=np.float32),
        success=None if success is None else np.asarray(success, dtype=np.bool_),
        terminated=bool(np.asarray(file[key]["terminated"])[-1]) if "terminated" in file[key] else False,
        seed=int(seed) if isinstance(seed, int) else None,
    )


def effective(actions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the controller makes of actions: cut at -1 and 1, and rotations longer than 1 shortened to 1."""
    cut = np.clip(actions, -1.0, 1.0)
    if cut.shape[1] == MODES["pd_ee_delta_pose"]:
        length = np.linalg.norm(actions[:, 3:6], axis=1, keepdims=True)
        cut[:, 3:6] = actions[:, 3:6] / np.maximum(length, 1.0)
    return cut


def _declaration(mode: str, rate: float, side: int, *, base: NDArray[np.float64]) -> Declaration:
    """Return what the numbers of a control mode mean."""
    return Declaration(
        keys=DeclaredKeys(RGB, "given", (TCP, QPOS), ("actions",)),
        frame=DeclaredFrame(height=side, width=side, camera=CANONICAL.camera),
        state=DeclaredState(rotation="quaternion xyzw", gripper_open=OPENING_MAX, gripper_closed=0.0),
        action=DeclaredAction(
            pose="delta", rotation="euler xyz intrinsic" if mode == "pd_ee_delta_pose" else "none",
            gripper="absolute", gripper_open=1.0, gripper_closed=-1.0, position_unit=STEP, rotation_unit=TURN,
        ),
        rate=rate,
        base_position=(float(base[0]), float(base[1]), float(base[2])),
    )  # fmt: skip


def _base(group: Any, where: str) -> NDArray[np.float64]:
    """Return where the robot's root stands in the world, m; a turned one is refused."""
    root = column(group, ROBOT, where=where, instead="Record it with record_env_state=True.")[0].astype(np.float64)
    if not np.allclose(np.abs(root[3:7]), [1, 0, 0, 0], atol=1e-5):
        raise UserError(f"{where}: the robot's root is turned in its world; that is not read.")
    return root[:3]  # type: ignore[no-any-return]


def _middle(group: Any, shape: tuple[int, ...]) -> int:
    """Return the side of the middle square, pixels, that shows the canonical field of view, at most the whole frame."""
    if INTRINSIC not in group:
        raise UserError(f"The recording does not tell its camera's focal length ({INTRINSIC}). {REPLAY}")
    focal = float(np.asarray(group[INTRINSIC])[0, 0, 0])
    side = 2 * HALF_WIDTH * focal
    if side > 1.02 * min(shape[1:3]):
        raise UserError(
            f"base_camera sees less than the canonical view: {min(shape[1:3])} pixels at a focal length of {focal:.0f} "
            f"and {side:.0f} are needed. Record with a field of view of 53 degrees or more."
        )
    return min(round(side), *shape[1:3])

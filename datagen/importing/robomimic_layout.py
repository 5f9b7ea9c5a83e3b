"""HDF5 demonstrations of robosuite as robomimic lays them out: `data/demo_N/{actions, obs, rewards, dones}`.

Facts: robomimic's docs/datasets/overview.md (groups, attributes, keys of observations); robosuite 1.5.2
controllers/parts/arm/osc.py (scaling, frames) and robots/robot.py (observations, in the world frame).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from datagen.declaration import Declaration, DeclaredAction, DeclaredFrame, DeclaredKeys, DeclaredState
from datagen.importing.recording import RecordedEpisode, Recording, column, same_length
from sim.conventions import CANONICAL, OPENING_MAX
from sim.errors import UserError
from sim.rotations import from_axis_angle, multiply, rotate, wxyz_to_xyzw, xyzw_to_wxyz

IMAGE, POSITION, FINGERS, JOINTS = "agentview_image", "robot0_eef_pos", "robot0_gripper_qpos", "robot0_joint_pos"
SITE, BODY = "robot0_eef_quat_site", "robot0_eef_quat"
"""Orientation of the grip site, which robosuite 1.5 records too, and of the hand's body."""

SITE_TURN = np.pi / 2
"""Turn about z from the grip site to the canonical hand frame, rad; the hand's body has that frame already."""

SITE_TO_TCP = 0.0004
"""Distance along z from robosuite's grip site to the canonical TCP, m."""

EXTRACT = (
    "Let robomimic add the observations: python robomimic/scripts/dataset_states_to_obs.py --dataset FILE "
    "--output_name image.hdf5 --done_mode 2 --camera_names agentview --camera_height 256 --camera_width 256"
)


def robomimic_recording(file: Any, path: Path) -> Recording:
    """Return the recording in an open file of this layout."""
    data = file["data"]
    said = _json(data.attrs.get("env_args", "{}"), path)
    keys = tuple(sorted((key for key in data if re.fullmatch(r"demo_?\d+", key)), key=_number))
    if not keys:
        raise UserError(f"{path} holds no demo_N below data. Name a file with demonstrations.")
    base = _base(data[keys[0]].attrs.get("model_file"), path)
    settings = said.get("env_kwargs", {})
    frames = column(_observations(data, keys[0], path), IMAGE, where=f"{path}: {keys[0]}/obs", instead=EXTRACT)
    _check_robot(settings, path)
    return Recording(
        path=path,
        declared=_declaration(_controller(settings, path), settings, frames.shape, base=base, path=path),
        host="robosuite",
        host_task=str(said.get("env_name", data.attrs.get("env", "unknown"))),
        engine=f"robosuite {said.get('env_version', data.attrs.get('repository_version', 'of unknown version'))}",
        adapters=(
            "grip_site_to_tcp: the grip site's frame turned by +90 degrees about z, and 0.4 mm along z",
            "base_frame: world minus the base of the recorded model",
            "rows: robomimic stores frames upright",
        ),
        keys=keys,
        read=lambda key: _episode(data, key, path),
    )


def _observations(data: Any, key: str, path: Path) -> Any:
    if "obs" not in data[key]:
        raise UserError(f"{path}: {key} holds actions and states of the simulation, and no observations. {EXTRACT}")
    return data[key]["obs"]


def _episode(data: Any, key: str, path: Path) -> RecordedEpisode:
    """Return one demonstration; poses become those of the canonical TCP, still in robosuite's world."""
    group, seen, where = data[key], _observations(data, key, path), f"{path}: {key}"
    actions = column(group, "actions", where=where, instead="Record it again.").astype(np.float64)
    if actions.shape[1:] != (7,):
        raise UserError(
            f"{where}: actions have {actions.shape[1:]} numbers; position 3, rotation 3 and gripper 1 are read."
        )
    frame = SITE if SITE in seen else BODY
    parts = {
        name: column(seen, name, where=f"{where}/obs", instead=EXTRACT)
        for name in (IMAGE, POSITION, frame, FINGERS, JOINTS)
    }
    same_length({"actions": actions, **parts}, where=where)
    turn = np.asarray(from_axis_angle(np.array([0.0, 0.0, SITE_TURN if frame == SITE else 0.0])))
    hand = np.asarray(multiply(xyzw_to_wxyz(parts[frame].astype(np.float64)), turn))
    position = parts[POSITION] + np.asarray(rotate(hand, np.array([0.0, 0.0, SITE_TO_TCP])))
    opening = parts[FINGERS][:, :1] - parts[FINGERS][:, 1:2]
    rewards = np.asarray(group["rewards"] if "rewards" in group else np.zeros(len(actions)), dtype=np.float32)
    return RecordedEpisode(
        key=key,
        states=np.concatenate([position, wxyz_to_xyzw(hand), opening], axis=1),
        actions=np.clip(actions, -1.0, 1.0),  # As the controller does.
        joints=parts[JOINTS].astype(np.float32),
        frames=_pixels(parts[IMAGE], where),
        rewards=rewards,
        success=rewards >= 1.0 if "rewards" in group else None,
        terminated=False,
        seed=None,
    )


def _pixels(frames: NDArray[Any], where: str) -> NDArray[np.uint8]:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise UserError(
            f"{where}/obs/{IMAGE} holds {frames.dtype} {frames.shape[1:]}; frames (h, w, 3) uint8 are read."
        )
    return frames


def _declaration(
    arm: Mapping[str, Any],
    settings: Mapping[str, Any],
    shape: tuple[int, ...],
    *,
    base: NDArray[np.float64],
    path: Path,
) -> Declaration:
    """Return what the numbers mean, as the recorded controller says it."""
    low, high = np.array(arm["output_min"], dtype=float), np.array(arm["output_max"], dtype=float)
    bounds = (arm.get("input_min", -1), arm.get("input_max", 1))
    if bounds != (-1, 1) or (low != -high).any() or len(set(high[:3])) > 1 or len(set(high[3:])) > 1:
        raise UserError(
            f"{path}: the controller maps {bounds} to {low.tolist()} .. {high.tolist()}; -1 .. 1 to one step of "
            "position and one of rotation, the same both ways, is read."
        )
    return Declaration(
        keys=DeclaredKeys(f"obs/{IMAGE}", "given", (f"obs/{POSITION}",), ("actions",)),
        frame=DeclaredFrame(height=shape[1], width=shape[2], camera=CANONICAL.camera),
        state=DeclaredState(rotation="quaternion xyzw", gripper_open=OPENING_MAX, gripper_closed=0.0),
        action=DeclaredAction(
            pose="delta", rotation="axis-angle", gripper="absolute", gripper_open=-1.0, gripper_closed=1.0,
            position_unit=float(high[0]), rotation_unit=float(high[3]),
        ),
        rate=float(settings.get("control_freq", 20)),
        base_position=(float(base[0]), float(base[1]), float(base[2])),
    )  # fmt: skip


def _controller(settings: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return the settings of the arm's controller; any but OSC_POSE with changes in the base frame is refused."""
    found = settings.get("controller_configs") or {}
    arm = found.get("body_parts", {}).get("right", found) if isinstance(found, Mapping) else {}
    delta = arm.get("input_type", "delta" if arm.get("control_delta", True) else "absolute") == "delta"
    frame = arm.get("input_ref_frame", "base")
    if arm.get("type") != "OSC_POSE" or not delta or frame not in ("base", "world") or "output_max" not in arm:
        raise UserError(
            f"{path}: the recorded controller is {arm.get('type')!r}, {'changes' if delta else 'absolute poses'} in "
            f"the {frame!r} frame; OSC_POSE with changes in the base frame is read. Convert the actions, or record "
            "them with robosuite's default controller (BASIC)."
        )
    checked: Mapping[str, Any] = arm
    return checked


def _check_robot(settings: Mapping[str, Any], path: Path) -> None:
    robots = settings.get("robots", ["Panda"])
    if list([robots] if isinstance(robots, str) else robots) != ["Panda"]:
        raise UserError(f"{path} was recorded with {robots}; one Panda is read.")


def _base(model: Any, path: Path) -> NDArray[np.float64]:
    """Return where the Panda's base stands in the world, m, from the recorded model; a turned one is refused."""
    if model is None:
        raise UserError(f"{path} holds no model_file, so where the robot's base stands is not known. {EXTRACT}")
    try:
        tree = ElementTree.fromstring(model)
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: the recorded model_file is no XML ({error}). Record it again.") from error
    body = next((b for b in tree.iter("body") if b.get("name") == "robot0_base"), None)
    if body is None or not np.allclose(_floats(body.get("quat", "1 0 0 0")), [1, 0, 0, 0]):
        raise UserError(f"{path}: the recorded model has no robot0_base, or one that is turned in its world.")
    return _floats(body.get("pos", "0 0 0"))


def _floats(text: str) -> NDArray[np.float64]:
    return np.array([float(part) for part in text.split()])


def _json(text: Any, path: Path) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: the attribute env_args is no JSON ({error}). Record it again.") from error
    return said if isinstance(said, dict) else {}


def _number(key: str) -> int:
    return int(key.removeprefix("demo").lstrip("_"))

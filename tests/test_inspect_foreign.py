"""`demomill inspect` on the layouts of others: what it takes for what, and what it says it could not find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.inspection.inspect_dataset import InspectConfig, inspect_dataset
from tests.foreign_layouts import LAYOUTS, SENTENCE, write_foreign

EXPECTED: dict[str, dict[str, Any]] = {
    "bridge": {
        "actions": {"action/open_gripper": 1, "action/rotation_delta": 3, "action/terminate_episode": 1,
                    "action/world_vector": 3},
        "states": {"observation/state": 7},
        "cameras": {"observation/image": "24 x 32 x 3, jpeg"},
        "gripper": "Number 0 of action/open_gripper is taken for the gripper.",
        "missing": ("No name of a task found", "natural_language_embedding is more than 64 numbers"),
    },
    "fractal20220817_data": {
        "actions": {"action/base_displacement_vector": 2, "action/base_displacement_vertical_rotation": 1,
                    "action/gripper_closedness_action": 1, "action/rotation_delta": 3, "action/terminate_episode": 3,
                    "action/world_vector": 3},
        "states": {"observation/base_pose_tool_reached": 7, "observation/gripper_closed": 1,
                   "observation/orientation_box": 6, "observation/orientation_start": 4,
                   "observation/workspace_bounds": 9},
        "cameras": {"observation/image": "24 x 32 x 3, jpeg"},
        "gripper": "Number 0 of action/gripper_closedness_action is taken for the gripper.",
        "missing": ("natural_language_embedding is more than 64 numbers",),
    },
    "taco_play": {
        "actions": {"action/actions": 7, "action/rel_actions_world": 7, "action/terminate_episode": 1},
        "states": {"observation/robot_obs": 15},
        "cameras": {"observation/rgb_gripper": "16 x 16 x 3, jpeg", "observation/rgb_static": "15 x 20 x 3, jpeg"},
        "gripper": "Number 6 of action/actions is taken for the gripper.",
        "missing": ("No name of a task found", "depth_gripper is more than 64 numbers"),
    },
    "libero_spatial_no_noops": {
        "actions": {"action": 7},
        "states": {"observation/joint_state": 7, "observation/state": 8},
        "cameras": {"observation/image": "16 x 16 x 3, jpeg", "observation/wrist_image": "16 x 16 x 3, jpeg"},
        "gripper": "Number 6 of action is taken for the gripper.",
        "missing": ("No name of a task found", "No draw of randomization knobs found"),
    },
    "lab_robot": {
        "actions": {"action": 5},
        "states": {"observation/arm/eef_position": 3, "observation/arm/eef_quat": 4},
        "cameras": {"observation/front/rgb": "12 x 12 x 3, png"},
        "gripper": None,
        "missing": ("No language found; looked for a text in language_instruction", "No gripper found",
                    "No is_first found in the steps.", "No is_last found in the steps."),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_foreign_layout_is_read_and_understood(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    folder = write_foreign(tmp_path, name)
    before = sorted(p.name for p in folder.iterdir())
    result = inspect_dataset(InspectConfig(folder, html=tmp_path / "page.html"))
    assert {key: len(rows) for key, rows in result.actions.items()} == expected["actions"]
    assert {key: len(rows) for key, rows in result.states.items()} == expected["states"]
    assert result.cameras == expected["cameras"]
    assert result.steps == {"train": 57}
    assert result.findings == ()
    assert any("are taken for the position of the hand" in line for line in result.assumed)
    if expected["gripper"] is not None:
        assert expected["gripper"] in result.assumed
    for words in expected["missing"]:
        assert any(words in line for line in result.not_found), words
    if SENTENCE in LAYOUTS[name] or "language_instruction" in LAYOUTS[name]:
        assert [count for _, count in result.sentences] == [2, 2, 2]
    else:
        assert result.sentences == ()
    page = result.page.read_text()
    assert page.count("<figcaption>from above") == 6
    assert page.count("data:image/jpeg") == len(expected["cameras"]) * 6 * 7
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_task_is_found_below_other_names(tmp_path: Path) -> None:
    result = inspect_dataset(InspectConfig(write_foreign(tmp_path, "fractal20220817_data"), html=tmp_path / "p.html"))
    assert dict(result.tasks) == {f"task family name {k}": 2 for k in range(3)}
    assert dict(result.metadata["attributes/env_name"]) == {f"env name {k}": 2 for k in range(3)}


def test_a_quaternion_is_recognized_by_its_norms(tmp_path: Path) -> None:
    from tests.test_inspect import plant, rows

    folder = write_foreign(tmp_path, "fractal20220817_data")

    def bent(features: dict[str, Any]) -> None:
        rows(features, "observation/base_pose_tool_reached", 7)[2, 3:] *= np.float32(1.5)

    plant(folder, {4: bent})
    result = inspect_dataset(InspectConfig(folder, html=tmp_path / "page.html"))
    assert [(f.kind, f.episode, f.reason) for f in result.findings] == [
        ("bad quaternion", 4, "observation/base_pose_tool_reached[3:7] has the norm 1.5 at step 2")
    ]


def test_without_actions_states_or_pictures_the_rest_is_told(tmp_path: Path) -> None:
    LAYOUTS["bare"] = {"language_instruction": "text", "reward": "float32"}
    try:
        result = inspect_dataset(InspectConfig(write_foreign(tmp_path, "bare"), html=tmp_path / "page.html"))
    finally:
        del LAYOUTS["bare"]
    assert result.actions == result.states == result.cameras == {}
    assert result.findings == ()
    assert len(result.sentences) == 3
    for what in ("action", "state", "image", "position of the hand", "gripper"):
        assert any(line.startswith(f"No {what} found; looked for") for line in result.not_found)
    assert "No pictures to show." in result.page.read_text()

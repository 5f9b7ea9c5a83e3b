"""The engine checklist passes for MuJoCo and finds the classic mistakes of a conversion."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import demomill
from bench import check_engine as checklist
from bench.check_engine import CheckEngineConfig, check_engine
from bench.checklist import Finding
from bench.furnished_checks import FURNISHED_CHECKS
from sim.errors import UserError
from sim.mujoco_engine import MujocoEngine
from sim.rotations import wxyz_to_xyzw


def failed(rows) -> set[str]:
    return {row.check.split(":")[0] for row in rows if row.verdict == "fail"}


@pytest.fixture
def broken(monkeypatch):
    """Check a MuJoCo engine whose state passes through a faulty conversion."""

    def run(mistake, *, furnished: tuple[str, ...] = ()) -> set[str]:
        class Broken(MujocoEngine):
            def state(self):
                return mistake(super().state())

        def make(name, scene, *, n):
            made = MujocoEngine(scene, n=n, threads=1)
            return Broken(scene, n=n, threads=1) if name == "under test" else made

        monkeypatch.setattr(checklist, "make_engine", make)
        monkeypatch.setattr(checklist, "ENGINES", {"under test": ""})
        chosen = {name: check for name, check in FURNISHED_CHECKS.items() if name in furnished}
        monkeypatch.setattr(checklist, "FURNISHED_CHECKS", chosen)
        if furnished:
            monkeypatch.setattr(checklist, "CHECKS", {})
        result = check_engine(CheckEngineConfig("under test", worlds=()))
        assert result.ok == (not failed(result.rows))
        return failed(result.rows)

    return run


def test_mujoco_passes_every_check():
    result = check_engine(CheckEngineConfig("mujoco", worlds=(4,), seconds=0.0))
    assert result.ok
    assert {row.verdict for row in result.rows} <= {"pass", "info", "skip"}
    assert result.rows[-1].check == "throughput, 4 worlds"


def test_a_sound_conversion_passes(broken):
    assert broken(lambda state: state) == set()


def test_a_swapped_quaternion_order_is_found(broken):
    def swap(state):
        poses = {k: np.concatenate([v[:, :3], wxyz_to_xyzw(v[:, 3:])], axis=1) for k, v in state.poses.items()}
        return replace(state, poses=poses)

    assert "quaternion order" in broken(swap)


def test_a_swapped_joint_order_is_found(broken):
    assert {"initial poses"} <= broken(lambda state: replace(state, q=state.q[:, ::-1]))


def test_a_world_offset_is_found(broken):
    def offset(state):
        shift = np.concatenate([np.arange(len(state.q))[:, None] * 1.5, np.zeros((len(state.q), 6))], axis=1)
        return replace(state, poses={name: pose + shift for name, pose in state.poses.items()})

    assert {"initial poses", "grasp"} <= broken(offset)


def test_half_an_opening_is_found(broken):
    assert {"initial poses", "gripper"} <= broken(lambda state: replace(state, opening=state.opening / 2))


def test_an_object_that_is_said_to_be_there_is_found(broken):
    def everywhere(state):
        return replace(state, present={name: np.ones_like(there) for name, there in state.present.items()})

    assert broken(everywhere, furnished=("slots",)) == {"slots"}


def test_a_shape_that_is_another_is_found(broken):
    def boxes(state):
        return replace(state, shapes={name: np.zeros_like(shape) for name, shape in state.shapes.items()})

    assert broken(boxes, furnished=("slots",)) == {"slots"}


def test_fixtures_that_nobody_tells_are_found(broken):
    def silent(state):
        return replace(state, fixtures={}, joints={})

    assert broken(silent, furnished=("fixtures", "door")) == {"fixtures", "door"}


def test_a_door_that_does_not_turn_is_found(broken):
    def stuck(state):
        return replace(state, joints={name: 0 * angle for name, angle in state.joints.items()})

    assert broken(stuck, furnished=("door",)) == {"door"}


def test_an_engine_that_cannot_start_is_one_failed_row(monkeypatch):
    def refuse(name, scene, *, n):
        raise UserError("It is not installed.")

    monkeypatch.setattr(checklist, "make_engine", refuse)
    result = check_engine(CheckEngineConfig("mujoco", worlds=()))
    assert not result.ok
    assert [(row.check, row.got) for row in result.rows] == [("engine", "It is not installed.")]


def test_options_that_cannot_work_are_refused():
    with pytest.raises(UserError, match="Did you mean 'mujoco'"):
        CheckEngineConfig("mujocco")
    with pytest.raises(UserError, match="Allowed for each: 1 to"):
        CheckEngineConfig("mujoco", worlds=(0,))


def test_the_verb_prints_json_and_says_by_its_status(capsys, monkeypatch):
    words = ["check-engine", "mujoco", "--worlds", "2", "--seconds", "0", "--json"]
    assert demomill.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert {"check", "expected", "got", "verdict"} == set(answer["rows"][0])
    monkeypatch.setattr(checklist, "FURNISHED_CHECKS", {})
    monkeypatch.setattr(checklist, "CHECKS", {"sure": lambda pair: [Finding("", "a", "b", False)]})
    assert demomill.main(words) == 2

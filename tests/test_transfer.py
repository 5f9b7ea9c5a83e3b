"""`demomill transfer`: the table of engine x engine holds what evaluate-expert measures, and says what never ran."""

from __future__ import annotations

import json

import pytest

from bench.transfer import TransferConfig, trained_on, transfer
from demomill import main
from policies.evaluate_expert import EvaluateExpertConfig, evaluate_expert
from sim.errors import UserError


@pytest.fixture(autouse=True)
def _no_isaac_gym(monkeypatch) -> None:
    monkeypatch.setenv("DEMOMILL_ISAACGYM_PYTHON", "/nowhere/python3.8")


def test_a_cell_is_what_evaluate_expert_measures_and_a_missing_engine_never_ran(tmp_path) -> None:
    made = transfer(TransferConfig(("lift_cube-v1",), engines=("mujoco", "isaacgym"), episodes=6, out=tmp_path))
    measured = evaluate_expert(EvaluateExpertConfig("lift_cube-v1", episodes=6))
    here, there = made.cells
    assert (here.trained, here.judged, here.score) == ("mujoco", "mujoco", measured)
    assert there.score is None
    assert "/nowhere/python3.8" in there.reason
    rows = made.rows()
    assert rows[0] == ("mujoco", "lift_cube-v1", str(measured.success), "never run")
    assert rows[1] == ("isaacgym", "-", "never run", "never run")
    text = (tmp_path / "transfer.md").read_text()
    assert str(measured.success) in text
    assert "isaacgym did not run" in text
    assert json.loads((tmp_path / "transfer.json").read_text())["episodes"] == 6


def test_the_engine_of_training_is_read_from_the_record() -> None:
    assert trained_on("demomill train-expert lift_cube-v1 --engine mujoco_warp --preset physical") == "mujoco_warp"
    assert trained_on("demomill train-expert lift_cube-v1") == "mujoco"


def test_a_table_of_several_tasks_or_of_no_engine_is_refused() -> None:
    with pytest.raises(UserError, match="several tasks"):
        transfer(TransferConfig(("lift_cube-v1", "lift_cube-v2"), engines=("mujoco",), episodes=1))
    with pytest.raises(UserError, match="None of the engines runs here"):
        transfer(TransferConfig(("lift_cube-v1",), engines=("isaacgym",), episodes=1))
    with pytest.raises(UserError, match="mujoco_warp"):
        TransferConfig(("lift_cube-v1",), engines=("mujoco_wrap",))
    with pytest.raises(UserError, match="episodes = 0"):
        TransferConfig(("lift_cube-v1",), episodes=0)


def test_the_command_prints_the_table(capsys) -> None:
    assert main(["transfer", "lift_cube-v1", "--engines", "mujoco", "--episodes", "2"]) == 0
    shown = capsys.readouterr().out
    assert "trained on" in shown
    assert "(n = 2)" in shown

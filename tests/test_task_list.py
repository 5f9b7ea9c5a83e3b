"""`demomill tasks` shows every task, its twins and its shipped expert."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import demomill
from policies import task_list
from tasks.catalogue import TASKS, load_task


def test_every_task_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert demomill.main(["tasks"]) == 0
    told = capsys.readouterr().out
    for name in TASKS:
        task = load_task(name)
        assert name in told
        assert all(twin.host_task in told for twin in task.twins)


def test_json_has_the_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert demomill.main(["tasks", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["tasks"]}
    assert {name: row["digest"] for name, row in rows.items()} == {name: load_task(name).digest() for name in TASKS}


def test_it_takes_no_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert demomill.main(["tasks", "lift_cube"]) == 2
    assert "takes no options" in capsys.readouterr().err


@pytest.mark.parametrize("current", [True, False])
def test_an_expert_of_another_task_version_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, current: bool
) -> None:
    task = load_task("lift_cube")
    rate = {"value": 0.97, "low": 0.95, "high": 0.98, "n": 300, "successes": 291}
    record = {"score": {"success": rate}, "task_digest": task.digest() if current else "0" * 16}
    (tmp_path / task.id).mkdir()
    (tmp_path / task.id / "checkpoint.json").write_text(json.dumps(record))
    monkeypatch.setattr(task_list, "SHIPPED", tmp_path)
    demomill.main(["tasks"])
    told = capsys.readouterr().out
    assert "97.0% [95.0%, 98.0%] of 300 randomized episodes" in told
    assert ("another digest" in told) is not current

"""`demomill view` refuses what is no finished run, and writes nothing then."""

from __future__ import annotations

from pathlib import Path

import pytest

import demomill


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demomill.main(["view", str(tmp_path)]) == 2
    assert "is no benchmark run: it has no start.json" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "start.json").write_text("{}")
    assert demomill.main(["view", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 2
    assert "is not finished" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert demomill.main(["view"]) == 2
    assert "at least one benchmark run" in capsys.readouterr().err

"""The interpreter for the worker's tests: found in order, made where there is none, never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import python38


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A machine without any Python 3.8."""
    monkeypatch.delenv(python38.VARIABLE, raising=False)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(python38, "FOLDER", tmp_path / ".venv38")
    monkeypatch.setattr(python38, "PYTHON", tmp_path / ".venv38" / "bin" / "python")
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_candidates_come_in_order(home, monkeypatch):
    named = program(home / "named", "exit 0")
    made = program(home / ".venv38" / "bin" / "python", "exit 0")
    found = program(home / "bin" / "python3.8", "exit 0")
    pyenv = [program(home / "pyenv" / "versions" / name / "bin" / "python", "exit 0") for name in ("3.8.9", "3.8.18")]
    monkeypatch.setenv(python38.VARIABLE, str(named))
    assert set(python38.candidates()) == {str(path) for path in (named, made, found, *pyenv)}
    assert python38.candidates()[:3] == [str(named), str(made), str(found)]


def test_without_a_python_3_8_it_says_so_and_succeeds(home, capsys):
    assert python38.main() == 0
    assert "no Python 3.8 was found" in capsys.readouterr().out
    assert not (home / ".venv38").exists()


def test_where_numpy_is_there_nothing_is_made(home, capsys):
    program(home / "bin" / "python3.8", "exit 0")
    assert python38.main() == 0
    assert capsys.readouterr().out == ""


def test_an_installation_that_fails_leaves_nothing(home, capsys):
    program(
        home / "bin" / "python3.8",
        'case "$*" in *numpy*) exit 1;; *venv*) echo "no room" >&2; exit 1;; *) exit 0;; esac',
    )
    assert python38.main() == 0
    told = capsys.readouterr().out
    assert "that failed (no room)" in told
    assert not (home / ".venv38").exists()


def test_what_is_no_program_has_nothing(home):
    assert not python38.has(str(home / "absent"))

"""A Python 3.8 for the tests of the Isaac Gym worker, with the test double in the place of Isaac Gym."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOUBLE = ROOT / "tests" / "isaacgym_double"


def candidates() -> list[str]:
    """Return interpreters to try: the one that is named, one that set-up made, one on the path, pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [os.environ.get("DEMOMILL_ISAACGYM_PYTHON", ""), str(ROOT / ".venv38" / "bin" / "python")]
    found.append(shutil.which("python3.8") or "")
    found += [str(path) for path in sorted(pyenv.glob("3.8*/bin/python"), reverse=True)]
    return [path for path in found if path and Path(path).is_file()]


def _has(interpreter: str, *modules: str) -> bool:
    code = "import sys; assert sys.version_info[:2] == (3, 8); " + "; ".join(f"import {name}" for name in modules)
    done = subprocess.run([interpreter, "-c", code], capture_output=True, check=False)
    return done.returncode == 0


@functools.cache
def bare_interpreter() -> str:
    """Return a Python 3.8, or skip."""
    for interpreter in candidates():
        if _has(interpreter, "json"):
            return interpreter
    pytest.skip("no Python 3.8 was found: set DEMOMILL_ISAACGYM_PYTHON, or put python3.8 on the path")


@functools.cache
def interpreter_with_numpy() -> str:
    """Return a Python 3.8 with numpy, or skip; torch is used where it is there."""
    tried = [bare_interpreter(), *candidates()]
    for interpreter in sorted(tried, key=lambda path: not _has(path, "numpy", "torch")):
        if _has(interpreter, "numpy"):
            return interpreter
    pytest.skip(
        f"no Python 3.8 with numpy was found; type: {tried[0]} -m venv .venv38 && .venv38/bin/pip install numpy"
    )


def double_interpreter(folder: Path) -> Path:
    """Return a command that runs Python 3.8 with the double as its isaacgym; without torch, numpy stands in for it."""
    python = interpreter_with_numpy()
    paths = [str(DOUBLE)] if _has(python, "torch") else [str(DOUBLE), str(DOUBLE / "numpy_torch")]
    command = folder / "python3.8-with-double"
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(os.pathsep.join(paths))} PYTHONDONTWRITEBYTECODE=1 "
        f'exec {shlex.quote(python)} "$@"\n'
    )
    command.chmod(0o755)
    return command

"""A Python 3.8 for the tests of the Isaac Gym worker, with the test double in the place of Isaac Gym."""

from __future__ import annotations

import functools
import os
import shlex
from pathlib import Path

import pytest

from scripts.python38 import VARIABLE, candidates, has

ROOT = Path(__file__).resolve().parent.parent
DOUBLE = ROOT / "tests" / "isaacgym_double"


@functools.cache
def bare_interpreter() -> str:
    """Return a Python 3.8, or skip."""
    for interpreter in candidates():
        if has(interpreter):
            return interpreter
    pytest.skip(f"no Python 3.8 was found: put python3.8 on the path, or name one in {VARIABLE}")


@functools.cache
def interpreter_with_numpy() -> str:
    """Return a Python 3.8 with numpy, or skip; one with torch comes first."""
    bare = bare_interpreter()
    for modules in (("numpy", "torch"), ("numpy",)):
        for interpreter in candidates():
            if has(interpreter, *modules):
                return interpreter
    pytest.skip(f"{bare} has no numpy; type: python -m scripts.python38")


def double_paths() -> list[str]:
    """Return the folders that stand in for packages: isaacgym, and numpy in the clothes of torch where it is absent."""
    return [str(DOUBLE)] if has(interpreter_with_numpy(), "torch") else [str(DOUBLE), str(DOUBLE / "numpy_torch")]


def double_interpreter(folder: Path) -> Path:
    """Return a command that runs Python 3.8 with the double as its isaacgym."""
    command = folder / "python3.8-with-double"
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(os.pathsep.join(double_paths()))} PYTHONDONTWRITEBYTECODE=1 "
        f'exec {shlex.quote(interpreter_with_numpy())} "$@"\n'
    )
    command.chmod(0o755)
    return command

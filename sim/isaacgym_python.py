"""The interpreter that Isaac Gym lives in: found by name, asked what it has, told how to get."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import UserError

VARIABLE = "DEMOMILL_ISAACGYM_PYTHON"
"""Environment variable that names the interpreter; the option --isaacgym-python sets it for one command."""

WORKER = Path(__file__).resolve().parent / "isaacgym_worker" / "__main__.py"

HOW_TO_GET = (
    "Isaac Gym Preview 4 is NVIDIA's own download (https://developer.nvidia.com/isaac-gym, with an account) and runs "
    "on Python 3.8 with an NVIDIA GPU. Unpack it, then type: python3.8 -m venv isaac && isaac/bin/pip install -e "
    f"isaacgym/python ninja && export {VARIABLE}=$PWD/isaac/bin/python && demomill check-engine isaacgym"
)


@dataclass(frozen=True)
class Installed:
    """What the interpreter said of itself."""

    interpreter: str
    python: str
    isaacgym: str
    torch: str
    numpy: str
    # Name of the GPU and its CUDA capability; "" and () where torch sees none.
    gpu: str
    capability: tuple[int, ...] = ()


def find_interpreter() -> str:
    """Return the path of the interpreter that the environment names, or say what is missing."""
    named = os.environ.get(VARIABLE, "").strip()
    if not named:
        raise UserError(f"The Isaac Gym engine needs a Python 3.8 with Isaac Gym; {VARIABLE} names none. {HOW_TO_GET}")
    found = shutil.which(named)
    if found is None:
        raise UserError(f"{VARIABLE} = {named!r} is no program that can be run. {HOW_TO_GET}")
    return found


def environment(interpreter: str) -> dict[str, str]:
    """Return the worker's environment variables.

    Isaac Gym loads libpython by name, and conda keeps it where the loader does not look; and paths of this Python have
    no meaning in that one.
    """
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    libraries = str(Path(interpreter).absolute().parent.parent / "lib")
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, [libraries, variables.get("LD_LIBRARY_PATH", "")]))
    return variables


def ask_interpreter(interpreter: str, *, timeout: float = 300.0) -> Installed:
    """Return what is installed there; the first import compiles a part of Isaac Gym and takes a minute."""
    command = [interpreter, str(WORKER), "--probe"]
    try:
        done = subprocess.run(
            command,
            env=environment(interpreter),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{interpreter} did not say within {timeout:.0f} s what it has. Try: {' '.join(command)}"
        ) from error
    except OSError as error:
        raise UserError(f"{interpreter} could not be run: {error.strerror}. {HOW_TO_GET}") from error
    lines = done.stdout.strip().splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if not told or "error" in told:
        raise UserError(_unusable(interpreter, told, done.stderr))
    return Installed(interpreter=interpreter, **_fields(told))


def _fields(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ("python", "isaacgym", "torch", "numpy", "gpu")
    return {**{name: str(told[name]) for name in names}, "capability": tuple(told.get("capability", ()))}


def _unusable(interpreter: str, told: Mapping[str, Any], errors: str) -> str:
    """Return what to say of an interpreter that cannot import Isaac Gym."""
    last = (errors.strip().splitlines() or ["nothing was said"])[-1]
    why = told.get("error") or last[:300]
    version = f" (Python {told['python']})" if "python" in told else ""
    return f"{interpreter}{version} cannot run Isaac Gym: {' '.join(str(why).split())[:400]}. {HOW_TO_GET}"

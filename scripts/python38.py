"""Make .venv38, the Python 3.8 with numpy in which the Isaac Gym worker is tested; does nothing where it is made.

It needs a Python 3.8 and never fails for want of one: the tests that use it are then skipped, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv38"
PYTHON = FOLDER / "bin" / "python"

NUMPY = "numpy==1.24.4"
"""The last numpy for Python 3.8."""

VARIABLE = "DEMOMILL_ISAACGYM_PYTHON"


def candidates() -> list[str]:
    """Return interpreters to try, best first: the one that is named, .venv38's, python3.8 on the path, pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [os.environ.get(VARIABLE, ""), str(PYTHON), shutil.which("python3.8") or ""]
    found += [str(path) for path in sorted(pyenv.glob("3.8*/bin/python"), reverse=True)]
    return [path for path in found if path and Path(path).is_file()]


def has(interpreter: str, *modules: str) -> bool:
    """Return whether `interpreter` is a Python 3.8 that can import these modules."""
    code = "import sys; assert sys.version_info[:2] == (3, 8)" + "".join(f"; import {name}" for name in modules)
    try:
        return subprocess.run([interpreter, "-c", code], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def main() -> int:
    """Make .venv38 if there is a Python 3.8 and none of them has numpy yet."""
    found = [path for path in candidates() if has(path)]
    if any(has(path, "numpy") for path in found):
        return 0
    if not found:
        print("set-up: no Python 3.8 was found; the tests of the Isaac Gym worker will be skipped.")
        return 0
    print(f"set-up: making {FOLDER.name} with {found[0]} for the tests of the Isaac Gym worker")
    commands = (
        [found[0], "-m", "venv", "--clear", str(FOLDER)],
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NUMPY],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            print(f"set-up: that failed ({last}); the tests of the Isaac Gym worker will be skipped.")
            shutil.rmtree(FOLDER, ignore_errors=True)
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

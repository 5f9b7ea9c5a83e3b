"""Write requirements.lock: the exact versions of everything installed in .venv."""

from __future__ import annotations

import re
import subprocess
import sys

from scripts.setup import LOCK, VENV

HEADER = """\
# Exact versions of every package, for Python 3.11 on Linux. `make lock` writes this file from .venv.
# scripts/setup.py installs it; torch comes as the CPU build where there is no NVIDIA GPU.
"""
SKIPPED = frozenset({"demomill", "pip"})


def pins(freeze: str) -> list[str]:
    """Return the lines of `pip freeze --all` as pins without local version labels ("+cpu")."""
    lines = [line for line in freeze.splitlines() if "==" in line and not line.startswith(("#", "-"))]
    exact = [re.sub(r"\+.*$", "", line) for line in lines]
    return sorted((line for line in exact if line.split("==")[0] not in SKIPPED), key=str.lower)


def main() -> int:
    """Write the lock from the environment .venv."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "freeze", "--all", "--disable-pip-version-check"]
    freeze = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    LOCK.write_text(HEADER + "\n".join(pins(freeze)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

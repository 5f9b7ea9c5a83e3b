"""Make this checkout ready: system packages, the virtual environment .venv and the pinned packages in it.

Every step leaves a stamp with the digest of what it depends on, so a second run looks and ends in a moment.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from scripts import system_packages
from sim.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
BUILD_TOOLS = frozenset({"setuptools", "wheel", "hatchling", "editables", "packaging", "pathspec", "pluggy"})
"""Packages that build this one and the few that come as source; installed first, so that builds are pinned too."""

SKIP_SYSTEM = "DEMOMILL_SKIP_SYSTEM"
"""Environment variable that leaves the system packages to the user, whatever set-up finds."""

SPACE = 8 * 2**30
"""Bytes that the environment and pip's temporary files take."""


def main() -> int:
    """Run the steps that have not been done yet; return 0, or 2 after a paragraph that says what to do."""
    try:
        _check_python()
        done = [
            _system(),
            _once("packages", _packages_digest(), _install_packages),
            _once("project", _digest((ROOT / "pyproject.toml").read_bytes()), _install_project),
        ]
        if any(done):
            return subprocess.run([VENV / "bin" / "demomill", "doctor"], cwd=ROOT, check=False).returncode
    except UserError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        return 130
    return 0


def _check_python() -> None:
    if sys.version_info[:2] != (3, 11):
        raise UserError(
            f"The pinned packages are those of Python 3.11; this is Python {platform.python_version()}. "
            "Install Python 3.11 (Debian 12 has it as python3.11; elsewhere: pyenv install 3.11), then type: "
            "make PYTHON=python3.11 test"
        )


def _once(name: str, digest: str, step: Callable[[], str]) -> bool:
    """Run `step` unless the stamp `name` holds `digest`; return whether it ran."""
    stamp = VENV / ".demomill" / name
    if stamp.is_file() and stamp.read_text() == digest:
        return False
    began = time.monotonic()
    told = step()
    print(f"{told} ({time.monotonic() - began:.0f} s)", flush=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)
    return True


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _system() -> bool:
    """Install the system packages that are missing, if any; looking costs a tenth of a second."""
    if os.environ.get(SKIP_SYSTEM):
        return False
    began = time.monotonic()
    told = system_packages.ensure_system_packages()
    if told:
        print(f"{told} ({time.monotonic() - began:.0f} s)", flush=True)
    return bool(told)


def _packages_digest() -> str:
    return _digest(LOCK.read_bytes(), sys.version.encode(), str(has_nvidia_gpu()).encode())


def has_nvidia_gpu() -> bool:
    """Return whether an NVIDIA driver is loaded."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _install_packages() -> str:
    _make_environment()
    pins = read_pins()
    torch = next(pin for pin in pins if pin.startswith("torch=="))
    tools = [pin for pin in pins if pin.split("==")[0] in BUILD_TOOLS]
    print(f"Python packages: installing {len(pins)} pinned packages into .venv, about two minutes", flush=True)
    _pip("install", "--no-deps", *tools)
    _pip("install", "--no-deps", "--no-build-isolation", *(pin for pin in pins if pin not in (torch, *tools)))
    _install_torch(torch)
    return f"Python packages: {len(pins)} installed"


def read_pins() -> list[str]:
    """Return the lines ``name==version`` of the lock."""
    return [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]


def _make_environment() -> None:
    """Make .venv, or keep the one that is there; one of another Python is not touched."""
    python = VENV / "bin" / "python"
    if python.exists():
        found = _said([str(python), "-c", "import sys; print(*sys.version_info[:2], sep='.')"])
        if found != "3.11":
            raise UserError(f"{VENV} holds Python {found or 'nothing that runs'}, not 3.11. Type: rm -r {VENV}")
        if _said([str(python), "-m", "pip", "--version"]):
            return
    if shutil.disk_usage(ROOT).free < SPACE:
        raise UserError(f"Set-up needs {SPACE >> 30} GB of free disk in {ROOT}. Free some, then run the command again.")
    _run([sys.executable, "-m", "venv", str(VENV)])


def _said(command: list[str]) -> str:
    """Return what the command printed; nothing where it failed."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _install_torch(pin: str) -> None:
    """Install the CPU build where no NVIDIA GPU is: the default one would bring several GB of CUDA.

    The build is looked for where pip looks anyway, then in PyTorch's own index of CPU wheels if that answers; the
    default build, with its dependencies, comes last.
    """
    if not has_nvidia_gpu():
        if _pip("install", "--no-deps", f"{pin}+cpu", required=False):
            return
        if _answers(CPU_WHEELS) and _pip("install", "--no-deps", "--index-url", CPU_WHEELS, pin, required=False):
            return
    _pip("install", "--constraint", str(LOCK), pin)


def _answers(url: str) -> bool:
    """Return whether `url` can be reached within a few seconds."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/torch/", method="HEAD"), timeout=5):
            return True
    except OSError:
        return False


def _install_project() -> str:
    _pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    return "project: installed in .venv as the command demomill"


def _pip(*arguments: str, required: bool = True) -> bool:
    verb, *rest = arguments
    # Without --no-compile pip would compile tens of thousands of modules that nobody imports.
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    return _run([str(VENV / "bin" / "python"), "-m", "pip", verb, *options, *rest], required=required)


def _run(command: list[str], *, required: bool = True) -> bool:
    """Run a command; return whether it succeeded, or tell the last lines of a required one that did not."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode and required:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise UserError(f"This command failed with status {done.returncode}: {' '.join(command[:8])} ...\n{tail}")
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main())

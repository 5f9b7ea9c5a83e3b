"""What can run on this machine, found out by running it, and the exact command that mends what cannot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.probes import ROOT, Trial, try_code, try_renderer
from sim.errors import UserError
from sim.isaacgym_python import HOW_TO_GET, VARIABLE, ask_interpreter, find_interpreter
from sim.ranges import ABOVE_0, require

GRAPHICS = "mesa-vulkan-drivers libgl1-mesa-dri libegl-mesa0 libosmesa6 libegl1 libgl1 libvulkan1 libglx-mesa0"
"""Debian and Ubuntu packages that draw without a GPU and without a screen."""

DISK_NEEDED = 4 * 2**30
"""Bytes that the quickstart leaves behind, with room to spare."""


@dataclass(frozen=True)
class DoctorConfig:
    """How the machine is examined."""

    # Longest time that one trial may take, s.
    timeout: float = 180.0
    # Folder whose free disk space counts: where runs and datasets will be written.
    folder: Path = Path()

    def __post_init__(self) -> None:
        require(self, {"timeout": ABOVE_0})
        if not self.folder.is_dir():
            raise UserError(f"folder = {self.folder} is no folder. Name one that exists, where runs will be written.")


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    what: str
    state: Literal["ok", "missing"]
    # What was found, or why it failed.
    detail: str
    # The exact command that mends it; empty where nothing has to be done.
    mend: str = ""
    # The quickstart cannot do without it.
    needed: bool = True


@dataclass(frozen=True)
class DoctorReport:
    """Everything that was tried; `ok` where all that the quickstart needs works."""

    ok: bool
    checks: tuple[Check, ...]

    def __rich__(self) -> RenderableType:
        """Return the table, and below it the commands that mend what is missing."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("what", "state", "detail"):
            table.add_column(column, overflow="fold")
        for check in self.checks:
            table.add_row(Text(check.what), _state(check), Text(check.detail))
        mends = [Text(f"{check.what}: {check.mend}") for check in self.checks if check.mend]
        verdict = "Everything the quickstart needs works." if self.ok else "The quickstart cannot run yet."
        heading = [Text("\nTo mend:", style="bold")] if mends else []
        return Group(table, *heading, *mends, Text(f"\n{verdict}", style="bold"))


def doctor(config: DoctorConfig) -> DoctorReport:
    """Try everything once, two trials at a time, and report."""
    with ThreadPoolExecutor(2) as pool:
        trials = {name: pool.submit(try_code, name, timeout=config.timeout) for name in _CODE_CHECKS}
        frames = {name: pool.submit(try_renderer, name, timeout=config.timeout) for name in ("egl", "osmesa")}
        tried = {name: future.result() for name, future in trials.items()}
        drawn = {name: future.result() for name, future in frames.items()}
    checks = (
        _python(),
        *_renderers(drawn["egl"], drawn["osmesa"]),
        *(_from_trial(name, trial) for name, trial in tried.items()),
        _gpu(),
        _isaacgym(config.timeout),
        _disk(config.folder),
    )
    return DoctorReport(ok=all(check.state == "ok" for check in checks if check.needed), checks=checks)


_CODE_CHECKS = {
    "maniskill": "ManiSkill host (Vulkan)",
    "robosuite": "robosuite host",
    "mujoco": "MuJoCo engine",
    "torch": "torch",
    "rl_games": "rl_games",
}
"""Name of a trial -> what it is called in the report; the slowest come first."""


def _python() -> Check:
    return Check("Python", "ok", f"Python {platform.python_version()}, {sys.executable}")


def _renderers(egl: Trial, osmesa: Trial) -> tuple[Check, Check]:
    """Return the two ways to draw for MuJoCo; one of them is enough."""
    none = not (egl.ok or osmesa.ok)
    return (
        _renderer("MuJoCo frames, EGL", egl, needed=egl.ok or none),
        _renderer("MuJoCo frames, OSMesa", osmesa, needed=osmesa.ok and not egl.ok),
    )


def _renderer(what: str, trial: Trial, *, needed: bool) -> Check:
    if trial.ok:
        return Check(what, "ok", trial.detail, needed=needed)
    return Check(what, "missing", trial.detail, graphics_command(), needed=needed)


def _from_trial(name: str, trial: Trial) -> Check:
    what = _CODE_CHECKS[name]
    if trial.ok:
        return Check(what, "ok", trial.detail)
    return Check(what, "missing", trial.detail, _mend(trial.detail))


def _mend(detail: str) -> str:
    """Return the command for a package that is not installed, or else for a renderer that does not draw."""
    if detail.startswith(("ModuleNotFoundError", "ImportError")) or "is not installed" in detail:
        if (ROOT / "scripts" / "setup.py").exists():
            return f"cd {ROOT} && rm -rf .venv/.demomill && make setup"
        return f"{sys.executable} -m pip install 'demomill[all]'"
    return graphics_command()


def graphics_command() -> str:
    """Return the command that installs software renderers on this system."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    family = {system.get("ID", ""), *system.get("ID_LIKE", "").split()}
    if system.get("VERSION_CODENAME") == "bookworm":
        source = "deb http://deb.debian.org/debian bookworm-backports main"
        listed = "/etc/apt/sources.list.d/backports.list"
        add = f"echo '{source}' | sudo tee {listed} && sudo apt-get update"
        return f"{add} && sudo apt-get install -y -t bookworm-backports {GRAPHICS}"
    if family & {"debian", "ubuntu"}:
        return f"sudo apt-get update && sudo apt-get install -y {GRAPHICS}"
    if "fedora" in family:
        return "sudo dnf install -y mesa-vulkan-drivers mesa-dri-drivers mesa-libEGL mesa-libGL vulkan-loader"
    return "install Mesa 24.3 or newer with its EGL and lavapipe drivers, and the Vulkan loader"


def _gpu() -> Check:
    if shutil.which("nvidia-smi") is None:
        return Check("NVIDIA GPU", "missing", "none found; everything runs on the CPU", needed=False)
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Check("NVIDIA GPU", "missing", f"nvidia-smi failed: {done.stdout.strip()[:200]}", needed=False)
    return Check("NVIDIA GPU", "ok", "; ".join(done.stdout.strip().splitlines()), needed=False)


def _isaacgym(timeout: float) -> Check:
    """Look for the Isaac Gym engine's interpreter and ask it what it has."""
    what = "Isaac Gym engine"
    if not os.environ.get(VARIABLE):
        return Check(what, "missing", f"{VARIABLE} names no interpreter", HOW_TO_GET, needed=False)
    try:
        installed = ask_interpreter(find_interpreter(), timeout=timeout)
    except UserError as error:
        return Check(what, "missing", str(error).removesuffix(HOW_TO_GET).strip(), HOW_TO_GET, needed=False)
    gpu = installed.gpu or "no GPU that torch sees"
    detail = f"isaacgym {installed.isaacgym}, torch {installed.torch}, Python {installed.python}, {gpu}"
    return Check(what, "ok", f"{detail}; the checklist: demomill check-engine isaacgym", needed=False)


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.0f} GiB free in {folder.resolve()}; the quickstart needs {DISK_NEEDED >> 30}"
    if free >= DISK_NEEDED:
        return Check("disk", "ok", detail)
    return Check("disk", "missing", detail, f"free space in {folder.resolve()}, or run in another folder")


def _state(check: Check) -> Text:
    if check.state == "ok":
        return Text("ok", style="green")
    return Text("missing", style="red") if check.needed else Text("absent", style="yellow")

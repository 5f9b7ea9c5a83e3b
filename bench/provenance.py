"""What a run must remember about where it ran: versions, revision, processor, renderer."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("demomill", "mujoco", "robosuite", "mani_skill", "sapien", "numpy", "torch", "rl-games", "gymnasium")
"""Packages whose version a result depends on."""

ROOT = Path(__file__).resolve().parent.parent


def package_versions() -> dict[str, str | None]:
    """Return the installed version of each package, None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def git_revision() -> dict[str, Any] | None:
    """Return the revision of the source tree and whether it was changed since; None outside a git checkout."""
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return None
    return {"revision": revision, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    """Return what git says about the source tree, or None where it says nothing."""
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine() -> dict[str, Any]:
    """Return processor, cores this process may use, operating system and Python."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Return the processor's name as Linux knows it, else as Python does."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def renderers() -> dict[str, Any]:
    """Return what draws frames: MuJoCo's OpenGL as probed, and the Vulkan driver that ManiSkill will use."""
    from bench.hosts.vulkan import CHOSEN, lavapipe_icd
    from sim.errors import UserError
    from sim.gl import probe_renderer

    try:
        opengl: dict[str, str] = probe_renderer()
    except UserError as error:
        opengl = {"error": str(error)}
    chosen = next((os.environ[name] for name in CHOSEN if os.environ.get(name)), None)
    return {"opengl": opengl, "vulkan": chosen or str(lavapipe_icd() or "none found")}

"""What set-up needs from the operating system: compilers for one package, and libraries that draw without a screen."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.apt_sources import APT, backports_source, has_suite, read_sources
from sim.errors import UserError

MESA_MINIMUM = (24, 3)
"""Mesa from which on lavapipe can draw for ManiSkill (VK_KHR_external_semaphore_fd)."""

BACKPORTS = {"bookworm": "bookworm-backports"}
"""Debian releases whose own Mesa is older, and the suite that has a newer one."""

GRAPHICS = (
    "mesa-vulkan-drivers",
    "libgl1-mesa-dri",
    "libegl-mesa0",
    "libglx-mesa0",
    "libegl1",
    "libgl1",
    "libvulkan1",
)
OPTIONAL = ("libosmesa6",)
"""A second way to draw for MuJoCo, used where EGL fails. Newest systems no longer have it."""

LIBRARIES = ("libEGL.so.1", "libEGL_mesa.so.0", "libGL.so.1", "libGLX_mesa.so.0", "libvulkan.so.1")

BY_HAND = """Install by hand, then run the same command again:
  Debian 12:      add the suite bookworm-backports, then: apt-get install -t bookworm-backports {packages}
  Debian, Ubuntu: apt-get install {packages}
  Fedora:         dnf install mesa-vulkan-drivers mesa-dri-drivers mesa-libEGL mesa-libGL vulkan-loader glib2 gcc
  Arch:           pacman -S vulkan-swrast mesa vulkan-icd-loader glib2 gcc
If the libraries are there and set-up does not see them, type: DEMOMILL_SKIP_SYSTEM=1 make test"""


@dataclass(frozen=True)
class Missing:
    """What the machine lacks, in words, and the Debian packages that bring it."""

    reasons: tuple[str, ...]
    graphics: bool
    others: tuple[str, ...]


def find_missing() -> Missing:
    """Return what this machine lacks; empty reasons mean that nothing has to be installed."""
    importlib.invalidate_caches()
    libraries = _loadable()
    reasons = [f"the library {name}" for name in LIBRARIES if name not in libraries]
    if not any(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json")):
        reasons.append("the software Vulkan driver lavapipe")
    version = mesa_version()
    if version is not None and version < MESA_MINIMUM:
        reasons.append(f"Mesa {_dotted(MESA_MINIMUM)} or newer (found {_dotted(version)})")
    graphics = bool(reasons)
    others = {
        "libglib2.0-0": "libgthread-2.0.so.0" in libraries,
        "gcc": shutil.which("gcc") is not None,
        "libc6-dev": Path("/usr/include/stdio.h").exists(),
        "linux-libc-dev": Path("/usr/include/linux/input.h").exists(),
        f"python3.{sys.version_info.minor}-dev": Path(sysconfig.get_paths()["include"], "Python.h").exists(),
        f"python3.{sys.version_info.minor}-venv": importlib.util.find_spec("ensurepip") is not None,
    }
    absent = tuple(name for name, present in others.items() if not present)
    return Missing((*reasons, *(f"the package {name}" for name in absent)), graphics, absent)


def mesa_version() -> tuple[int, int] | None:
    """Return the version of the installed Mesa Vulkan drivers, or None where dpkg does not know it."""
    if shutil.which("dpkg-query") is None:
        return None
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "mesa-vulkan-drivers"]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if len(words) != 2 or words[0] != "installed":
        return None
    numbers = words[1].split(":")[-1].split(".")
    return int(numbers[0]), int(numbers[1])


def ensure_system_packages() -> str:
    """Install what is missing with the package manager; return one line about it, or nothing where all is there."""
    missing = find_missing()
    if not missing.reasons:
        return ""
    prefix = _privilege(missing)
    print(f"system packages: installing, because the machine lacks {', '.join(missing.reasons)}", flush=True)
    _apt(prefix, "update", required=False)
    if missing.graphics:
        suite = _backports(prefix)
        target = ("-t", suite) if suite else ()
        _apt(prefix, "install", *target, *GRAPHICS)
        _apt(prefix, "install", *target, *OPTIONAL, required=False)
    if missing.others:
        _apt(prefix, "install", *missing.others)
    left = find_missing()
    if left.reasons:
        raise UserError(f"After installing, the machine still lacks {', '.join(left.reasons)}.\n{_by_hand(left)}")
    return "system packages: installed"


def _loadable() -> set[str]:
    """Return the names of the libraries that the dynamic linker knows."""
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    if not Path(ldconfig).exists():
        return set()
    listed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
    return {line.split()[0] for line in listed.splitlines() if "=>" in line}


def _privilege(missing: Missing) -> list[str]:
    """Return the command prefix that lets apt-get install, or tell what to do where there is none."""
    told = f"The machine lacks {', '.join(missing.reasons)}."
    if shutil.which("apt-get") is None:
        raise UserError(f"{told} Set-up installs system packages on Debian and Ubuntu only.\n{_by_hand(missing)}")
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        raise UserError(f"{told} Installing them needs root, and sudo is not here.\n{_by_hand(missing)}")
    if sys.stdin.isatty():
        return [sudo]
    if subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
        raise UserError(f"{told} Installing them needs root, and sudo asks for a password.\n{_by_hand(missing)}")
    return [sudo, "-n"]


def _by_hand(missing: Missing) -> str:
    return BY_HAND.format(packages=" ".join((*GRAPHICS, *OPTIONAL, *missing.others)))


def _backports(prefix: Sequence[str]) -> str | None:
    """Return the suite that Mesa must come from, made known to apt; None where the stock one will do."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    suite = BACKPORTS.get(codename)
    if suite is None or has_suite(read_sources(), suite):
        return suite
    entry = backports_source(read_sources(), codename)
    if entry is None:
        raise UserError(
            f"None of the apt sources of this machine serves {codename}, so its backports cannot be derived. "
            f"Add the suite {suite} (component main) to {APT}/sources.list.d and run the same command again."
        )
    path = APT / "sources.list.d" / "demomill-backports.sources"
    _run([*prefix, "tee", str(path)], text=entry)
    _apt(prefix, "update", required=False)
    return suite


def _apt(prefix: Sequence[str], verb: str, *arguments: str, required: bool = True) -> None:
    options = ["-y", "-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
    if verb == "install":
        options.append("--no-install-recommends")
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", verb, *options, *arguments]
    _run(command, required=required)


def _run(command: Sequence[str], *, text: str | None = None, required: bool = True) -> None:
    """Run a command quietly; where a required one fails, its last lines are told."""
    done = subprocess.run(
        command, input=text, stdin=None if text else subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if not done.returncode:
        return
    tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
    if required:
        raise UserError(f"This command failed with status {done.returncode}: {' '.join(command)}\n{tail}")
    print(f"not possible, going on without: {' '.join(command)}", flush=True)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)

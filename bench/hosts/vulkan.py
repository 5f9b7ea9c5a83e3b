"""The software Vulkan driver that ManiSkill needs, and what to say where it is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.errors import UserError

ICD_FOLDERS = (Path("/usr/share/vulkan/icd.d"), Path("/usr/local/share/vulkan/icd.d"), Path("/etc/vulkan/icd.d"))
CHOSEN = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")


def lavapipe_icd() -> Path | None:
    """Return the driver file of Mesa's lavapipe, or None where it is not installed."""
    found = (path for folder in ICD_FOLDERS for path in sorted(folder.glob("lvp_icd*.json")))
    return next(found, None)


def prefer_lavapipe() -> None:
    """Let Vulkan use lavapipe unless the user has chosen a driver: frames are then equal on every machine."""
    icd = lavapipe_icd()
    if icd is not None and not any(os.environ.get(name) for name in CHOSEN):
        os.environ["VK_ICD_FILENAMES"] = str(icd)


@contextmanager
def needs_vulkan(who: str) -> Iterator[None]:
    """Tell a failure to find a rendering device as a `UserError` that says what to install."""
    chosen = next((f"{name}={os.environ[name]}" for name in CHOSEN if os.environ.get(name)), "no driver was chosen")
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"{who} needs a working Vulkan renderer, even for state only, and found none ({error}; {chosen}). "
            "Without a GPU it needs Mesa's lavapipe, 24.3 or newer. On Debian 12 type: sudo apt install -t "
            "bookworm-backports mesa-vulkan-drivers libvulkan1. On Ubuntu 25.04, Debian 13 or newer: sudo apt install "
            "mesa-vulkan-drivers libvulkan1. `demomill doctor` then tests it by rendering a frame."
        ) from error

"""Whether a dataset fits on the disk: estimated before the first episode, checked against the first shards."""

from __future__ import annotations

import shutil
from pathlib import Path

from sim.errors import UserError

BYTES_PER_PIXEL = 0.35
"""Of a JPEG of quality 95 of a rendered frame with textures and sensor noise, rounded down."""

SHARE_OF_HORIZON = 0.4
"""Length of a kept episode as a share of the task's horizon, rounded down."""

RESERVE = 64 * 2**20
"""Bytes that are left free in any case."""


def estimated_bytes(*, episodes: int, horizon: int, image_size: int, cameras: int) -> int:
    """Return about how many bytes that many episodes take, rather too few than too many."""
    frames = episodes * horizon * SHARE_OF_HORIZON * cameras
    return int(frames * image_size**2 * BYTES_PER_PIXEL)


def size_text(count: int) -> str:
    """Return a number of bytes as "3.1 GB" or "12 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def free_bytes(folder: Path) -> int:
    """Return the bytes free on the disk of `folder`, or of the nearest folder above it that exists."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def require_space(folder: Path, needed: int, *, why: str) -> None:
    """Refuse to go on where fewer than `needed` bytes and a reserve are free at `folder`."""
    existing = _existing(folder)
    free = free_bytes(folder)
    if free < needed + RESERVE:
        raise UserError(
            f"The dataset does not fit: {why} {size_text(needed)} beside a reserve of {size_text(RESERVE)}, and "
            f"{existing} has {size_text(free)} free. Free some space, generate fewer episodes, or choose a folder on "
            "another disk. Nothing that was finished is lost."
        )

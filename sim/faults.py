"""What the command line says where a package is missing, the disk is full, or a reader has gone."""

from __future__ import annotations

import errno
import os
import sys

EXTRAS = {
    "torch": "vla",
    "rl_games": "expert",
    "tensorboard": "expert",
    "matplotlib": "expert",
    "tokenizers": "vla",
    "warp": "warp",
    "mujoco_warp": "warp",
    "mani_skill": "bench",
    "sapien": "bench",
    "robosuite": "render",
    "trimesh": "render",
    "fast_simplification": "render",
    "websockets": "serve",
    "msgpack": "serve",
    "ray": "ray",
    "h5py": "recordings",
    "transformers": "pretrained",
    "peft": "pretrained",
    "huggingface_hub": "pretrained",
}
"""Import name of an optional package -> the extra that brings it."""


UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""System errors that speak of the place that somebody named. A file that is not there may be a fault of ours."""


def told_missing(error: ModuleNotFoundError) -> int:
    """Say which extra brings a package that is not installed; anything else is a fault of ours."""
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        raise error
    extra = EXTRAS[package]
    print(
        f"demomill: this verb needs the package {package!r}, which is not installed. "
        f"Type: pip install 'demomill[{extra}]'; in a checkout: make setup",
        file=sys.stderr,
    )
    return 2


def told_system(error: OSError) -> int:
    """Say that the disk is full or a place unusable, end quietly where a pipe has no reader; else it is our fault."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        print(
            f"demomill: the disk is full ({error}). What was finished before is whole. "
            "Free some space and run the same command again; it continues where it stopped.",
            file=sys.stderr,
        )
        return 2
    if error.errno in UNUSABLE and error.filename:
        print(
            f"demomill: {error.filename} cannot be used: {error.strerror}. Name another file or folder, or mend its "
            "permissions.",
            file=sys.stderr,
        )
        return 2
    raise error

"""Weights beside their record: taken only if they are the very file that the record describes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from sim.errors import UserError
from sim.files import sha256

T = TypeVar("T")


def read_weights(path: Path, *, expected: str, load: Callable[[Path], dict[str, T]]) -> dict[str, T]:
    """Return the tensors in `path`, read by `load`; a file whose SHA-256 is not `expected` is refused."""
    if not path.is_file():
        raise UserError(
            f"{path} does not exist. A checkpoint is a folder with weights and their record: restore both files, or "
            "train again."
        )
    digest = sha256(path)
    if digest != expected:
        raise UserError(
            f"{path} is not the file that its record describes: its SHA-256 is {digest[:16]}..., the record says "
            f"{str(expected)[:16]}... It is damaged or was replaced. Restore both files, or train again."
        )
    try:
        return load(path)
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read: {error}. Restore it, or train again.") from error

"""Files that are whole or absent: written beside, flushed, renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.errors import UserError

MARKS = {
    "checkpoint.json": "a checkpoint",
    "dataset_info.json": "a dataset",
    "overnight.json": "an overnight job",
    "start.json": "a benchmark run",
    "study.json": "a study",
}
"""File by which the folder of a result is known -> what lies there."""


def require_folder(folder: Path, name: str = "out", *, own: str | None = None) -> None:
    """Refuse, before any work, a folder that could not be made or written to; `name` is what it was given as.

    With `own`, the mark of what will be written, a folder that holds something else of ours is refused too.
    """
    for mark in MARKS if own is not None else ():
        if mark != own and (folder / mark).is_file():
            raise UserError(f"{name} = {folder} already holds {MARKS[mark]} ({mark}). Name another folder.")
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    if not existing.is_dir():
        raise UserError(f"{name} = {folder} cannot be a folder: {existing} is a file. Name another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{name} = {folder} cannot be written: no permission in {existing}. Name another folder.")


def require_file(path: Path | None, name: str) -> None:
    """Refuse, before any work, a file that could not be written; None is where none is asked for."""
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"{name} = {path} is a folder. Name a file in it, for example {path / 'page.html'}.")
    require_folder(path.parent, name)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any failure nothing is left.

    A full disk, and a place that cannot be written, is told as a `UserError`; what stood at `path` before is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        descriptor = os.open(beside, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: {path} could not be written. What was finished before is whole. "
                "Free some space and run the same command again; it continues where it stopped."
            ) from error
        if error.filename is not None and Path(error.filename) in (path, beside, *beside.parents):
            raise UserError(f"{path} cannot be written: {error.strerror}. Name another place for it.") from error
        raise
    finally:
        if beside.exists():
            beside.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with written_whole(path) as beside:
        beside.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all. NaN is refused: it is not JSON."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`; a file that is not JSON is told as a `UserError`."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not JSON ({error}). It is damaged, or it is another kind of file.") from error


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """Return the JSON object in `path`; one that lacks one of `keys`, and anything else, is told as a `UserError`."""
    record = read_json(path)
    missing = [key for key in keys if key not in record] if isinstance(record, dict) else ["everything"]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}. It is damaged, or it is another kind of file.")
    return dict(record)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """Return a short digest (16 hexadecimal digits) of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

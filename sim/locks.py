"""Folders that one process works in at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.errors import UserError

UNKNOWN = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP)
"""What file systems answer that cannot lock a folder (NFS, some clusters'): there nothing is watched over."""


def hold(descriptor: int, folder: Path, *, doing: str) -> None:
    """Lock an open file that stands for `folder`; refuse one that another process holds, `doing` the same there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"Another process is {doing} in {folder} right now. Wait until it has finished, stop it, or choose another "
            "folder with --out."
        ) from error


@contextmanager
def alone_in(folder: Path, *, doing: str) -> Iterator[None]:
    """Make `folder` and hold it; refuse one that another process holds, `doing` ("training") the same there.

    The lock is the folder's own: it leaves no file and ends with the process, however that ends. A folder that was made
    here and stayed empty goes again: whoever was refused something finds nothing half made.
    """
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            hold(descriptor, folder, doing=doing)
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
        yield
    finally:
        os.close(descriptor)
        if fresh and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

"""An append-only log of JSON lines that survives a kill in the middle of a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sim.errors import UserError
from sim.files import write_bytes


class EpisodeLog:
    """Lines of JSON in one file; a half-written last line is dropped when the log is opened again."""

    def __init__(self, path: Path) -> None:
        """Open the log at `path`, or begin it."""
        self.path = path
        self.lines: list[dict[str, Any]] = []
        if path.exists():
            self._recover()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab")

    def _recover(self) -> None:
        """Read the whole lines and cut off what a kill left behind the last of them."""
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        self.lines = parse_lines(whole, self.path)
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))

    def append(self, line: dict[str, Any]) -> None:
        """Add one line and hand it to the operating system at once."""
        self._stream.write(encode(line))
        self._stream.flush()
        self.lines.append(line)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def rewrite(self, lines: list[dict[str, Any]]) -> None:
        """Close the log and replace its content by `lines`, whole or not at all."""
        self.close()
        write_bytes(self.path, b"".join(encode(line) for line in lines))
        self.lines = list(lines)


def drop_errors(path: Path) -> None:
    """Take the lines of episodes that broke off out of the log at `path`, if there is one: they are to run again."""
    if path.exists():
        log = EpisodeLog(path)
        log.rewrite([line for line in log.lines if line.get("error") is None])


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a finished or interrupted log without touching it."""
    if not path.exists():
        raise UserError(f"{path} does not exist. Is its folder the folder of a benchmark run?")
    data = path.read_bytes()
    return parse_lines(data[: data.rfind(b"\n") + 1], path)


def parse_lines(data: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects in `data`, one per line; anything else is refused by its line number."""
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(data.splitlines(), start=1):
        try:
            line = json.loads(text)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(
                f"{path}, line {number} is not JSON ({error}). The log is damaged; remove the line."
            ) from error
        if not isinstance(line, dict):
            raise UserError(f"{path}, line {number} is not a JSON object. The log is damaged; remove the line.")
        lines.append(line)
    return lines


def encode(line: dict[str, Any]) -> bytes:
    """Return one line: JSON with sorted keys, NaN refused."""
    return (json.dumps(line, sort_keys=True, allow_nan=False) + "\n").encode()

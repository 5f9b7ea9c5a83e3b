"""The loss curve of a training: one JSON line per entry, and TensorBoard events where they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.files import write_bytes

FILE = "curve.jsonl"


class Curve:
    """Appends entries {"step": ..., name: number}. A continued training first forgets what lies beyond its step."""

    def __init__(self, folder: Path, *, step: int, tensorboard: bool, write: bool = True) -> None:
        """Begin, or go on after `step`; without `write` the entries are only remembered: another process writes."""
        self.path, self._write = folder / FILE, write
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step]
        # What stands in the file.
        self.entries: list[dict[str, Any]] = [json.loads(line) for line in kept]
        if write:
            write_bytes(self.path, "".join(f"{line}\n" for line in kept).encode())
        self._writer: Any = None
        if tensorboard and write:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def _lines(self) -> list[str]:
        """Return the whole lines of the file; a last line without an end was cut by a crash and is dropped."""
        if not self.path.exists():
            return []
        return [line.rstrip("\n") for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one entry."""
        self.entries.append({"step": step, **values})
        if not self._write:
            return
        with self.path.open("a") as stream:
            stream.write(json.dumps({"step": step, **values}) + "\n")
        if self._writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Finish the TensorBoard events."""
        if self._writer is not None:
            self._writer.close()

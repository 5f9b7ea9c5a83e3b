"""The folder in which a dataset grows: who works in it, for which job, and what is finished in it already."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.layout import DESCRIPTION_FILE, Place
from datagen.rlds_writer import ShardRecord
from datagen.unit_files import is_sound
from sim.errors import UserError
from sim.files import read_json, sha256, write_json
from sim.locks import hold

JOB_FILE = "job.json"
WORK = "work"


@dataclass(frozen=True)
class Journal:
    """The work files of one growing dataset. Each is whole or absent, so whatever exists need not be done again."""

    place: Place

    @property
    def work(self) -> Path:
        """The folder of the work files."""
        return self.place.growing / WORK

    def unit(self, split: str, number: int) -> Path:
        """Return the file of one unit of candidates."""
        return self.work / "units" / f"{split}-{number:06d}.npz"

    def shard(self, split: str, number: int) -> Path:
        """Return the file of one shard before it has its final name."""
        return self.work / "shards" / f"{split}-{number:05d}.tfrecord"

    def shard_note(self, split: str, number: int) -> Path:
        """Return the file that holds a shard's record: written after the shard, it says that the shard is finished."""
        return self.work / "shards" / f"{split}-{number:05d}.json"

    def shard_record(self, split: str, number: int) -> ShardRecord | None:
        """Return the note on a finished shard, or None where it has to be written."""
        path = self.shard_note(split, number)
        if not path.exists():
            return None
        record = ShardRecord(**read_json(path))
        found = self.located(split, number)
        return record if found is not None and found.stat().st_size == record.size else None

    def located(self, split: str, number: int) -> Path | None:
        """Return where the shard lies: among the work files, or already under its final name."""
        path = self.shard(split, number)
        if path.exists():
            return path
        return next(self.place.growing.glob(f"{self.place.name}-{split}.tfrecord-{number:05d}-of-*"), None)

    def drop_damaged(self) -> list[str]:
        """Remove the work files that are damaged, so that they are made again; return their names."""
        dropped = [path for path in sorted(self.work.glob("units/*.npz")) if not is_sound(path)]
        for note in sorted(self.work.glob("shards/*.json")):
            split, number = note.stem.rsplit("-", 1)
            found = self.located(split, int(number))
            if found is None or sha256(found) != read_json(note)["sha256"]:
                dropped += [note] if found is None else [note, found]
        for path in dropped:
            path.unlink()
        return [path.name for path in dropped]

    def publish(self) -> None:
        """Give the finished dataset its final name and remove the work files."""
        self.place.growing.rename(self.place.final)
        shutil.rmtree(self.place.final / WORK)


@contextmanager
def opened(place: Place, job: Mapping[str, Any]) -> Iterator[Journal]:
    """Yield the journal of `job`; refuse a folder in which another process works, or that belongs to another job."""
    journal = Journal(place)
    journal.work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(journal.work / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        hold(descriptor, place.growing, doing="generating")
        path = journal.work / JOB_FILE
        if path.exists():
            # A job of an earlier version does not say what draws.
            refuse_other_job({"renderer": job.get("renderer"), **read_json(path)}, job, folder=place.growing)
        else:
            write_json(path, job)
        # What a killed process was writing, among the work files and among those that describe the dataset.
        for left in place.growing.rglob(".*.part"):
            left.unlink()
        yield journal
    finally:
        os.close(descriptor)


def finished_description(place: Place, job: Mapping[str, Any], *, repair: bool = False) -> dict[str, Any] | None:
    """Return demomill.json of the dataset that `job` has finished, or None; another job's dataset is refused.

    A damaged one is refused too, unless it is there to `repair`.
    """
    path = place.final / DESCRIPTION_FILE
    if not place.final.exists():
        return None
    if not path.exists():
        raise UserError(
            f"{place.final} exists and was not generated here: it has no {DESCRIPTION_FILE}. Choose another name, "
            "version or folder."
        )
    description: dict[str, Any] = read_json(path)
    # What is finished stays valid when demomill is upgraded or its frames are drawn by another OpenGL.
    stays = {name: job.get(name) for name in ("demomill_version", "renderer")}
    refuse_other_job({**description["job"], **stays}, job, folder=place.final)
    for name, shard in description["shards"].items():
        file = place.final / name
        if not repair and (not file.exists() or file.stat().st_size != shard["size"]):
            raise UserError(
                f"{place.final} was finished once and is damaged now: {name} is missing or has another size. Copy it "
                "again, or type the same command with --repair: damaged shards are made again, byte for byte."
            )
    shutil.rmtree(place.final / WORK, ignore_errors=True)
    return description


def refuse_other_job(stored: Mapping[str, Any], asked: Mapping[str, Any], *, folder: Path) -> None:
    """Raise a `UserError` that lists the keys in which the two jobs differ."""
    before, now = _flat(stored), _flat(asked)
    keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if keys:
        rows = "\n".join(f"  {key}: there {before.get(key)!r}, asked {now.get(key)!r}" for key in keys)
        raise UserError(
            f"{folder} belongs to another job. They differ in:\n{rows}\n"
            f"Choose another name, version or folder for this job, or remove {folder} if you do not need it."
        )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return a nested JSON object as one level of dotted keys."""
    if not isinstance(value, Mapping):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, Any] = {}
    for key, child in value.items():
        flat |= _flat(child, f"{prefix}.{key}" if prefix else str(key))
    return flat

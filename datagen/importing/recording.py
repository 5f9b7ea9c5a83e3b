"""What a recording of another simulator holds, once its layout has been read and before anything is converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.declaration import Declaration
from datagen.declared_source import RawEpisode
from sim.errors import UserError

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedEpisode:
    """One episode of T steps: what was seen before each action, and that action, in the declared terms."""

    # Name of its group in the file.
    key: str
    states: Numbers
    actions: Numbers
    # (T, 7) joint positions, rad.
    joints: NDArray[np.float32]
    # (T, h, w, 3) u8 as stored.
    frames: NDArray[np.uint8]
    # (T,) reward as recorded, and success after each action; None where the recording does not tell.
    rewards: NDArray[np.float32]
    success: NDArray[np.bool_] | None
    # Whether the episode ended by its own logic.
    terminated: bool
    # Seed with which the simulator was reset; None where the recording does not tell.
    seed: int | None


@dataclass(frozen=True)
class Recording:
    """A file of episodes, and what it says of itself."""

    path: Path
    # What its numbers mean: found in the file, checked against them.
    declared: Declaration
    # "robosuite" or "maniskill", the environment's id there, and what simulated it.
    host: str
    host_task: str
    engine: str
    # Named conversions beside those of the declaration, for the record.
    adapters: tuple[str, ...]
    # Names of the groups, in order, and the function that reads one.
    keys: tuple[str, ...]
    read: Callable[[str], RecordedEpisode] = field(repr=False)

    def episodes(self) -> Iterator[RecordedEpisode]:
        """Yield all episodes in order; one without a step is refused."""
        for key in self.keys:
            episode = self.read(key)
            if not len(episode.actions):
                raise UserError(f"{self.path}: {key} holds no action. Remove it, or record it again.")
            yield episode


@dataclass(frozen=True)
class Examined:
    """A recording as `source_check.examine` looks at it."""

    recording: Recording
    sentence: str
    resample: bool

    @property
    def path(self) -> Path:
        """The file."""
        return self.recording.path

    @property
    def declared(self) -> Declaration:
        """What its numbers mean."""
        return self.recording.declared

    def raw(self, split: str, *, verify: bool = True) -> Iterator[RawEpisode]:
        """Yield the episodes; a frame is encoded when it is asked for."""
        for episode in self.recording.episodes():
            texts = [self.sentence.encode()] * len(episode.actions)
            yield RawEpisode(episode.states, episode.actions, _Encoded(episode.frames), texts, {})


class _Encoded(Sequence[bytes]):
    """Frames as PNG, made when they are asked for."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, place: Any) -> Any:
        import imageio.v3

        return imageio.v3.imwrite("<bytes>", self.frames[place], extension=".png")


def open_hdf5(path: Path) -> Any:
    """Return the open HDF5 file; what is none is told in words."""
    import h5py

    if path.is_dir():
        raise UserError(f"{path} is a folder. Name the .hdf5 or .h5 file of a recording.")
    try:
        return h5py.File(path, "r")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist. Name the .hdf5 or .h5 file of a recording.") from error
    except OSError as error:
        raise UserError(f"{path} is no HDF5 file, or a damaged one ({error}). Copy it again.") from error


def column(group: Mapping[str, Any], key: str, *, where: str, instead: str) -> NDArray[Any]:
    """Return a data set of a group; a missing one is refused with what to do `instead`."""
    if key not in group:
        there = ", ".join(sorted(group)) or "nothing"
        raise UserError(f"{where} has no {key!r}; it has {there}. {instead}")
    return np.asarray(group[key])


def same_length(parts: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Refuse columns of an episode that have different numbers of steps."""
    lengths = {name: len(values) for name, values in parts.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise UserError(f"{where} holds columns of different lengths ({told}). It was cut or damaged: record it again.")

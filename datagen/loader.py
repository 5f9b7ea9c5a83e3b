"""A mixture in memory: frames decoded and reduced once, batches assembled by sample number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.arrays import ACTION, POSITION, STATE, Arrays, empty, gather
from datagen.arrays import Batch as Batch
from datagen.downscale import downscale
from datagen.interleave import Mixture, Stream
from datagen.interleave import sample_numbers as sample_numbers
from datagen.labels import keyframes, points
from datagen.mixture import MixConfig, Normalization, Source, mixed, open_sources
from datagen.paraphrases import paraphrases
from datagen.rlds_reader import StoredEpisode
from sim.conventions import Convention
from sim.episodes import WRIST
from sim.errors import UserError, unknown

Progress = Callable[[int, int], None]
"""Called with the number of frames that are loaded and the number of all."""


@dataclass(frozen=True)
class LoadedMixture:
    """A mixture whose training and validation steps lie in memory."""

    sources: tuple[Source, ...]
    mixture: Mixture
    convention: Convention
    train: tuple[Arrays, ...]
    # Source number -> validation steps; sources without a validation split are absent.
    validation: dict[int, Arrays]
    # Every sentence that occurs, by number.
    instructions: tuple[str, ...]
    chunk: int
    normalization: Normalization = "mean_std"
    # Groups of sentences that mean the same in the episode that they belong to, as numbers of `instructions`.
    phrasings: tuple[tuple[int, ...], ...] = ((),)

    def batch(self, samples: NDArray[np.int64], *, lag: NDArray[np.int64] | None = None) -> Batch:
        """Return the training samples numbered `samples` (B,), in that order; `lag` (B,) as in `Arrays.batch`."""
        where = self.mixture.locate(samples)
        return gather(self.train, where, chunk=self.chunk, lag=lag)

    def validation_batches(self, size: int, *, limit: int) -> Iterator[tuple[int, Batch]]:
        """Yield (source, batch) over evenly spaced validation steps, at most `limit` of each source."""
        for source, arrays in self.validation.items():
            steps = len(arrays.action)
            rows = np.unique(np.linspace(0, steps - 1, min(limit, steps)).astype(np.int64))
            for start in range(0, len(rows), size):
                yield source, arrays.batch(rows[start : start + size], chunk=self.chunk)


@dataclass(frozen=True)
class LoadOptions:
    """How a mixture is brought into memory."""

    # Width and height of frames in memory, pixels.
    image_size: int
    # The same of the wrist camera's; 0 leaves them out.
    wrist_size: int = 0
    # Actions per sample.
    chunk: int = 8
    # Name of the split that validates.
    validation: str = "val"
    # Most memory that frames may take, GB (10^9 bytes).
    memory_gb: float = 6.0
    # Threads that decode; they change no byte.
    threads: int = 2
    # Find the other sentences that each episode could have been told with (datagen/paraphrases.py).
    paraphrase: bool = False


def _require_split(sources: Sequence[Source], split: str) -> None:
    """Refuse a validation split that was asked for by name and that no source has."""
    known = {name for source in sources for name in source.dataset.splits}
    if split != LoadOptions.validation and split not in known:
        raise unknown("validation split", split, known, hint="No source has it, so nothing would be validated.")


def load_mixture(config: MixConfig, options: LoadOptions, *, progress: Progress | None = None) -> LoadedMixture:
    """Read, decode and reduce all steps of the mixture.

    Memory is counted before anything is decoded: steps x size x size x 3 bytes. Too much is refused with the figures.
    """
    sources = open_sources(config)
    _require_split(sources, options.validation)
    train = [source.stream("train") for source in sources]
    valid = {k: s.stream(options.validation) for k, s in enumerate(sources) if options.validation in s.dataset.splits}
    valid = {k: stream for k, stream in valid.items() if stream.steps}
    mixture = mixed(train, sources, config)
    total = sum(stream.steps for stream in [*train, *valid.values()])
    check_memory(total, options)
    reader = _Reader(options, progress or (lambda done, of: None), total)
    return LoadedMixture(
        sources=sources,
        mixture=mixture,
        convention=sources[0].convention,
        train=tuple(reader.read(s, stream, "train") for s, stream in zip(sources, train, strict=True)),
        validation={k: reader.read(sources[k], stream, options.validation) for k, stream in valid.items()},
        instructions=tuple(reader.sentences),
        phrasings=tuple(reader.phrasings),
        chunk=options.chunk,
        normalization=config.normalization,
    )


def check_memory(steps: int, options: LoadOptions) -> None:
    """Refuse frames that would take more memory than the budget."""
    need = steps * (options.image_size**2 + options.wrist_size**2) * 3 / 1e9
    if need > options.memory_gb:
        sizes = f"{options.image_size} x {options.image_size} pixels"
        if options.wrist_size:
            sizes += f", and as many of {options.wrist_size} x {options.wrist_size}"
        raise UserError(
            f"{steps:,} frames of {sizes} need {need:.2f} GB of memory, and memory_gb allows {options.memory_gb:g}. "
            "Raise memory_gb, use fewer episodes (episodes = N beside a source), or choose a preset with a smaller "
            "image."
        )


class _Reader:
    """Reads sources into arrays and numbers the sentences that it meets."""

    def __init__(self, options: LoadOptions, progress: Progress, total: int) -> None:
        self.options, self.progress, self.total = options, progress, total
        self.sentences: dict[str, int] = {}
        self.phrasings: dict[tuple[int, ...], int] = {(): 0}
        self.done = 0

    def read(self, source: Source, stream: Stream, split: str) -> Arrays:
        """Return all steps of one source and split."""
        arrays = empty(stream.steps, self.options.image_size, self.options.wrist_size)
        start = 0
        with ThreadPoolExecutor(self.options.threads) as pool:
            for episode in source.episodes(split):
                count = len(episode.steps["action"])
                self._fill(arrays, slice(start, start + count), source, episode, pool)
                start += count
                self.done += count
                self.progress(self.done, self.total)
        return arrays

    def _fill(
        self, arrays: Arrays, rows: slice, source: Source, episode: StoredEpisode, pool: ThreadPoolExecutor
    ) -> None:
        self._decode(arrays.image[rows], "image", source, episode, pool)
        if self.options.wrist_size:
            self._decode(arrays.wrist[rows], WRIST, source, episode, pool)
            arrays.wrist_points[rows] = points(episode, WRIST)
        arrays.state[rows] = _sized(episode, "observation/state", STATE)
        arrays.action[rows] = _sized(episode, "action", ACTION)
        arrays.start[rows], arrays.stop[rows] = rows.start, rows.stop
        arrays.instruction[rows] = [self._number(text) for text in episode.texts()]
        others = tuple(map(self._number, paraphrases(episode))) if self.options.paraphrase else ()
        arrays.phrasing[rows] = self.phrasings.setdefault(others, len(self.phrasings))
        arrays.points[rows] = points(episode)
        arrays.keyframe[rows] = keyframes(arrays.state[rows, :POSITION], arrays.action[rows, -1])

    def _decode(
        self, room: NDArray[np.uint8], camera: str, source: Source, episode: StoredEpisode, pool: ThreadPoolExecutor
    ) -> None:
        """Fill `room` (T, px, px, 3) with the frames of a camera."""
        encoded = episode.steps.get(f"observation/{camera}")
        if not isinstance(encoded, list):
            raise UserError(
                f"The job reads the wrist camera (wrist_size = {self.options.wrist_size}), and the source "
                f"{source.name!r} ({source.dataset.path}) stores no frames of it. Generate it with "
                f'cameras = ["image", "{WRIST}"], or set wrist_size = 0.'
            )
        small = pool.map(lambda data: downscale(source.frame(data), room.shape[1]), encoded)
        for row, image in enumerate(small):
            room[row] = image

    def _number(self, sentence: str) -> int:
        """Return the number of a sentence, a new one where it was never met."""
        return self.sentences.setdefault(sentence, len(self.sentences))


def _sized(episode: StoredEpisode, key: str, size: int) -> NDArray[np.float32]:
    """Return one column (T, size), or refuse another size."""
    column = np.asarray(episode.steps[key], dtype=np.float32)
    if column.ndim != 2 or column.shape[1] != size:
        raise UserError(
            f"A dataset of the mixture stores {key!r} with shape {column.shape[1:]} per step; the canonical convention "
            f"has ({size},). Convert the dataset first; docs/convention.md names every component."
        )
    return column

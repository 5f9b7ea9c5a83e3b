"""Interleaving: which sample of which source comes at which place, as a pure function of the place and a seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError
from sim.streams import generator

PERIOD = 10_000
"""Length of the repeating schedule: any so many samples in a row hold exactly the shares, rounded to 1 / PERIOD."""

Per = Literal["step", "episode"]


@dataclass(frozen=True)
class Stream:
    """What a mixture must know of one source."""

    # Unique name: with the seed it decides the order within the source.
    name: str
    # Weight relative to the other sources.
    weight: float
    # Number of steps of each episode.
    lengths: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Number of steps of all episodes."""
        return sum(self.lengths)


@dataclass(frozen=True)
class Location:
    """Where samples come from: source number (k,) and row (k,), the number of the step within its source."""

    source: NDArray[np.int64]
    row: NDArray[np.int64]


class Mixture:
    """An endless, interleaved, shuffled sequence of steps of several sources.

    Sample i is a pure function of (i, seed, sources): whoever knows how many samples were drawn can continue exactly.
    Each source is gone through completely before it begins again in a new order.
    """

    def __init__(self, streams: Sequence[Stream], *, per: Per = "step", seed: int = 0) -> None:
        self.streams, self.seed = tuple(streams), seed
        self.shares = shares(self.streams, per=per)
        self._quota = quotas(self.shares, [stream.name for stream in self.streams])
        self._schedule = schedule(self._quota)
        self._rank = _ranks(self._schedule, len(self.streams))
        self._order = functools.lru_cache(maxsize=4 * len(self.streams))(self._draw_order)

    def locate(self, samples: NDArray[np.int64]) -> Location:
        """Return where the samples numbered `samples` (k,) come from."""
        period, place = np.divmod(np.asarray(samples, dtype=np.int64), PERIOD)
        source = self._schedule[place]
        drawn = period * np.array(self._quota)[source] + self._rank[place]
        row = np.empty_like(drawn)
        for number in np.unique(source):
            mine = source == number
            row[mine] = self._rows(int(number), drawn[mine])
        return Location(source, row)

    def counts(self, samples: int) -> tuple[int, ...]:
        """Return how many of the first `samples` samples come from each source."""
        periods, rest = divmod(samples, PERIOD)
        tail = np.bincount(self._schedule[:rest], minlength=len(self.streams))
        return tuple(int(periods * quota + count) for quota, count in zip(self._quota, tail, strict=True))

    def _rows(self, source: int, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of the draws numbered `drawn` (k,) of one source."""
        epoch, place = np.divmod(drawn, self.streams[source].steps)
        rows = np.empty_like(drawn)
        for number in np.unique(epoch):
            mine = epoch == number
            rows[mine] = self._order(source, int(number))[place[mine]]
        return rows

    def _draw_order(self, source: int, epoch: int) -> NDArray[np.int64]:
        """Return the order (steps,) of one source in one epoch."""
        stream = self.streams[source]
        return generator(self.seed, "mixture", stream.name, epoch).permutation(stream.steps)


def shares(streams: Sequence[Stream], *, per: Per) -> tuple[float, ...]:
    """Return each source's share of the samples, summing to 1.

    Per "step", weights are ratios of steps. Per "episode", they are ratios of episodes: a source whose episodes are
    twice as long contributes twice the steps.
    """
    _check(streams)
    sizes = [s.weight * (s.steps / len(s.lengths) if per == "episode" else 1.0) for s in streams]
    total = math.fsum(sizes)
    return tuple(size / total for size in sizes)


def _check(streams: Sequence[Stream]) -> None:
    """Refuse a mixture of nothing, of equal names, of empty sources or of impossible weights."""
    if not streams:
        raise UserError("The mixture has no source. Give at least one [[sources]] with a path.")
    names = [stream.name for stream in streams]
    for stream in streams:
        if names.count(stream.name) > 1:
            raise UserError(
                f"Two sources of the mixture are called {stream.name!r}. Give each its own: name = 'other'."
            )
        if not stream.steps:
            raise UserError(f"Source {stream.name!r} of the mixture holds no step. Leave it out, or generate it again.")
        if not (math.isfinite(stream.weight) and stream.weight > 0):
            raise UserError(
                f"Source {stream.name!r} of the mixture has the weight {stream.weight}. Allowed: numbers above 0; "
                "leave the source out to draw nothing from it."
            )


def quotas(fractions: Sequence[float], names: Sequence[str]) -> tuple[int, ...]:
    """Return how many of PERIOD samples each source gets, by largest remainder; none at all is refused."""
    exact = [fraction * PERIOD for fraction in fractions]
    quota = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda k: (quota[k] - exact[k], k))
    for k in by_remainder[: PERIOD - sum(quota)]:
        quota[k] += 1
    for name, count, fraction in zip(names, quota, fractions, strict=True):
        if not count:
            raise UserError(
                f"Source {name!r} has a share of {fraction:.2g} in the mixture, which is less than 1 in {PERIOD:,} "
                "samples. Raise its weight, or leave it out."
            )
    return tuple(quota)


def schedule(quota: Sequence[int]) -> NDArray[np.int64]:
    """Return the source of each sample of one period (PERIOD,): each time the one furthest behind its share.

    This is error diffusion in whole numbers: after any number of samples each source's count is within a few samples
    of its share, for any number of sources.
    """
    target = np.array(quota, dtype=np.int64)
    debt = np.zeros(len(quota), dtype=np.int64)
    order = np.empty(PERIOD, dtype=np.int64)
    for place in range(PERIOD):
        debt += target
        order[place] = int(np.argmax(debt))
        debt[order[place]] -= PERIOD
    return order


def _ranks(order: NDArray[np.int64], sources: int) -> NDArray[np.int64]:
    """Return for each place of the schedule how many earlier places have the same source."""
    rank = np.empty_like(order)
    for source in range(sources):
        mine = order == source
        rank[mine] = np.arange(int(mine.sum()))
    return rank


def sample_numbers(step: int, size: int, *, rank: int = 0, ranks: int = 1) -> NDArray[np.int64]:
    """Return the numbers (size / ranks,) of the samples that process `rank` of `ranks` uses in training step `step`.

    The samples of a step are cut into one piece per rank, and the pieces go round from step to step, so no rank always
    sees the same source. Together the ranks use the same samples however many they are: a training goes on exactly
    under another number of processes.
    """
    if size % ranks or not 0 <= rank < ranks:
        raise UserError(
            f"A batch of {size} samples cannot be dealt to process {rank} of {ranks}. Choose a multiple of the number "
            f"of processes, for example {-(-size // ranks) * ranks}."
        )
    piece = size // ranks
    start = step * size + (rank + step) % ranks * piece
    return np.arange(start, start + piece, dtype=np.int64)

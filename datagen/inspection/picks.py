"""Which episodes are read, and which of them are shown: drawn from streams, so the same dataset gives the same page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sim.streams import generator

TRAJECTORIES, FILMED = 10, 6
"""Episodes whose motion is drawn, and how many of them also show pictures."""


@dataclass(frozen=True)
class Picks:
    """Numbers of episodes by split, in stored order."""

    # Episodes to read; None reads all.
    read: Mapping[str, Collection[int]] | None
    # (split, episode) to draw over time, and those of them to show as filmstrips.
    drawn: frozenset[tuple[str, int]]
    filmed: frozenset[tuple[str, int]]

    def wanted(self, split: str, start: int, count: int) -> frozenset[int] | None:
        """Return which of the `count` episodes from `start` of a split are read, as rows from 0; None for all."""
        if self.read is None:
            return None
        return frozenset(number - start for number in self.read[split] if start <= number < start + count)


def pick(splits: Mapping[str, Sequence[int]], *, episodes: int | None, seed: int) -> Picks:
    """Return what is read and shown of a dataset with these shard lengths; `episodes` limits what is read."""
    every = [(split, number) for split, lengths in sorted(splits.items()) for number in range(sum(lengths))]
    if episodes is None or episodes >= len(every):
        chosen, read = every, None
    else:
        order = generator(seed, "inspect", "episodes").choice(len(every), size=episodes, replace=False)
        chosen = [every[i] for i in sorted(order.tolist())]
        read = {split: [number for each, number in chosen if each == split] for split in splits}
    count = min(TRAJECTORIES, len(chosen))
    shown = generator(seed, "inspect", "trajectories").choice(len(chosen), size=count, replace=False)
    drawn = [chosen[i] for i in shown.tolist()]
    return Picks(read, frozenset(drawn), frozenset(drawn[:FILMED]))

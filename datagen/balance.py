"""Shares of the sources of a mixture: by weights, equal for every task, and what an earlier mixture gets of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from datagen.interleave import Per, Stream, shares
from datagen.sources import Source

Balance = Literal["none", "task"]


def balanced_shares(
    streams: Sequence[Stream], sources: Sequence[Source], *, per: Per, balance: Balance, replay: float
) -> tuple[float, ...]:
    """Return each source's share of the samples, summing to 1.

    Replayed sources get `replay` of all samples together, in the shares that they had in their mixture (their weights);
    the others get the rest, by their weights `per` step or episode, or the same for each task under balance "task".
    """
    new = [number for number, source in enumerate(sources) if not source.replayed]
    old = [number for number, source in enumerate(sources) if source.replayed]
    found = [0.0] * len(streams)
    ours = shares([streams[k] for k in new], per=per)
    if balance == "task":
        ours = _equal_tasks(ours, [sources[k].task for k in new])
    for number, share in zip(new, ours, strict=True):
        found[number] = share * (1.0 - replay if old else 1.0)
    if old:
        for number, share in zip(old, shares([streams[k] for k in old], per="step"), strict=True):
            found[number] = share * replay
    return tuple(found)


def _equal_tasks(found: Sequence[float], tasks: Sequence[str]) -> tuple[float, ...]:
    """Return shares that sum to the same for each task and keep their ratios within one."""
    members: dict[str, list[float]] = defaultdict(list)
    for share, task in zip(found, tasks, strict=True):
        members[task].append(share)
    return tuple(share / (math.fsum(members[task]) * len(members)) for share, task in zip(found, tasks, strict=True))

"""What the rest of a generation will take, from its first unit and a drawn episode: seconds and bytes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from datagen.render_shards import RenderSettings, rendered_record
from datagen.rlds_writer import serialize
from datagen.unit_files import load_episodes

DRAWN = 4
"""Episodes that are drawn for an estimate."""


@dataclass(frozen=True)
class Estimate:
    """About how long the rest takes, s, and how large it becomes, bytes."""

    seconds: float
    bytes: int


def estimate(
    unit: Path, settings: RenderSettings, *, left: int, simulation: float, threads: int | None, workers: int
) -> Estimate | None:
    """Return what `left` more episodes take, from the episodes of one unit, which was simulated in `simulation` s.

    A few of them are drawn for it, the first one twice: that also builds the renderer. None where the unit has none.
    """
    episodes = load_episodes(unit)
    if not episodes:
        return None
    rendered_record(episodes[0], settings)
    sample = episodes[:: max(1, len(episodes) // DRAWN)][:DRAWN]
    began = time.monotonic()
    drawn = sum(len(serialize(rendered_record(episode, settings), leaves=settings.leaves())) for episode in sample)
    frames = sum(len(episode.actions) for episode in sample)
    seconds = (time.monotonic() - began) / frames
    steps = sum(len(episode.actions) for episode in episodes) / len(episodes)
    cores = os.cpu_count() or 1
    simulating = simulation * min(threads or cores, cores) / len(episodes) / cores
    drawing = seconds * steps / max(1, min(workers, cores))
    return Estimate(left * (simulating + drawing), int(left * steps * drawn / frames))

"""What a generation returns: a finished dataset in figures, as JSON or in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.disk import size_text
from datagen.layout import Place
from sim.progress import clock_text


@dataclass(frozen=True)
class GenerateResult:
    """A finished dataset."""

    # Folder of the dataset's version.
    path: Path
    # Split -> episodes, and split -> counts of candidates, kept and rejected by reason.
    episodes: Mapping[str, int]
    filters: Mapping[str, Any]
    # Steps and bytes in all shards.
    steps: int
    size: int
    statistics_fingerprint: str
    # Whether it was finished before this call, which then did nothing but repair.
    already_finished: bool
    # Wall-clock seconds of this call, and how many of them went into simulation.
    seconds: float
    simulation_seconds: float
    # Files that were damaged and were made again.
    repaired: tuple[str, ...] = ()

    def __rich__(self) -> str:
        """Return the result in a few lines."""
        splits = ", ".join(f"{split} {count}" for split, count in self.episodes.items())
        lines = [f"{self.path}: {splits} episodes, {self.steps} steps, {size_text(self.size)}"]
        for split, told in self.filters.items():
            why = ", ".join(f"{reason} {n}" for reason, n in sorted(told["rejected"].items(), key=lambda r: -r[1]))
            lines.append(f"{split}: kept {told['kept']} of {told['candidates']} candidates; {why or 'none rejected'}")
        lines += [f"repaired: {name}" for name in self.repaired]
        if self.already_finished:
            lines.append("It was finished before." if not self.repaired else "All else was whole.")
        else:
            lines.append(f"{clock_text(self.seconds)}, {clock_text(self.simulation_seconds)} of it simulation.")
        return "\n".join(lines)


def finished_result(
    place: Place,
    about: Mapping[str, Any],
    *,
    seconds: float,
    simulation: float | None = None,
    repaired: tuple[str, ...] = (),
) -> GenerateResult:
    """Return what `about`, the content of demomill.json, says of the dataset at `place`."""
    shards = list(about["shards"].values())
    splits = dict.fromkeys(shard["split"] for shard in shards)
    return GenerateResult(
        path=place.final,
        episodes={split: sum(s["episodes"] for s in shards if s["split"] == split) for split in splits},
        filters=about["filters"],
        steps=sum(s["steps"] for s in shards),
        size=sum(s["size"] for s in shards),
        statistics_fingerprint=about["statistics_fingerprint"],
        already_finished=simulation is None,
        seconds=seconds,
        simulation_seconds=simulation or 0.0,
        repaired=repaired,
    )

"""Learning curves: one line of training progress, the picture of many, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.files import written_whole


@dataclass(frozen=True)
class Progress:
    """One report of an expert's training: the episodes that finished since the report before."""

    # Environment steps and seconds since training began.
    steps: int
    seconds: float
    # Share of the episodes that ended in success, and their number. The policy still explores.
    success: float
    episodes: int
    steps_per_second: float
    # Mean of each reward term, in [0, 1].
    terms: Mapping[str, float]


@dataclass
class Tally:
    """What finished episodes looked like since it was last emptied."""

    episodes: int = 0
    successes: int = 0
    steps: int = 0
    # Sums over the steps of each term's mean: numbers, or tensors of no dimension.
    terms: dict[str, Any] = field(default_factory=dict)

    def progress(self, *, steps: int, seconds: float) -> Progress:
        """Return a report of these episodes after `steps` environment steps; there must be some."""
        return Progress(
            steps=steps,
            seconds=seconds,
            success=self.successes / self.episodes,
            episodes=self.episodes,
            steps_per_second=steps / seconds,
            terms={name: float(total) / self.steps for name, total in self.terms.items()},
        )


def draw_curve(path: Path, curve: Sequence[Progress], *, title: str) -> None:
    """Draw success and reward terms over environment steps into the PNG file `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [p.steps / 1e6 for p in curve]
    for name in curve[0].terms:
        if name != "success":
            axes.plot(steps, [p.terms[name] for p in curve], linewidth=0.8, alpha=0.7, label=name)
    axes.plot(steps, [p.success for p in curve], color="black", linewidth=2, label="success at the end")
    axes.set(xlabel="million environment steps", ylabel="mean, 0 to 1", ylim=(-0.02, 1.02), title=title)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=100, metadata={"Software": None})


def machine() -> str:
    """Return the machine in words: processor, cores, system."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {platform.system()}"

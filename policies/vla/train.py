"""`demomill train-vla`: a VLA on a mixture of datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.mixture import MixReport
from policies.vla.settings import TrainVlaConfig
from sim.files import require_folder

OnStep = Callable[[int], None]
"""Called after every step with the number of steps done."""


@dataclass(frozen=True)
class TrainVlaResult:
    """What a training brought."""

    # The checkpoint's folder, and the SHA-256 of its weights.
    folder: Path
    digest: str
    # Steps done in all, and seconds spent on them.
    steps: int
    seconds: float
    # Samples per second, and trainable parameters.
    samples_per_second: float
    parameters: int
    # Source name -> validation loss and errors; see docs/policies.md.
    metrics: Mapping[str, Mapping[str, float]]
    # What was drawn of each source.
    mixture: MixReport
    # What the learning curve says, in words.
    notes: tuple[str, ...] = ()

    def __rich__(self) -> Any:
        """Return the result as a table for a terminal: one row per source."""
        from rich.table import Table

        lines = (
            f"{self.folder}  sha256 {self.digest[:16]}",
            f"{self.steps:,} steps in {self.seconds / 60:.1f} min, {self.samples_per_second:,.0f} samples/s, "
            f"{self.parameters:,} parameters",
            *self.notes,
        )
        table = Table("source", "label", caption="\n".join(lines), caption_justify="left")
        for column in ("share", "drawn", "passes", "position error", "gripper accuracy", "keyframe error"):
            table.add_column(column, justify="right")
        for row in self.mixture.sources:
            found = self.metrics.get(row.name)
            measured = ("no validation split", "", "") if found is None else _measured(found)
            table.add_row(row.name, row.label, f"{row.share:.1%}", f"{row.drawn:,}", f"{row.passes:.1f}", *measured)
        return table


def _measured(found: Mapping[str, float]) -> tuple[str, str, str]:
    """Return validation errors as text, in millimetres and per cent."""
    position, keyframe = 1e3 * found["position_error"], 1e3 * found["keyframe_error"]
    return f"{position:.1f} mm/step", f"{found['gripper_accuracy']:.1%}", f"{keyframe:.1f} mm"


def train_vla(config: TrainVlaConfig, *, on_step: OnStep | None = None) -> TrainVlaResult:
    """Train a VLA, or continue the unfinished training in `config.out`; a finished one is returned as it is.

    A budget in steps gives the same weights on the same machine with the same threads. Ctrl-C, and every `save_every`
    seconds, leave a state from which the same call continues bit for bit.
    """
    from policies.vla.session import run

    require_folder(config.out, own="checkpoint.json")
    return run(config, on_step=on_step)

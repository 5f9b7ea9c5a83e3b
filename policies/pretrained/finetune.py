"""`demomill finetune`: a pretrained vision-language-action model on a mixture of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.mixture import MixReport
from policies.pretrained.settings import FinetuneConfig
from policies.vla.train import OnStep
from sim.files import require_folder


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning brought."""

    # The checkpoint's folder, and the digest of the pretrained model and of what was trained.
    folder: Path
    digest: str
    # The pretrained model's name and architecture.
    base: str
    model_type: str
    # Steps done in all, and seconds spent on them.
    steps: int
    seconds: float
    samples_per_second: float
    # Parameters that were trained, and all of the model's.
    trained: int
    parameters: int
    # Source name -> {"loss", "position_error" m per step, "gripper_accuracy", "samples"}; see docs/pretrained.md.
    metrics: Mapping[str, Mapping[str, float]]
    # What was drawn of each source.
    mixture: MixReport

    def __rich__(self) -> Any:
        """Return the result as a table for a terminal: one row per source."""
        from rich.table import Table

        lines = (
            f"{self.folder}  digest {self.digest}",
            f"{self.base} ({self.model_type}): {self.trained:,} of {self.parameters:,} parameters trained",
            f"{self.steps:,} steps in {self.seconds / 60:.1f} min, {self.samples_per_second:,.1f} samples/s",
        )
        table = Table("source", "label", caption="\n".join(lines), caption_justify="left")
        for column in ("share", "drawn", "passes", "position error", "gripper accuracy"):
            table.add_column(column, justify="right")
        for row in self.mixture.sources:
            found = self.metrics.get(row.name)
            measured = ("no validation split", "")
            if found is not None:
                measured = (f"{1e3 * found['position_error']:.1f} mm/step", f"{found['gripper_accuracy']:.1%}")
            table.add_row(row.name, row.label, f"{row.share:.1%}", f"{row.drawn:,}", f"{row.passes:.1f}", *measured)
        return table


def finetune(config: FinetuneConfig, *, on_step: OnStep | None = None) -> FinetuneResult:
    """Fine-tune a pretrained model, or continue the unfinished training in `config.out`; a finished one is returned.

    A budget in steps gives the same weights on the same machine with the same threads. Ctrl-C, and every `save_every`
    seconds, leave a state from which the same call continues bit for bit.
    """
    from policies.pretrained.session import run

    require_folder(config.out, own="checkpoint.json")
    return run(config, on_step=on_step)

"""`demomill train-vla`: a VLA on a mixture of datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datagen.mixture import MixReport
from policies.vla.settings import TrainVlaConfig

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


def train_vla(config: TrainVlaConfig, *, on_step: OnStep | None = None) -> TrainVlaResult:
    """Train a VLA, or continue the unfinished training in `config.out`; a finished one is returned as it is.

    A budget in steps gives the same weights on the same machine with the same threads. Ctrl-C, and every `save_every`
    seconds, leave a state from which the same call continues bit for bit.
    """
    from policies.vla.session import run

    return run(config, on_step=on_step)

"""Settings of VLA training: what a job may say, and the named presets it builds on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from datagen.mixture import MixConfig
from sim.errors import UserError, unknown

CHUNK = 8
"""Actions per chunk."""


@dataclass(frozen=True)
class Preset:
    """The shape of the network and how it is optimized."""

    # Frames the network reads, pixels.
    image_size: int
    # Channels and stride of the residual blocks after the stem; see policies/vla/model.py.
    stem: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    keypoint_block: int
    keypoints: int
    hidden: int
    # Samples per step, and the number of steps when the job gives no budget.
    batch: int
    steps: int
    # Peak learning rate, reached after `warmup` of the budget, then a cosine down to a tenth.
    learning_rate: float
    warmup: float = 0.05
    weight_decay: float = 1e-4
    # Largest norm of the gradient.
    clip: float = 1.0
    # Decay of the averaged weights that are saved.
    ema: float = 0.999
    # Largest random shift of a frame, pixels, and strength of the colour jitter.
    shift: int = 3
    jitter: float = 0.1
    # Noise on the normalized state, so that the policy does not follow the hand alone.
    state_noise: float = 0.05


PRESETS: dict[str, Preset] = {
    "debug": Preset(
        image_size=32, stem=8, channels=(16, 16), strides=(2, 1), keypoint_block=1, keypoints=8, hidden=32,
        batch=8, steps=20, learning_rate=2e-3, shift=1,
    ),
    "cpu_minutes": Preset(
        image_size=128, stem=32, channels=(64, 64, 96), strides=(2, 1, 2), keypoint_block=1, keypoints=32, hidden=256,
        batch=32, steps=4000, learning_rate=1.2e-3,
    ),
    "cpu_hours": Preset(
        image_size=128, stem=32, channels=(64, 96, 96, 128), strides=(2, 1, 1, 2), keypoint_block=2, keypoints=48,
        hidden=384, batch=64, steps=40_000, learning_rate=1e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class TrainVlaConfig:
    """One training of the VLA."""

    # The datasets and their weights.
    data: MixConfig
    # Folder of the checkpoint; an unfinished training in it is continued.
    out: Path
    # Shape and optimization: "debug", "cpu_minutes" or "cpu_hours".
    preset: str = "cpu_minutes"
    # Budget in steps: the same steps on the same machine give the same weights. Unset takes the preset's.
    steps: int | None = None
    # Budget in minutes of training; the learning rate follows the clock. With both, whichever is used up first ends it.
    minutes: float | None = None
    # Changes to the preset; unset keeps it.
    batch: int | None = None
    learning_rate: float | None = None
    # Seed of weights and of everything random in training.
    seed: int = 0
    # Threads; unset takes one per core. Another number may change the last bits of the weights.
    threads: int | None = None
    # Seconds between savings of the training's state.
    save_every: float = 60.0
    # Validations during training, evenly spaced, and samples of each source in each of them.
    validations: int = 4
    validation_samples: int = 512
    # Split of the datasets that validates.
    validation_split: str = "val"
    # Most memory for frames, GB.
    memory_gb: float = 6.0
    # Write TensorBoard events beside the curve.
    tensorboard: bool = False

    def resolved(self) -> Preset:
        """Return the preset with this job's changes; an unknown name or an impossible number is refused."""
        if self.preset not in PRESETS:
            raise unknown("preset", self.preset, PRESETS)
        preset = PRESETS[self.preset]
        for name, value in (("steps", self.steps), ("minutes", self.minutes), ("batch", self.batch)):
            if value is not None and value <= 0:
                raise UserError(f"{name} = {value} is not allowed. Allowed: numbers above 0, or leave it unset.")
        return replace(
            preset,
            batch=self.batch or preset.batch,
            learning_rate=self.learning_rate or preset.learning_rate,
        )

    def budget(self) -> Budget:
        """Return how long training goes on."""
        steps = self.steps or (None if self.minutes else self.resolved().steps)
        return Budget(steps=steps, seconds=None if self.minutes is None else 60 * self.minutes)


@dataclass(frozen=True)
class Budget:
    """How long training goes on: in steps, in seconds, or whichever ends first."""

    steps: int | None
    seconds: float | None = field(default=None)

    def progress(self, step: int, seconds: float) -> float:
        """Return the share of the budget that is used, 0 to 1."""
        used = [0.0]
        if self.steps is not None:
            used.append(step / self.steps)
        if self.seconds is not None:
            used.append(seconds / self.seconds)
        return min(1.0, max(used))


def learning_rate_factor(progress: float, *, warmup: float) -> float:
    """Return the factor on the peak learning rate at `progress` of the budget: linear up, then a cosine to a tenth."""
    if progress < warmup:
        return max(0.02, progress / warmup)
    along = (progress - warmup) / (1 - warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * along))

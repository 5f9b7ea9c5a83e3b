"""Settings of VLA training: what a job may say, and the named presets it builds on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from datagen.mixture import MixConfig
from policies.vla.kinds import FUSIONS, HEADS, PRECISIONS, TEXTS, FusionKind, HeadKind, Precision, TextKind
from policies.vla.presets import CHUNK as CHUNK
from policies.vla.presets import PRESETS as PRESETS
from policies.vla.presets import Augment, Preset
from sim.errors import UserError, unknown
from sim.ranges import ABOVE_0, EPISODES, PIXELS, POSITIVE, PROCESSES, WHOLE, Numbers, require
from tasks.catalogue import load_task


@dataclass(frozen=True)
class AugmentChanges:
    """Changes to how a preset varies its samples; unset keeps the preset's. Fields as in `Augment`."""

    shift: int | None = None
    jitter: float | None = None
    state_noise: float | None = None
    crop: float | None = None
    blur: float | None = None
    noise: float | None = None
    erase: float | None = None
    erase_area: float | None = None
    paraphrase: float | None = None
    action_noise: float | None = None
    skip: int | None = None
    mirror: float | None = None


SHARES = ("crop", "noise", "erase", "erase_area", "paraphrase", "mirror")
"""Fields of `Augment` that are shares, 0 to 1; `crop` and `erase_area` to below 1."""


@dataclass(frozen=True)
class RolloutConfig:
    """Rollouts in our own engine at each validation; they cost far more time than the validation itself."""

    # Tasks to try, e.g. ["lift_cube"]; none leaves it out.
    tasks: tuple[str, ...] = ()
    # Episodes of each task, of validation seeds.
    episodes: int = 8
    # Randomization of the episodes.
    preset: str = "train"
    # Actions of a chunk that are executed before the policy looks again.
    execute: int = 4

    def __post_init__(self) -> None:
        require(self, {"episodes": EPISODES, "execute": Numbers(1, CHUNK)}, part="rollouts")
        for task in self.tasks:
            load_task(task).selection(self.preset)


CHANGEABLE = (
    "batch", "learning_rate", "head", "text_encoder", "fusion", "finger_motion", "wrist_size", "accumulate",
    "precision",
)  # fmt: skip
"""Fields of a preset that a job may say itself."""

TRAINING_RANGES = {
    "threads": PROCESSES,
    "save_every": WHOLE,
    "validations": WHOLE,
    "validation_samples": POSITIVE,
    "memory_gb": ABOVE_0,
}
"""What the numbers may be that every training has."""


@dataclass(frozen=True)
class TrainVlaConfig:
    """One training of the VLA."""

    # The datasets and their weights.
    data: MixConfig
    # Folder of the checkpoint; an unfinished training in it is continued.
    out: Path
    # Shape and optimization: "debug", "cpu_minutes", "cpu_hours" or "one_gpu".
    preset: str = "cpu_minutes"
    # Budget in steps: the same steps on the same machine give the same weights. Unset takes the preset's.
    steps: int | None = None
    # Budget in minutes of training; the learning rate follows the clock. With both, whichever is used up first ends it.
    minutes: float | None = None
    # Samples of a step; unset keeps the preset's.
    batch: int | None = None
    # Peak learning rate; unset keeps the preset's.
    learning_rate: float | None = None
    # What makes the actions: "l1", "bins" or "flow".
    head: HeadKind | None = None
    # How sentences are read: "hashed" or "subword".
    text_encoder: TextKind | None = None
    # What joins image, sentence and state: "pooled" or "transformer".
    fusion: FusionKind | None = None
    # Whether the network also reads how the fingers moved in the last steps; unset keeps the preset's.
    finger_motion: bool | None = None
    # Width of the wrist camera's frames that the network reads too, pixels, e.g. 64; 0 reads none.
    wrist_size: int | None = None
    # Passes that a batch is cut into.
    accumulate: int | None = None
    # Arithmetic of convolutions and linear layers: "fp32" or "bf16".
    precision: Precision | None = None
    # How the samples are varied.
    augment: AugmentChanges = field(default_factory=AugmentChanges)
    # A finished checkpoint to begin with: its weights, normalization and words are kept, for fine-tuning.
    init: Path | None = None
    # Where the network is trained: "cpu" or "cuda"; only "cpu" gives the same bits again.
    device: Literal["cpu", "cuda"] = "cpu"
    # Compile the network with torch.compile first: it pays in long trainings, and changes the last bits.
    compile: bool = False
    # Batches that are made ready ahead, in threads of their own; they change no byte.
    prefetch: int = 1
    # Seed of weights and of everything random in training.
    seed: int = 0
    # Threads; unset takes one per core. Another number may change the last bits of the weights.
    threads: int | None = None
    # Seconds between savings of the training's state.
    save_every: float = 60.0
    # Validations during training, evenly spaced.
    validations: int = 4
    # Samples of each source in each validation.
    validation_samples: int = 512
    # Stop once so many validations in a row brought no lower loss, and keep the weights of the lowest; unset goes on.
    patience: int | None = None
    # Rollouts in our own engine at each validation.
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    # Split of the datasets that validates.
    validation_split: str = "val"
    # Most memory for frames, GB.
    memory_gb: float = 6.0
    # Write TensorBoard events beside the curve.
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require(self, TRAINING_RANGES | {"patience": POSITIVE, "prefetch": Numbers(0, 1024)})

    def resolved(self) -> Preset:
        """Return the preset with this job's changes; an unknown name or an impossible number is refused."""
        for what, name, allowed in (
            ("preset", self.preset, PRESETS),
            ("head", self.head, HEADS),
            ("text_encoder", self.text_encoder, TEXTS),
            ("fusion", self.fusion, FUSIONS),
            ("precision", self.precision, PRECISIONS),
        ):
            if name is not None and name not in allowed:
                raise unknown(what, name, allowed)
        for name in ("steps", "minutes", "batch", "accumulate", "learning_rate"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"{name} = {value} is not allowed. Allowed: numbers above 0, or leave it unset.")
        wrist = self.wrist_size or 0
        if wrist and wrist not in PIXELS:
            raise UserError(
                f"wrist_size = {self.wrist_size} is not allowed. Allowed: 0, which reads no wrist camera, or "
                f"{PIXELS} pixels; the datasets must hold frames at least as wide."
            )
        preset = PRESETS[self.preset]
        changes = {name: getattr(self, name) for name in CHANGEABLE if getattr(self, name) is not None}
        made = replace(preset, **changes, augment=_changed(preset.augment, self.augment))
        if made.batch % made.accumulate:
            fitting = -(-made.batch // made.accumulate) * made.accumulate
            raise UserError(
                f"A batch of {made.batch} samples cannot be cut into accumulate = {made.accumulate} equal passes. "
                f"Choose a batch that is a multiple of it, for example {fitting}."
            )
        return made

    def budget(self) -> Budget:
        """Return how long training goes on."""
        steps = self.steps or (None if self.minutes else self.resolved().steps)
        return Budget(steps=steps, seconds=None if self.minutes is None else 60 * self.minutes)


def _changed(augment: Augment, changes: AugmentChanges) -> Augment:
    """Return `augment` with the changes; impossible numbers are refused by name."""
    made = replace(augment, **{name: value for name, value in asdict(changes).items() if value is not None})
    for name, value in asdict(made).items():
        most = 1.0 if name in SHARES else math.inf
        below = name in ("crop", "erase_area")
        if not 0 <= value <= most or (below and value == most):
            wanted = "0 to below 1" if below else "0 to 1" if name in SHARES else "0 or more"
            raise UserError(f"augment.{name} = {value} is not allowed. Allowed: {wanted}.")
    return made


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

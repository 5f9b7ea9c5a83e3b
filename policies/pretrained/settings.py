"""Settings of fine-tuning: what a job may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from datagen.mixture import MixConfig
from policies.vla.settings import TRAINING_RANGES, Budget
from sim.errors import UserError
from sim.ranges import ABOVE_0, PIXELS, POSITIVE, WHOLE, Numbers, require

Train = Literal["lora", "head", "last", "language", "all"]
Dtype = Literal["fp32", "bf16"]

PROMPT = "{image}In: What action should the robot take to {instruction}?\nOut:"
"""The prompt of OpenVLA (Kim et al. 2024). {image} becomes the model's own image token, if it has one; {instruction}
the sentence in small letters without its full stop, {sentence} the sentence as it is."""

FLOW_PROMPT = "{sentence}"
"""The prompt of pi0; its processor puts image tokens in front of it and a line break behind."""

BINS = 256
"""Values that one number of an action can have as a token."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021): W + alpha / rank * B A, of which only A and B are trained."""

    rank: int = 32
    alpha: int = 16
    # Share of the adapters' inputs that is dropped in training, 0 to below 1.
    dropout: float = 0.0
    # Modules that get one: "all-linear" (but the output layer), or what their names end with: "q_proj", "v_proj".
    targets: tuple[str, ...] = ("all-linear",)
    # Leave the image encoder without adapters.
    skip_vision: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be."""
        rank = Numbers(1, 65_536)
        require(self, {"rank": rank, "alpha": rank, "dropout": Numbers(0, 1, below=True)}, part="lora")
        if not self.targets:
            raise UserError('lora: targets is empty. Name at least one, or leave it unset: targets = ["all-linear"].')


RANGES = {
    **dict.fromkeys(("batch", "accumulate", "last_layers", "steps", "chunk"), POSITIVE),
    **dict.fromkeys(("minutes", "learning_rate", "clip"), ABOVE_0),
    **dict.fromkeys(("weight_decay", "shift"), WHOLE),
    "image_size": PIXELS,
    "warmup": Numbers(0, 1, below=True),
}


@dataclass(frozen=True)
class FinetuneConfig:
    """One fine-tuning of a pretrained model."""

    # The datasets and their weights.
    data: MixConfig
    # The pretrained model: a local folder, or an id of the Hugging Face hub, which is downloaded once.
    base: str
    # Folder of the checkpoint; an unfinished training in it is continued.
    out: Path
    # Branch, tag or commit of a hub id.
    revision: str = "main"
    # Run the Python files that come with the model. They can do anything that you can: read them first.
    remote_code: bool = False
    # What is trained: low-rank adapters, the output layer, the last blocks and the output layer, everything but the
    # image encoder, or everything.
    train: Train = "lora"
    lora: Lora = field(default_factory=Lora)
    # Blocks of the language model that train = "last" trains.
    last_layers: int = 2
    # Actions per chunk; unset takes 1, and for flow-matching models what they were built for.
    chunk: int | None = None
    # Tell the model the state too, as tokens behind the prompt (flow-matching models always read it).
    read_state: bool = False
    # Prompt with {instruction} or {sentence}, and {image} for the image token; empty takes OpenVLA's, or pi0's.
    prompt: str = ""
    # Frames that the model's own image processor is given, pixels.
    image_size: int = 224
    # Arithmetic of the frozen weights: "bf16" halves their memory. What is trained stays in fp32.
    dtype: Dtype = "fp32"
    # "auto" takes the first GPU if there is one; or "cpu", "cuda", "cuda:1".
    device: str = "auto"
    # Recompute activations in the backward pass: less memory, a third slower.
    gradient_checkpointing: bool = False
    # Samples per step.
    batch: int = 16
    # Parts in which a step's samples pass through the model.
    accumulate: int = 1
    # Budget in steps; with both budgets, whichever is used up first ends it.
    steps: int | None = None
    # Budget in minutes.
    minutes: float | None = None
    # Peak learning rate; from it a cosine down to a tenth.
    learning_rate: float = 5e-4
    # Share of the budget that warms up to it.
    warmup: float = 0.05
    # Weight decay of AdamW.
    weight_decay: float = 0.0
    # Largest norm of the gradient.
    clip: float = 1.0
    # Largest random shift of a frame, pixels.
    shift: int = 6
    seed: int = 0
    # Threads of the CPU; unset takes one per core.
    threads: int | None = None
    # Seconds between savings of the training's state.
    save_every: float = 300.0
    # Validations during training, evenly spaced.
    validations: int = 4
    # Samples of each source in each validation.
    validation_samples: int = 128
    validation_split: str = "val"
    # Most memory for frames, GB.
    memory_gb: float = 6.0
    # Write TensorBoard events beside the curve.
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be, and a prompt without the sentence."""
        require(self, TRAINING_RANGES | RANGES)
        if self.batch % self.accumulate:
            raise UserError(
                f"A batch of {self.batch} samples cannot be cut into accumulate = {self.accumulate} equal parts."
            )
        told = self.prompt.count("{instruction}") + self.prompt.count("{sentence}")
        if self.prompt and (told != 1 or self.prompt.count("{image}") > 1):
            raise UserError(
                f"prompt = {self.prompt!r} must hold {{instruction}} or {{sentence}} once, and {{image}} at most once, "
                "where the model's image token belongs. Leave it unset for OpenVLA's."
            )

    def budget(self) -> Budget:
        """Return how long training goes on; one without an end is refused."""
        if self.steps is None and self.minutes is None:
            raise UserError("Fine-tuning needs an end: give steps = 2000, or minutes = 600, or both.")
        return Budget(steps=self.steps, seconds=None if self.minutes is None else 60 * self.minutes)

"""Named presets of VLA training: the shape of the network, how it is optimized, how its data is varied."""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.vla.kinds import FusionKind, HeadKind, Precision, TextKind

CHUNK = 8
"""Actions per chunk."""


@dataclass(frozen=True)
class Augment:
    """How training varies what it shows, anew each time a sample is drawn; 0 leaves a variation out."""

    # Largest random shift of a frame, pixels.
    shift: int = 3
    # Strength of the colour jitter: contrast, brightness, colour balance.
    jitter: float = 0.1
    # Noise on the normalized state, so that the policy does not follow the hand alone.
    state_noise: float = 0.05
    # Largest share of a frame's side that a random crop cuts away, or adds around it: at run time nothing is cut.
    crop: float = 0.0
    # Widest blur, standard deviation in pixels; strongest pixel noise, 1 = from black to white.
    blur: float = 0.0
    noise: float = 0.0
    # Share of the samples in which a random rectangle of the frame is erased, and its largest share of the frame.
    erase: float = 0.0
    erase_area: float = 0.1
    # Share of the samples whose sentence is said in another way that the task's grammar knows.
    paraphrase: float = 0.0
    # Noise on the normalized arm actions that are to be learned.
    action_noise: float = 0.0
    # Most steps by which the frame may be older than the state: a camera that drops frames.
    skip: int = 0
    # Share of the samples that are shown left-right mirrored: frame, points, state, actions and sentence.
    mirror: float = 0.0


@dataclass(frozen=True)
class Preset:
    """The shape of the network and how it is optimized."""

    # Frames the network reads, pixels.
    image_size: int
    # Channels and stride of the residual blocks after the stem; see policies/vla/shape.py.
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
    # What makes the actions, what reads the sentence, what joins them with the image; see policies/vla/shape.py.
    head: HeadKind = "l1"
    text_encoder: TextKind = "hashed"
    fusion: FusionKind = "pooled"
    text: int = 64
    width: int = 128
    layers: int = 2
    # Whether the state also says how the fingers moved; see policies/vla/shape.py.
    finger_motion: bool = True
    # Frames of the wrist camera that the network reads too, pixels; 0: none.
    wrist_size: int = 0
    # Passes that a batch is cut into: memory falls, the step stays the same.
    accumulate: int = 1
    # Arithmetic of training: "fp32", or "bf16" for convolutions and linear layers.
    precision: Precision = "fp32"
    # How the samples are varied.
    augment: Augment = field(default_factory=Augment)


PRESETS: dict[str, Preset] = {
    "debug": Preset(
        image_size=32, stem=8, channels=(16, 16), strides=(2, 1), keypoint_block=1, keypoints=8, hidden=32,
        batch=8, steps=20, learning_rate=2e-3, text=16, width=32, augment=Augment(shift=1),
    ),
    "cpu_minutes": Preset(
        image_size=128, stem=32, channels=(64, 64, 96), strides=(2, 1, 2), keypoint_block=1, keypoints=32, hidden=256,
        batch=32, steps=4000, learning_rate=1.2e-3,
    ),
    "cpu_hours": Preset(
        image_size=128, stem=32, channels=(64, 96, 96, 128), strides=(2, 1, 1, 2), keypoint_block=2, keypoints=48,
        hidden=384, batch=64, steps=40_000, learning_rate=1e-3,
    ),
    "one_gpu": Preset(
        image_size=128, stem=64, channels=(128, 256, 256, 384), strides=(2, 1, 1, 2), keypoint_block=2, keypoints=64,
        hidden=768, batch=256, steps=100_000, learning_rate=4e-4, weight_decay=0.01, ema=0.9995, head="flow",
        text_encoder="subword", fusion="transformer", text=256, width=512, layers=6, precision="bf16",
    ),
}  # fmt: skip

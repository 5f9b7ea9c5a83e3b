"""The shape of the network as data, what it is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from datagen.schema import POINTS
from policies.vla.kinds import FusionKind, HeadKind, TextKind

ARM, GRIPPER, KEYFRAME, STATE = 6, 1, 3, 8
"""Sizes of the arm's and the gripper's part of an action, of a keyframe target, and of the state."""

PLACES = len(POINTS)
"""Places in the frame that the network is asked for: of the object that the sentence means, and of the TCP."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the network."""

    # Width and height of the frames it reads, pixels; a multiple of 4.
    image_size: int = 128
    # The same of the wrist camera's; 0: it reads none.
    wrist_size: int = 0
    # Whether the state that it reads also says how the opening changed over the last steps: whether fingers still
    # close, or hold something, is seen in no single state.
    finger_motion: bool = False
    # Actions per chunk.
    chunk: int = 8
    # Channels of the stem, which reduces the image by 4.
    stem: int = 32
    # Channels and stride of each residual block.
    channels: tuple[int, ...] = (64, 64, 96)
    strides: tuple[int, ...] = (2, 1, 2)
    # The block whose map the keypoints are found in, counted from 0.
    keypoint_block: int = 1
    # Number of keypoints.
    keypoints: int = 32
    # Channels kept of the last map, which is pooled to 4 x 4.
    pooled: int = 32
    # Size of the sentence's embedding, and of the hidden layers.
    text: int = 64
    hidden: int = 256
    # What makes the actions: "l1" says them, "bins" chooses parts of their range, "flow" lets them flow from noise.
    head: HeadKind = "l1"
    # Parts of each arm value's range, under "bins".
    bins: int = 256
    # Euler steps from noise to actions, under "flow".
    flow_steps: int = 5
    # How sentences are read: "hashed" words, or "subword" pieces that a small transformer reads in order.
    text_encoder: TextKind = "hashed"
    # Pieces that the sub-word vocabulary holds, and the longest sentence in pieces; longer ones are cut.
    vocabulary: int = 0
    sentence: int = 48
    # What joins image, sentence and state: "pooled" features, or a "transformer" over tokens of them.
    fusion: FusionKind = "pooled"
    # Width, layers and attention heads of that transformer.
    width: int = 128
    layers: int = 2
    attention: int = 4


def state_size(config: ModelConfig) -> int:
    """Return how many numbers of the state the network reads."""
    return STATE + int(config.finger_motion)


class Seen(NamedTuple):
    """What the network makes of B samples before its head turns it into actions."""

    # (B, C) features from which the head makes the chunk.
    context: Tensor
    # (B, 3) way to the next keyframe, in units of `KEYFRAME_UNIT`.
    keyframe: Tensor
    # (B, PLACES, h, w) logit of each cell of a map to hold the place; training compares it with annotated points.
    ground: Tensor
    # The same in the wrist camera's frame; empty where it reads none.
    wrist_ground: Tensor


class Prediction(NamedTuple):
    """What the network says of B samples."""

    # (B, H, 6) normalized arm actions.
    arm: Tensor
    # (B, H) logit of an open gripper.
    gripper: Tensor
    # As in `Seen`.
    keyframe: Tensor
    ground: Tensor


@dataclass(frozen=True)
class Targets:
    """What a batch asks for, as tensors."""

    # (B, H, 6) normalized arm actions, (B, H) 1 = open, (B, H) 1 = counts, (B, 3) in KEYFRAME_UNIT, and (B, 2, 2)
    # shares of the frame, NaN where not known.
    arm: Tensor
    gripper: Tensor
    mask: Tensor
    keyframe: Tensor
    points: Tensor
    # (B, 2, 2) the same places in the wrist camera's frame.
    wrist_points: Tensor


@dataclass(frozen=True)
class Inputs:
    """One batch as the network takes it, and what it should answer."""

    # (B, 3, px, px) in [-1, 1], (B, L) numbers of words, (B, state_size) normalized.
    pixels: Tensor
    words: Tensor
    state: Tensor
    wanted: Targets
    # Of the head "flow": (B, H, 7) standard normal noise and (B,) times in [0, 1]. Others do not look at them.
    noise: Tensor
    time: Tensor
    # (B, 3, wrist_size, wrist_size) in [-1, 1], for a network that reads the wrist camera.
    near: Tensor | None = None

    def to(self, device: str) -> Inputs:
        """Return the same on `device`."""
        if device == "cpu":
            return self
        wanted = Targets(**{name: tensor.to(device) for name, tensor in vars(self.wanted).items()})
        parts = {name: tensor for name, tensor in vars(self).items() if name != "wanted" and tensor is not None}
        moved = {name: tensor.to(device) for name, tensor in parts.items()}
        return Inputs(**moved, wanted=wanted)

"""The network: a small residual CNN that the sentence modulates, keypoints, and one head for a chunk of actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from datagen.schema import POINTS
from policies.vla.text import BUCKETS

ARM, GRIPPER, KEYFRAME, STATE = 6, 1, 3, 8
"""Sizes of the arm's and the gripper's part of an action, of a keyframe target, and of the state."""

PLACES = len(POINTS)
"""Places in the frame that the network is asked for: of the object that the sentence means, and of the TCP."""

GROUPS = 8

NEAR = 4.0
"""Factor under which the head also sees the way to the keyframe, cut by tanh: the last centimetres decide a grasp."""

SPREAD = 3.0
"""Factor on the places of the points, which makes them about as large as the normalized state."""

SHARPNESS = 4.0
"""Factor on the keypoints' logits at the start: flat maps would all have the same expected place."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the network."""

    # Width and height of the frames it reads, pixels; a multiple of 4.
    image_size: int = 128
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


class Prediction(NamedTuple):
    """What the network says of B samples."""

    # (B, H, 6) normalized arm actions.
    arm: Tensor
    # (B, H) logit of an open gripper.
    gripper: Tensor
    # (B, 3) way to the next keyframe, in units of `KEYFRAME_UNIT`.
    keyframe: Tensor
    # (B, PLACES, h, w) logit of each cell of a map to hold the place; training compares it with annotated points.
    ground: Tensor


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions with group normalization, modulated by the sentence (FiLM)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, text: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.film = nn.Linear(text, 2 * outputs)
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """Return the next map (B, outputs, h / stride, w / stride)."""
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        scale, shift = self.film(sentence)[:, :, None, None].chunk(2, dim=1)
        y = torch.addcmul(shift, self.norm2(self.conv2(y)), 1 + scale)
        return functional.relu(y + self.skip(x), inplace=True)


class VlaModel(nn.Module):
    """Image, sentence and state to a chunk of actions."""

    # Keyframe units per unit of normalized TCP position, (3,); stored with the weights.
    tcp_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.EmbeddingBag(BUCKETS, config.text, mode="mean", padding_idx=0)
        self.stem = nn.Conv2d(3, config.stem, 8, 4, 2, bias=False)
        self.stem_norm = nn.GroupNorm(GROUPS, config.stem)
        widths = (config.stem, *config.channels)
        self.blocks = nn.ModuleList(
            Block(a, b, stride=stride, text=config.text)
            for a, b, stride in zip(widths, config.channels, config.strides, strict=False)
        )
        self.find = nn.Conv2d(config.channels[config.keypoint_block], config.keypoints, 1)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.ground = nn.Conv2d(config.channels[config.keypoint_block], PLACES, 1)
        self.pool = nn.Conv2d(config.channels[-1], config.pooled, 1)
        hidden = config.hidden
        self.see = nn.Sequential(
            nn.Linear(2 * config.keypoints + 16 * config.pooled, hidden), nn.LayerNorm(hidden), nn.ReLU()
        )
        self.feel = nn.Sequential(nn.Linear(config.text + STATE, config.text), nn.ReLU())
        # From where things are seen, and where the hand is, to where they are: a few numbers that decide much.
        self.locate = nn.Sequential(
            nn.Linear(2 * PLACES + STATE, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.trunk = nn.Sequential(nn.Linear(2 * hidden + config.text, hidden), nn.ReLU())
        # The place of the next keyframe in the base frame, from which the hand's own place is subtracted.
        self.place = nn.Linear(hidden, KEYFRAME)
        self.register_buffer("tcp_scale", torch.ones(KEYFRAME))
        self.head = nn.Sequential(
            nn.Linear(hidden + 2 * KEYFRAME + STATE, hidden),
            nn.ReLU(),
            nn.Linear(hidden, config.chunk * (ARM + GRIPPER)),
        )
        for block in self.blocks:
            nn.init.zeros_(block.film.weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(block.film.bias)  # type: ignore[union-attr, arg-type]

    def forward(self, pixels: Tensor, words: Tensor, state: Tensor) -> Prediction:
        """Return what it says of pixels (B, 3, px, px) in [-1, 1], words (B, L) and normalized state (B, 8)."""
        sentence = self.words(words)
        x = functional.relu(self.stem_norm(self.stem(pixels)), inplace=True)
        points, ground = torch.empty(0), torch.empty(0)
        for number, block in enumerate(self.blocks):
            x = block(x, sentence)
            if number == self.config.keypoint_block:
                points, ground = spatial_softmax(self.find(x) * self.sharpness), self.ground(x)
        coarse = functional.adaptive_avg_pool2d(self.pool(x), 4).flatten(1)
        seen, felt = self.see(torch.cat([points, coarse], dim=1)), self.feel(torch.cat([sentence, state], dim=1))
        located = self.locate(torch.cat([SPREAD * spatial_softmax(ground), state], dim=1))
        hidden = self.trunk(torch.cat([seen, felt, located], dim=1))
        keyframe = self.place(hidden) - state[:, :KEYFRAME] * self.tcp_scale
        near = torch.tanh(NEAR * keyframe)
        out = self.head(torch.cat([hidden, keyframe, near, state], dim=1)).view(-1, self.config.chunk, ARM + GRIPPER)
        return Prediction(arm=out[..., :ARM], gripper=out[..., ARM], keyframe=keyframe, ground=ground)


def spatial_softmax(logits: Tensor) -> Tensor:
    """Return the expected place (B, 2 K), x then y in [-1, 1], of each of K maps (B, K, h, w) (Finn et al. 2016)."""
    height, width = logits.shape[-2:]
    weight = functional.softmax(logits.flatten(2), dim=-1).view_as(logits)
    x = (weight.sum(dim=-2) * torch.linspace(-1, 1, width, device=logits.device)).sum(dim=-1)
    y = (weight.sum(dim=-1) * torch.linspace(-1, 1, height, device=logits.device)).sum(dim=-1)
    return torch.cat([x, y], dim=1)


def new_model(config: ModelConfig, *, seed: int) -> VlaModel:
    """Return a freshly initialized model; the weights depend on (config, seed) alone and no global state changes."""
    from sim.streams import generator

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "vla", "weights").integers(2**62)))
        return VlaModel(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())

"""What networks see with: residual blocks that a sentence modulates, keypoints, and the tower of the wrist camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.vla.shape import PLACES, ModelConfig

GROUPS = 8
"""Groups of the normalization; numbers of channels are multiples of it."""

SHARPNESS = 4.0
"""Factor on the keypoints' logits at the start: flat maps would all have the same expected place."""


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


def spatial_softmax(logits: Tensor) -> Tensor:
    """Return the expected place (B, 2 K), x then y in [-1, 1], of each of K maps (B, K, h, w) (Finn et al. 2016)."""
    height, width = logits.shape[-2:]
    weight = functional.softmax(logits.flatten(2), dim=-1).view_as(logits)
    x = (weight.sum(dim=-2) * torch.linspace(-1, 1, width, device=logits.device)).sum(dim=-1)
    y = (weight.sum(dim=-1) * torch.linspace(-1, 1, height, device=logits.device)).sum(dim=-1)
    return torch.cat([x, y], dim=1)


def blocks(widths: Sequence[int], config: ModelConfig) -> nn.ModuleList:
    """Return the residual blocks of a tower whose maps have `widths` channels, that of the stem first."""
    pairs = zip(widths, widths[1:], config.strides, strict=False)
    return nn.ModuleList(Block(a, b, stride=stride, text=config.text) for a, b, stride in pairs)


class Tower(Protocol):
    """A stem, residual blocks, and what is found in the map of one of them."""

    config: ModelConfig
    stem: nn.Conv2d
    stem_norm: nn.GroupNorm
    blocks: nn.ModuleList
    find: nn.Conv2d
    sharpness: nn.Parameter
    ground: nn.Conv2d


def through(tower: Tower, pixels: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the last map, the expected places of the keypoints, and the logits of the points' maps."""
    x = functional.relu(tower.stem_norm(tower.stem(pixels)), inplace=True)
    last = tower.config.keypoint_block + 1
    for block in tower.blocks[:last]:
        x = block(x, sentence)
    points, ground = spatial_softmax(tower.find(x) * tower.sharpness), tower.ground(x)
    for block in tower.blocks[last:]:
        x = block(x, sentence)
    return x, points, ground


class WristSeen(NamedTuple):
    """What is made of B frames of the wrist camera."""

    # (B, hidden) features, (B, 2 PLACES) expected places of the points, and the logits of their maps.
    features: Tensor
    places: Tensor
    ground: Tensor


class Wrist(nn.Module):
    """The tower of the wrist camera: that of the other camera with half the channels, and a stem of half the stride.

    The hand's own camera sees near, so that half of the resolution tells as much.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        stem, *channels = (max(GROUPS, width // 2) for width in (config.stem, *config.channels))
        keypoints, pooled = config.keypoints // 2, config.pooled // 2
        self.config = config
        self.stem = nn.Conv2d(3, stem, 4, 2, 1, bias=False)
        self.stem_norm = nn.GroupNorm(GROUPS, stem)
        self.blocks = blocks((stem, *channels), config)
        self.find = nn.Conv2d(channels[config.keypoint_block], keypoints, 1)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.ground = nn.Conv2d(channels[config.keypoint_block], PLACES, 1)
        self.pool = nn.Conv2d(channels[-1], pooled, 1)
        self.see = nn.Sequential(
            nn.Linear(2 * keypoints + 16 * pooled, config.hidden), nn.LayerNorm(config.hidden), nn.ReLU()
        )

    def forward(self, pixels: Tensor, sentence: Tensor) -> WristSeen:
        """Return what it makes of pixels (B, 3, px, px) in [-1, 1] and sentences (B, text)."""
        x, points, ground = through(self, pixels, sentence)
        coarse = functional.adaptive_avg_pool2d(self.pool(x), 4).flatten(1)
        return WristSeen(self.see(torch.cat([points, coarse], dim=1)), spatial_softmax(ground), ground)

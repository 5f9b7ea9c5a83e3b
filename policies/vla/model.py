"""The network: a small residual CNN that the sentence modulates, keypoints, and one head for a chunk of actions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.vla.fusion import Fusion, Pieces, Sentence, Words
from policies.vla.heads import as_head, new_head
from policies.vla.kinds import FUSIONS, TEXTS
from policies.vla.shape import KEYFRAME, PLACES, ModelConfig, Prediction, Seen, state_size
from sim.errors import unknown

GROUPS = 8

NEAR = 4.0
"""Factor under which the head also sees the way to the keyframe, cut by tanh: the last centimetres decide a grasp."""

SPREAD = 3.0
"""Factor on the places of the points, which makes them about as large as the normalized state."""

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


class VlaModel(nn.Module):
    """Image, sentence and state to a chunk of actions."""

    # Keyframe units per unit of normalized TCP position, (3,); stored with the weights.
    tcp_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.words = Pieces(config) if config.text_encoder == "subword" else Words(config)
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
        self._add_joining(config)
        # The place of the next keyframe in the base frame, from which the hand's own place is subtracted.
        self.place = nn.Linear(config.hidden, KEYFRAME)
        self.register_buffer("tcp_scale", torch.ones(KEYFRAME))
        self.head = new_head(config, config.hidden + 2 * KEYFRAME + state_size(config))
        for block in self.blocks:
            nn.init.zeros_(block.film.weight)  # type: ignore[union-attr, arg-type]
            nn.init.zeros_(block.film.bias)  # type: ignore[union-attr, arg-type]

    def _add_joining(self, config: ModelConfig) -> None:
        """Add what joins image, sentence and state."""
        hidden, pooled = config.hidden, config.fusion == "pooled"
        if pooled:
            self.pool = nn.Conv2d(config.channels[-1], config.pooled, 1)
            self.see = nn.Sequential(
                nn.Linear(2 * config.keypoints + 16 * config.pooled, hidden), nn.LayerNorm(hidden), nn.ReLU()
            )
            self.feel = nn.Sequential(nn.Linear(config.text + state_size(config), config.text), nn.ReLU())
        # From where things are seen, and where the hand is, to where they are: a few numbers that decide much.
        self.locate = nn.Sequential(
            nn.Linear(2 * PLACES + state_size(config), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        if pooled:
            self.trunk = nn.Sequential(nn.Linear(2 * hidden + config.text, hidden), nn.ReLU())
        else:
            self.fusion = Fusion(config, cells=_cells(config), state=state_size(config))

    def perceive(self, pixels: Tensor, words: Tensor, state: Tensor) -> Seen:
        """Return what it makes of pixels (B, 3, px, px) in [-1, 1], words (B, L) and normalized state (B, 8 or 9)."""
        sentence = self.words.read(words)
        x = functional.relu(self.stem_norm(self.stem(pixels)), inplace=True)
        points, ground = torch.empty(0), torch.empty(0)
        for number, block in enumerate(self.blocks):
            x = block(x, sentence.whole)
            if number == self.config.keypoint_block:
                points, ground = spatial_softmax(self.find(x) * self.sharpness), self.ground(x)
        hidden = self._joined(x, points, ground, sentence, state)
        keyframe = self.place(hidden) - state[:, :KEYFRAME] * self.tcp_scale
        near = torch.tanh(NEAR * keyframe)
        return Seen(torch.cat([hidden, keyframe, near, state], dim=1), keyframe, ground)

    def _joined(self, x: Tensor, points: Tensor, ground: Tensor, sentence: Sentence, state: Tensor) -> Tensor:
        """Return features (B, hidden) of image, sentence and state."""
        if self.config.fusion == "pooled":
            coarse = functional.adaptive_avg_pool2d(self.pool(x), 4).flatten(1)
            seen = self.see(torch.cat([points, coarse], dim=1))
            felt = self.feel(torch.cat([sentence.whole, state], dim=1))
        located = self.locate(torch.cat([SPREAD * spatial_softmax(ground), state], dim=1))
        if self.config.fusion == "pooled":
            hidden: Tensor = self.trunk(torch.cat([seen, felt, located], dim=1))
            return hidden
        joined: Tensor = self.fusion(x, points, sentence, state, located)
        return joined

    def forward(self, pixels: Tensor, words: Tensor, state: Tensor, noise: Tensor | None = None) -> Prediction:
        """Return what it says; arguments as in `perceive`, and `noise` (B, H, 7) as in `Head.decode`."""
        seen = self.perceive(pixels, words, state)
        arm, gripper = as_head(self.head).decode(seen.context, noise)
        return Prediction(arm, gripper, seen.keyframe, seen.ground)


def _check(config: ModelConfig) -> None:
    """Refuse names that are none; `new_head` refuses those of heads."""
    for what, name, allowed in (
        ("text_encoder", config.text_encoder, TEXTS),
        ("fusion", config.fusion, FUSIONS),
    ):
        if name not in allowed:
            raise unknown(what, name, allowed)


def _cells(config: ModelConfig) -> int:
    """Return the width of the last map."""
    size = config.image_size // 4
    for stride in config.strides:
        size = math.ceil(size / stride)
    return size


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

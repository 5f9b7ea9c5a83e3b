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
from policies.vla.vision import GROUPS, SHARPNESS, Wrist, WristSeen, blocks, spatial_softmax, through
from sim.errors import unknown

NEAR = 4.0
"""Factor under which the head also sees the way to the keyframe, cut by tanh: the last centimetres decide a grasp."""

SPREAD = 3.0
"""Factor on the places of the points, which makes them about as large as the normalized state."""


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
        self.blocks = blocks(widths, config)
        self.find = nn.Conv2d(config.channels[config.keypoint_block], config.keypoints, 1)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.ground = nn.Conv2d(config.channels[config.keypoint_block], PLACES, 1)
        self._add_joining(config)
        # The place of the next keyframe in the base frame, from which the hand's own place is subtracted.
        self.place = nn.Linear(config.hidden, KEYFRAME)
        self.register_buffer("tcp_scale", torch.ones(KEYFRAME))
        self.head = new_head(config, config.hidden + 2 * KEYFRAME + state_size(config))
        self.wrist = Wrist(config) if config.wrist_size else None
        for block in (*self.blocks, *(self.wrist.blocks if self.wrist is not None else ())):
            nn.init.zeros_(block.film.weight)
            nn.init.zeros_(block.film.bias)

    def _add_joining(self, config: ModelConfig) -> None:
        """Add what joins image, sentence and state."""
        hidden, pooled, cameras = config.hidden, config.fusion == "pooled", 2 if config.wrist_size else 1
        if pooled:
            self.pool = nn.Conv2d(config.channels[-1], config.pooled, 1)
            self.see = nn.Sequential(
                nn.Linear(2 * config.keypoints + 16 * config.pooled, hidden), nn.LayerNorm(hidden), nn.ReLU()
            )
            self.feel = nn.Sequential(nn.Linear(config.text + state_size(config), config.text), nn.ReLU())
        # From where things are seen, and where the hand is, to where they are: a few numbers that decide much.
        self.locate = nn.Sequential(
            nn.Linear(2 * PLACES * cameras + state_size(config), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        if pooled:
            self.trunk = nn.Sequential(nn.Linear((1 + cameras) * hidden + config.text, hidden), nn.ReLU())
        else:
            self.fusion = Fusion(config, cells=_cells(config), state=state_size(config))

    def perceive(self, pixels: Tensor, words: Tensor, state: Tensor, near: Tensor | None = None) -> Seen:
        """Return what it makes of pixels (B, 3, px, px) in [-1, 1], words (B, L) and normalized state (B, 8 or 9).

        `near` are the pixels (B, 3, wrist_size, wrist_size) of the wrist camera, for a network that reads them.
        """
        sentence = self.words.read(words)
        close = None if self.wrist is None else self.wrist(near, sentence.whole)
        x, points, ground = through(self, pixels, sentence.whole)
        hidden = self._joined(x, points, ground, sentence, state, close)
        keyframe = self.place(hidden) - state[:, :KEYFRAME] * self.tcp_scale
        last = torch.tanh(NEAR * keyframe)
        context = torch.cat([hidden, keyframe, last, state], dim=1)
        return Seen(context, keyframe, ground, torch.empty(0) if close is None else close.ground)

    def _joined(
        self, x: Tensor, points: Tensor, ground: Tensor, sentence: Sentence, state: Tensor, close: WristSeen | None
    ) -> Tensor:
        """Return features (B, hidden) of images, sentence and state."""
        places = [SPREAD * spatial_softmax(ground), *([] if close is None else [SPREAD * close.places])]
        located = self.locate(torch.cat([*places, state], dim=1))
        near = [] if close is None else [close.features]
        if self.config.fusion == "pooled":
            coarse = functional.adaptive_avg_pool2d(self.pool(x), 4).flatten(1)
            seen = self.see(torch.cat([points, coarse], dim=1))
            felt = self.feel(torch.cat([sentence.whole, state], dim=1))
            hidden: Tensor = self.trunk(torch.cat([seen, felt, located, *near], dim=1))
            return hidden
        joined: Tensor = self.fusion(x, points, sentence, state, located, *near)
        return joined

    def forward(
        self,
        pixels: Tensor,
        words: Tensor,
        state: Tensor,
        noise: Tensor | None = None,
        near: Tensor | None = None,
    ) -> Prediction:
        """Return what it says; arguments as in `perceive`, and `noise` (B, H, 7) as in `Head.decode`."""
        seen = self.perceive(pixels, words, state, near)
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


def new_model(config: ModelConfig, *, seed: int) -> VlaModel:
    """Return a freshly initialized model; the weights depend on (config, seed) alone and no global state changes."""
    from sim.streams import generator

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "vla", "weights").integers(2**62)))
        return VlaModel(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())

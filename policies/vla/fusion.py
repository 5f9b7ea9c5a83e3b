"""What reads sentences in order, and what joins image, sentence and state: small transformers over tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.vla.shape import ModelConfig
from policies.vla.text import BUCKETS

READERS = 4
"""Tokens that gather what the head needs."""


class Sentence(NamedTuple):
    """What is read of B sentences."""

    # (B, text) the sentence as a whole.
    whole: Tensor
    # (B, L, text) its pieces, and (B, L) True where there is one.
    pieces: Tensor
    there: Tensor


class Layer(nn.Module):
    """One layer of a transformer: attention, then two linear layers, each after its normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Return tokens (B, L, width) that looked at those of x that are there (B, L)."""
        parts = self.into(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None, :])
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.wide(self.norm2(x))))  # type: ignore[no-any-return]


class Words(nn.EmbeddingBag):
    """Hashed words: the mean of their embeddings; a blank sentence is the zero vector."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(BUCKETS, config.text, mode="mean", padding_idx=0)

    def read(self, words: Tensor) -> Sentence:
        """Return what is said by buckets (B, L); the only piece is the whole."""
        whole = self(words)
        return Sentence(whole, whole[:, None], torch.ones(len(whole), 1, dtype=torch.bool, device=whole.device))


class Pieces(nn.Module):
    """Sub-word pieces in their order, read by two layers of a transformer; the first piece is always there."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(config.vocabulary, config.text, padding_idx=0)
        self.order = nn.Parameter(0.02 * torch.randn(config.sentence, config.text))
        self.layers = nn.ModuleList(Layer(config.text, 4) for _ in range(2))
        self.norm = nn.LayerNorm(config.text)

    def read(self, words: Tensor) -> Sentence:
        """Return what is said by pieces (B, L); the first of them stands for the whole."""
        there = words > 0
        x = self.embed(words) + self.order[: words.shape[1]]
        for layer in self.layers:
            x = layer(x, there)
        x = self.norm(x)
        return Sentence(x[:, 0], x, there)


class Fusion(nn.Module):
    """A transformer over tokens of the image's map, the keypoints, the sentence, the state and the found points."""

    def __init__(self, config: ModelConfig, *, cells: int, state: int) -> None:
        super().__init__()
        width = config.width
        self.image = nn.Linear(config.channels[-1], width)
        self.keypoints = nn.Linear(2 * config.keypoints, width)
        self.sentence = nn.Linear(config.text, width)
        self.state = nn.Linear(state, width)
        self.located = nn.Linear(config.hidden, width)
        self.near = nn.Linear(config.hidden, width) if config.wrist_size else None
        self.places = nn.Parameter(0.02 * torch.randn(cells * cells, width))
        self.kinds = nn.Parameter(0.02 * torch.randn(5 if config.wrist_size else 4, width))
        self.readers = nn.Parameter(0.02 * torch.randn(READERS, width))
        self.layers = nn.ModuleList(Layer(width, config.attention) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Sequential(nn.Linear(READERS * width, config.hidden), nn.ReLU())

    def forward(
        self,
        x: Tensor,
        points: Tensor,
        sentence: Sentence,
        state: Tensor,
        located: Tensor,
        near: Tensor | None = None,
    ) -> Tensor:
        """Return features (B, hidden) of a map (B, channels, cells, cells) and of what goes with it.

        `near` (B, hidden) is what the wrist camera sees, for a network that reads it.
        """
        image = self.image(x.flatten(2).transpose(1, 2)) + self.places
        single = torch.stack([self.keypoints(points), self.state(state), self.located(located)], dim=1) + self.kinds[:3]
        if self.near is not None:
            single = torch.cat([single, (self.near(near) + self.kinds[4])[:, None]], dim=1)
        said = self.sentence(sentence.pieces) + self.kinds[3]
        readers = self.readers.expand(len(x), -1, -1)
        tokens = torch.cat([readers, single, said, image], dim=1)
        always = torch.ones(len(x), READERS + single.shape[1], dtype=torch.bool, device=x.device)
        there = torch.cat([always, sentence.there, always.new_ones(len(x), image.shape[1])], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, there)
        gathered: Tensor = self.leave(self.norm(tokens[:, :READERS]).flatten(1))
        return gathered

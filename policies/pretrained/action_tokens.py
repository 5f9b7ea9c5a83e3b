"""Actions as tokens: numbers in [-1, 1] cut into 256 bins that take the place of the vocabulary's last tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.pretrained.settings import BINS
from sim.errors import UserError

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class ActionTokens:
    """The layout of OpenVLA and RT-2: the bin k = 1 .. 256 of a number is the k-th token from the vocabulary's end.

    The 256 edges run evenly from -1 to 1, so 1 has a bin of its own; a bin stands for the middle of its edges, and
    the last two for the same middle (Kim et al. 2024, `ActionTokenizer`). The tokens at the end are those that text
    needs least.
    """

    # Token of bin k at place k - 1: descending ids.
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse another number of tokens, or tokens given twice."""
        if len(self.ids) != BINS or len(set(self.ids)) != BINS:
            raise UserError(f"{len(set(self.ids))} different tokens cannot stand for {BINS} bins.")

    def encode(self, values: NDArray[np.float32]) -> Ids:
        """Return the tokens (...) of numbers (...); those beyond -1 and 1 are cut."""
        edges = np.linspace(-1.0, 1.0, BINS)
        bins = np.digitize(np.clip(values.astype(np.float64), -1.0, 1.0), edges)
        tokens: Ids = np.array(self.ids, dtype=np.int64)[bins - 1]
        return tokens

    def decode(self, tokens: Ids) -> NDArray[np.float32]:
        """Return the numbers (...) in [-1, 1] that tokens (...) stand for; a token of text is a fault of ours."""
        place = {token: number for number, token in enumerate(self.ids)}
        bins = np.array([place[int(token)] for token in tokens.ravel()], dtype=np.int64).reshape(tokens.shape)
        edges = np.linspace(-1.0, 1.0, BINS)
        centers = (edges[:-1] + edges[1:]) / 2
        values: NDArray[np.float32] = centers[np.minimum(bins, BINS - 2)].astype(np.float32)
        return values


def action_tokens(tokenizer: Any, *, outputs: int) -> ActionTokens:
    """Return the last 256 tokens of a tokenizer's own vocabulary, special ones left out.

    `outputs` is how many tokens the model can say; a vocabulary that it does not cover is refused.
    """
    special = set(tokenizer.all_special_ids)
    tail = [token for token in range(int(tokenizer.vocab_size) - 1, -1, -1) if token not in special][:BINS]
    if len(tail) < BINS or tail[0] >= outputs:
        raise UserError(
            f"The tokenizer has {tokenizer.vocab_size:,} tokens and the model can say {outputs:,}: {BINS} of them "
            "cannot stand for actions. Choose a model whose tokenizer belongs to it."
        )
    return ActionTokens(tuple(tail))


def overlapping(tokens: ActionTokens, prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens of the prompts also stand for actions."""
    taken = set(tokens.ids)
    return sum(token in taken for prompt in prompts for token in prompt)

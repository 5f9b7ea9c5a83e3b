"""How a network reads sentences: hashed words without a vocabulary, or sub-word pieces of one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policies.vla.shape import ModelConfig
from policies.vla.text import encode

Read = Callable[[Sequence[str]], NDArray[np.int64]]
"""Sentences to their numbers (k, L), 0 where there is nothing."""


class Vocabulary(Protocol):
    """Sub-word pieces; see policies/vla/subword.py."""

    @property
    def size(self) -> int:
        """Number of pieces."""

    def encode(self, sentences: Sequence[str], *, length: int) -> NDArray[np.int64]:
        """Return the pieces (k, length) of k sentences."""

    def save(self, folder: Path) -> str:
        """Write it to `folder` and return the SHA-256 of its file."""


def reader(config: ModelConfig, vocabulary: Vocabulary | None) -> Read:
    """Return what turns sentences into what a network of this shape reads."""
    if vocabulary is None:
        return encode
    return functools.partial(vocabulary.encode, length=config.sentence)


def load_vocabulary(folder: Path, *, expected: str) -> Vocabulary:
    """Return the vocabulary in `folder`; the library that reads it is only imported here."""
    from policies.vla import subword

    return subword.load_vocabulary(folder, expected=expected)


def learn_vocabulary(sentences: Sequence[str]) -> Vocabulary:
    """Return the vocabulary of the training's sentences."""
    from policies.vla import subword

    return subword.learn_vocabulary(sentences)

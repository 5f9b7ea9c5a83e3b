"""Sentences to numbers without a vocabulary: words, pairs of words and letter trigrams, hashed into buckets."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BUCKETS = 4096
"""Number of embeddings; bucket 0 is padding and stays zero."""

_WORD = re.compile(r"\w+")


def features(sentence: str) -> tuple[str, ...]:
    """Return what is known of a sentence: its words, its pairs of neighbours, and the trigrams of `<word>`.

    Trigrams let unseen forms of a word share what was learned (Bojanowski et al. 2017); pairs keep the order.
    """
    words = _WORD.findall(sentence.lower())
    marked = [f"<{word}>" for word in words]
    trigrams = [word[i : i + 3] for word in marked for i in range(len(word) - 2)]
    pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
    return (*marked, *pairs, *trigrams)


@functools.lru_cache(maxsize=65_536)
def bucket(feature: str) -> int:
    """Return the bucket of one feature, 1 to BUCKETS - 1, the same on every machine and in every version."""
    digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "little") % (BUCKETS - 1)


def encode(sentences: Sequence[str]) -> NDArray[np.int64]:
    """Return the buckets (k, longest) of k sentences, padded with 0; a blank sentence is nothing but padding."""
    rows = [[bucket(feature) for feature in features(sentence)] for sentence in sentences]
    longest = max(1, *(len(row) for row in rows)) if rows else 1
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return ids

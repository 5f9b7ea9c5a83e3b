"""Sentences to sub-word pieces: byte-level pair encoding, its vocabulary made of the training sentences themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from sim.errors import UserError
from sim.files import sha256, write_bytes

FILE = "tokenizer.json"
"""Beside the weights, in the format of the `tokenizers` library."""

PAD, BEGIN = "[pad]", "[begin]"
"""Pieces 0 and 1: nothing, and the beginning of every sentence, also of a blank one."""

MOST = 1024
"""Pieces of a vocabulary at most: 2, the 256 bytes, and what is frequent in the training sentences."""


class Vocabulary:
    """Sub-word pieces. Any text can be said with them: what no training sentence held falls apart into bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @property
    def size(self) -> int:
        """Number of pieces."""
        return int(self._tokenizer.get_vocab_size())

    def pieces(self, sentence: str) -> tuple[str, ...]:
        """Return the pieces of a sentence as the library writes them."""
        return tuple(self._tokenizer.encode(" ".join(sentence.split())).tokens)

    def encode(self, sentences: Sequence[str], *, length: int) -> NDArray[np.int64]:
        """Return the pieces (k, length) of k sentences: the beginning, then each sentence, cut or padded with 0."""
        ids = np.zeros((len(sentences), length), dtype=np.int64)
        ids[:, 0] = 1
        for row, sentence in enumerate(sentences):
            found = self._tokenizer.encode(" ".join(sentence.split())).ids[: length - 1]
            ids[row, 1 : 1 + len(found)] = found
        return ids

    def save(self, folder: Path) -> str:
        """Write the vocabulary to `folder` and return the SHA-256 of its file."""
        write_bytes(folder / FILE, self._tokenizer.to_str(pretty=True).encode())
        return sha256(folder / FILE)


def learn_vocabulary(sentences: Iterable[str]) -> Vocabulary:
    """Return the vocabulary of these sentences; their order does not matter."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    trainer = BpeTrainer(
        vocab_size=MOST, special_tokens=[PAD, BEGIN], initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(sorted(set(sentences)), trainer)
    return Vocabulary(tokenizer)


def load_vocabulary(folder: Path, *, expected: str) -> Vocabulary:
    """Return the vocabulary in `folder`; another one than the network was trained with is refused."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{path} does not exist. This checkpoint reads sub-word pieces: restore the file, or train again."
        )
    if (digest := sha256(path)) != expected:
        raise UserError(
            f"{path} is not the vocabulary of this checkpoint: its SHA-256 is {digest[:16]}..., the record says "
            f"{expected[:16]}... Other pieces would mean other words. Restore the file, or train again."
        )
    try:
        return Vocabulary(Tokenizer.from_file(str(path)))
    except Exception as error:  # The library raises plain Exceptions.
        raise UserError(f"{path} cannot be read: {error}. Restore it, or train again.") from error

"""Stored values of a feature back to columns: arrays with a leading step axis, or encoded images and texts."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen import example
from datagen.features import Leaf
from sim.errors import UserError


def step_column(values: example.Values, leaf: Leaf, where: str) -> NDArray[Any] | list[bytes]:
    """Return one stored feature as a column with a leading step axis."""
    if not isinstance(values, np.ndarray):
        if leaf.kind != "tensor":
            return list(values)
        unpacked: NDArray[Any] = np.stack([_unpacked(value, leaf) for value in values])
        return unpacked
    try:
        column: NDArray[Any] = values.reshape(-1, *_sizes(leaf)).astype(leaf.dtype, copy=False)
    except ValueError as error:
        raise UserError(f"{where} has {values.size} values of {leaf.key!r}, no multiple of {leaf.shape}.") from error
    return column


def episode_value(values: example.Values, leaf: Leaf, where: str) -> Any:
    """Return one stored feature of the episode: a text, a number or an array."""
    if not isinstance(values, np.ndarray):
        if leaf.kind == "tensor":
            return _unpacked(values[0], leaf)
        if leaf.kind == "image":
            return values[0]
        texts = [value.decode(errors="replace") for value in values]
        return texts if leaf.shape else texts[0]
    array = values.astype(leaf.dtype, copy=False)
    return array.reshape(_sizes(leaf)) if leaf.shape else array[0].item()


def _sizes(leaf: Leaf) -> tuple[int, ...]:
    return tuple(-1 if size is None else size for size in leaf.shape)


def _unpacked(value: bytes, leaf: Leaf) -> NDArray[Any]:
    """Return a tensor that is stored as bytes, compressed or not."""
    raw = zlib.decompress(value) if leaf.encoding == "zlib" else value
    return np.frombuffer(raw, dtype=leaf.dtype).reshape(_sizes(leaf))

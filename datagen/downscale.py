"""The one way in which frames become smaller: exact area averaging in integers, in training as at run time."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError


def downscale(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return square frames (k, size, size, 3) u8 of frames (k, h, h, 3) u8, each pixel the mean of the area it covers.

    Sums are exact integers and the mean is rounded half up, so equal frames give equal bytes on every machine.
    """
    height, width = images.shape[-3:-1]
    if height != width or size > height:
        raise UserError(
            f"Frames of {height} x {width} pixels cannot be reduced to {size} x {size}: allowed are square frames at "
            f"least that large. Render square frames, or choose a model resolution of at most {min(height, width)}."
        )
    if size == height:
        return images
    if height % size == 0:
        return _whole_factor(images, height // size)
    return _fraction(images, size)


def _whole_factor(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return frames reduced by a whole factor: the mean of each factor x factor block, one channel at a time."""
    area = factor * factor
    kind = np.dtype(np.uint16 if 255 * area < 2**16 else np.uint32)
    rows = functools.reduce(np.add, (images[..., i::factor, :, :].astype(kind) for i in range(factor)))
    total: NDArray[Any] = np.empty((*rows.shape[:-2], rows.shape[-2] // factor, 3), kind)
    for channel in range(3):
        columns = (rows[..., i::factor, channel] for i in range(factor))
        total[..., channel] = functools.reduce(np.add, columns)
    total += area // 2
    mean: NDArray[np.uint8] = (total // area).astype(np.uint8)
    return mean


def _fraction(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return frames reduced by a rational factor a / b: groups of a pixels become b, each weighted by its overlap."""
    height = images.shape[-2]
    common = math.gcd(height, size)
    weights = _overlap(height // common, size // common)
    a = weights.shape[1]
    flat = images.reshape(-1, common, a, height * 3).astype(np.float32)
    rows = (weights @ flat).reshape(-1, size, common, a, 3)
    total = np.matmul(weights, rows).reshape(*images.shape[:-3], size, size, 3)
    area = a * a
    mean: NDArray[np.uint8] = ((total.astype(np.int64) + area // 2) // area).astype(np.uint8)
    return mean


@functools.cache
def _overlap(a: int, b: int) -> NDArray[np.float32]:
    """Return the overlap (b, a) of b equal cells with a equal cells on the same length; rows sum to a.

    As 255 * a * a stays below 2**24, sums of products in float32 are exact integers.
    """
    if 255 * a * a >= 2**24:
        raise UserError(
            f"A reduction by {a}/{b} is too fine to be exact. Choose a model resolution that shares a larger divisor "
            "with the frame's size, e.g. 128, 96 or 64 for frames of 256 pixels."
        )
    left, right = np.arange(a) * b, (np.arange(a) + 1) * b
    low, high = np.arange(b)[:, None] * a, (np.arange(b)[:, None] + 1) * a
    overlap: NDArray[np.float32] = np.maximum(0, np.minimum(right, high) - np.maximum(left, low)).astype(np.float32)
    return overlap

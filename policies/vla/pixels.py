"""Frames as the network reads them, and the small random changes that training makes to them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """Return frames (B, px, px, 3) u8 as (B, 3, px, px) float32 in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().mul_(2 / 255).sub_(1)


def shift(
    images: NDArray[np.uint8], stream: np.random.Generator, *, most: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return frames (B, px, px, 3), each moved by up to `most` whole pixels either way, and the moves (B, 2).

    Border pixels are repeated. A move of (a, b) takes what was at row y and column x to (y - a, x - b).
    """
    count, size = images.shape[:2]
    moves = stream.integers(-most, most + 1, size=(count, 2)) if most else np.zeros((count, 2), np.int64)
    if not most:
        return images, moves
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    moved = np.empty_like(images)
    for number, (down, right) in enumerate(moves + most):
        moved[number] = padded[number, down : down + size, right : right + size]
    return moved, moves


def jitter(pixels: Tensor, stream: np.random.Generator, *, strength: float) -> Tensor:
    """Return pixels (B, 3, px, px), changed in place: contrast, brightness and colour balance of each frame."""
    if not strength:
        return pixels
    count = len(pixels)
    contrast = 1 + strength * stream.uniform(-1, 1, (count, 1))
    balance = 1 + strength / 2 * stream.uniform(-1, 1, (count, 3))
    brightness = strength * stream.uniform(-1, 1, (count, 1))
    scale = torch.from_numpy((contrast * balance).astype(np.float32))[:, :, None, None]
    offset = torch.from_numpy((contrast * balance - 1 + brightness).astype(np.float32))[:, :, None, None]
    return pixels.mul_(scale).add_(offset)

"""Frames as the network reads them, and the small random changes that training makes to them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sim.streams import generator

Floats = NDArray[np.float32]

GRAIN = 64
"""Rows and columns by which the noise's table is larger than a frame: each frame takes its own part of it."""


class Named(Protocol):
    """Numbers in [0, 1), (B,) under each name."""

    def __getitem__(self, name: str) -> Floats:
        """Return the numbers called `name`."""


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """Return frames (B, px, px, 3) u8 as (B, 3, px, px) float32 in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().mul_(2 / 255).sub_(1)


def shift(images: NDArray[np.uint8], moves: NDArray[np.int64], *, most: int) -> NDArray[np.uint8]:
    """Return frames (B, px, px, 3), each moved by whole pixels `moves` (B, 2), at most `most` either way.

    Border pixels are repeated. A move of (a, b) takes what was at row y and column x to (y - a, x - b).
    """
    if not most:
        return images
    size = images.shape[1]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    moved = np.empty_like(images)
    for number, (down, right) in enumerate(moves + most):
        moved[number] = padded[number, down : down + size, right : right + size]
    return moved


def jitter(pixels: Tensor, draws: Named | Mapping[str, Floats], *, strength: float) -> Tensor:
    """Return pixels (B, 3, px, px), changed in place: contrast, brightness and colour balance of each frame."""
    if not strength:
        return pixels

    def signed(*names: str) -> Floats:
        return 2 * np.stack([draws[name] for name in names], axis=1) - 1

    contrast = 1 + strength * signed("contrast")
    balance = 1 + strength / 2 * signed("red", "green", "blue")
    scale = contrast * balance
    offset = scale - 1 + strength * signed("brightness")
    return pixels.mul_(_column(scale)).add_(_column(offset))


def crop(pixels: Tensor, side: Floats, offset: Floats) -> Tensor:
    """Return pixels (B, 3, px, px), each frame's window of `side` (B,) brought back to the whole frame.

    The window's middle lies `offset` (B, 2), x and y, off the frame's, all in shares of the frame; what a window
    larger than the frame holds beyond it is the repeated border.
    """
    theta = torch.zeros(len(pixels), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.from_numpy(side)
    theta[:, :, 2] = torch.from_numpy(2 * offset)
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def erase(pixels: Tensor, which: NDArray[np.bool_], corner: Floats, sides: Floats, color: Floats) -> Tensor:
    """Return pixels, changed in place: the samples `which` (B,) lose a rectangle to one colour (B, 3) in [-1, 1].

    `corner` and `sides` (B, 2), down and right, are shares of the frame.
    """
    size = pixels.shape[-1]
    first, last = np.floor(corner * size).astype(int), np.ceil((corner + sides) * size).astype(int)
    for row in np.flatnonzero(which):
        (top, left), (bottom, right) = first[row], last[row]
        pixels[row, :, top:bottom, left:right] = torch.from_numpy(color[row].astype(np.float32))[:, None, None]
    return pixels


def blur(pixels: Tensor, deviation: Floats, *, most: float) -> Tensor:
    """Return pixels (B, 3, px, px), each frame blurred by a Gaussian of `deviation` (B,) pixels, at most `most`."""
    reach = max(1, math.ceil(2 * most))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    weights = np.exp(-0.5 * (offsets / np.maximum(deviation, 1e-3)[:, None]) ** 2)
    kernel = torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))
    count, channels, height, width = pixels.shape
    kernel = kernel.repeat_interleave(channels, dim=0)
    flat = functional.pad(pixels.reshape(1, count * channels, height, width), (reach,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=count * channels)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=count * channels)
    return flat.view(count, channels, height, width).contiguous(memory_format=torch.channels_last)


def grain(pixels: Tensor, strength: Floats, place: Floats) -> Tensor:
    """Return pixels in [-1, 1] with Gaussian noise of `strength` (B,), 1 = from black to white.

    The noise is a part of one table, at `place` (B, 2) in [0, 1): drawing it for each pixel would take half a step.
    """
    size = pixels.shape[-1]
    table = _table(size + GRAIN)
    for row, (down, right) in enumerate(np.floor(place * GRAIN).astype(int)):
        pixels[row] += 2 * float(strength[row]) * table[:, down : down + size, right : right + size]
    return pixels.clamp_(-1, 1)


@functools.lru_cache(maxsize=4)
def _table(size: int) -> Tensor:
    """Return standard normal numbers (3, size, size), the same everywhere."""
    return torch.from_numpy(generator(0, "vla", "grain", size).standard_normal((3, size, size), dtype=np.float32))


def _column(values: NDArray[np.float32] | NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, :, None, None]

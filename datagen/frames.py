"""Declared frames to canonical ones: the right way up, square, 256 pixels wide."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from datagen.declaration import DeclaredFrame
from datagen.downscale import downscale
from sim.errors import UserError

Frame = NDArray[np.uint8]


def to_canonical_frame(frame: Frame, declared: DeclaredFrame, *, size: int) -> Frame:
    """Return a frame (size, size, 3) RGB, row 0 on top, of a declared one; another size than declared is refused."""
    if frame.shape != (declared.height, declared.width, 3):
        raise UserError(
            f"A frame has the shape {frame.shape}; declared are {declared.height} rows of {declared.width} pixels. "
            "Correct [frame] height and width, or the key of the image."
        )
    if "rows" in declared.flip:
        frame = frame[::-1]
    if "columns" in declared.flip:
        frame = frame[:, ::-1]
    if declared.channels == "bgr":
        frame = frame[..., ::-1]
    return resize(np.ascontiguousarray(square(frame, declared)), size)


def square(frame: Frame, declared: DeclaredFrame) -> Frame:
    """Return the middle of a frame, as wide as it is high."""
    height, width = frame.shape[:2]
    if height == width:
        return frame
    if declared.crop == "none":
        raise UserError(
            f"Frames of {height} x {width} pixels are not square. Write crop = 'centre' under [frame] to take their "
            "middle."
        )
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]


def resize(frame: Frame, size: int) -> Frame:
    """Return a square frame with `size` pixels: areas averaged when it shrinks, linear interpolation when it grows."""
    if size <= frame.shape[0]:
        small: Frame = downscale(frame[None], size)[0]
        return small
    weights = _linear(frame.shape[0], size)
    rows = np.tensordot(weights, frame.astype(np.float64), axes=(1, 0))
    both = np.tensordot(weights, rows, axes=(1, 1)).transpose(1, 0, 2)
    grown: Frame = np.floor(both + 0.5).astype(np.uint8)
    return grown


@functools.cache
def _linear(size: int, wanted: int) -> NDArray[np.float64]:
    """Return the weights (wanted, size) of linear interpolation between pixel centres; borders are repeated."""
    place = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    low = np.minimum(place.astype(np.int64), size - 2) if size > 1 else np.zeros(wanted, np.int64)
    weights = np.zeros((wanted, size))
    weights[np.arange(wanted), low] = 1 - (place - low)
    weights[np.arange(wanted), np.minimum(low + 1, size - 1)] += place - low
    return weights

"""What a real camera does to a frame: blur, exposure, noise and JPEG, fast and with the same bytes for a seed."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from sim.streams import generator

EFFECTS = ("exposure", "noise", "blur", "jpeg")
"""What `apply_effects` takes, by the last part of the knobs "image.exposure" and so on."""

MAX_BLUR = 4.0
"""Largest width of the blur, pixels."""

_NOISE_STARTS = 2**18


def apply_effects(
    frame: NDArray[np.uint8],
    *,
    exposure: float = 1.0,
    noise: float = 0.0,
    blur: float = 0.0,
    jpeg: float = 0.0,
    seed: int | None = None,
) -> NDArray[np.uint8]:
    """Return the frame (h, w, 3) blurred, exposed, with sensor noise, compressed; unchanged where nothing is asked for.

    `exposure` multiplies brightness; `noise` is the standard deviation of Gaussian noise per pixel and channel in
    grey levels of 255; `blur` is the standard deviation of a Gaussian in pixels, at most
    `MAX_BLUR`; `jpeg` is the quality of a JPEG compression, rounded, at most 100, and 0 stands for none. Without a
    `seed` there is no noise. Values below 0 count as 0.
    """
    seen = _sensed(frame, exposure=exposure, noise=noise, blur=blur, seed=seed)
    quality = round(min(jpeg, 100.0))
    return _compressed(seen, quality) if quality > 0 else seen


def _compressed(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return the frame after a JPEG round trip, colour at half the resolution, as cameras send it."""
    import simplejpeg

    sent = simplejpeg.encode_jpeg(
        np.ascontiguousarray(frame), quality=quality, colorspace="RGB", colorsubsampling="420", fastdct=False
    )
    received: NDArray[np.uint8] = simplejpeg.decode_jpeg(sent, colorspace="RGB", fastdct=False)
    return received


def _sensed(
    frame: NDArray[np.uint8], *, exposure: float, noise: float, blur: float, seed: int | None
) -> NDArray[np.uint8]:
    """Return the frame as the sensor has it, before it is sent."""
    weights = _weights(round(min(max(blur, 0.0), MAX_BLUR), 3))
    if len(weights) > 1:
        frame = _blurred(frame, weights)
    noisy = seed is not None and noise > 0
    if exposure == 1.0 and not noisy:
        return frame
    exposed = np.multiply(frame, np.float32(max(exposure, 0.0)), dtype=np.float32)
    if noisy:
        assert seed is not None
        exposed += _noise(seed, frame.size).reshape(frame.shape) * np.float32(noise)
    exposed += np.float32(0.5)
    np.clip(exposed, 0.0, 255.0, out=exposed)
    return exposed.astype(np.uint8)


def _noise(seed: int, size: int) -> NDArray[np.float32]:
    """Return `size` values of standard normal noise: a stretch of one fixed field, from where `seed` says."""
    start = int(generator(seed, "image noise").integers(_NOISE_STARTS))
    return _field(size + _NOISE_STARTS)[start : start + size]


@functools.lru_cache(maxsize=2)
def _field(size: int) -> NDArray[np.float32]:
    return generator(0, "image noise field").standard_normal(size, dtype=np.float32)


@functools.lru_cache(maxsize=4096)
def _weights(width: float) -> tuple[int, ...]:
    """Return half of a Gaussian kernel, centre first, in 256ths: centre + 2 * the others = 256."""
    if width <= 0:
        return (256,)
    reach = math.ceil(2.5 * width)
    shape = np.exp(-0.5 * (np.arange(reach + 1) / width) ** 2)
    sides = [int(w) for w in np.round(256 * shape / (shape[0] + 2 * shape[1:].sum()))[1:] if w > 0]
    return (256 - 2 * sum(sides), *sides)


def _blurred(frame: NDArray[np.uint8], weights: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the frame filtered along both axes in 16-bit fixed point; edges are repeated outward."""
    height, width, _ = frame.shape
    reach = len(weights) - 1
    tall = np.pad(frame, ((reach, reach), (0, 0), (0, 0)), mode="edge").astype(np.uint16)
    rows = _filtered([tall[k : k + height] for k in range(2 * reach + 1)], weights)
    wide = np.pad(rows, ((0, 0), (reach, reach), (0, 0)), mode="edge").reshape(height, -1)
    columns = _filtered([wide[:, 3 * k : 3 * (k + width)] for k in range(2 * reach + 1)], weights)
    return columns.reshape(height, width, 3).astype(np.uint8)


def _filtered(shifted: list[NDArray[np.uint16]], weights: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return the weighted sum of shifted copies, the unshifted one in the middle of the list."""
    reach = len(weights) - 1
    total = shifted[reach] * np.uint16(weights[0])
    pair = np.empty_like(total)
    for k, weight in enumerate(weights[1:], start=1):
        np.add(shifted[reach - k], shifted[reach + k], out=pair)
        pair *= np.uint16(weight)
        total += pair
    total += np.uint16(128)
    total >>= np.uint16(8)
    return total

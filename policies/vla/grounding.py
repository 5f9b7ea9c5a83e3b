"""What a sentence means to a network, as a picture: where it looks, and which pixels decide its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from policies.vla.checkpoint import VlaCheckpoint
from policies.vla.pixels import to_pixels
from policies.vla.vision import spatial_softmax
from sim.files import write_bytes

FILE = "grounding.png"
"""Beside the weights: what the network makes of a few validation frames."""

ROWS, GAP, SIZE = 4, 4, 160
"""Frames of that picture at most, pixels between its parts, and width of each."""

SPREAD = 0.02
"""Standard deviation by which a gradient is smoothed, as a share of the frame: single pixels say nothing."""

_HOT = np.array([255.0, 40.0, 0.0])


@dataclass(frozen=True)
class Grounding:
    """Maps (h, w) of one frame under one sentence, each from 0 to 1."""

    # Probability that the thing which the sentence means is seen there, its largest 1. It was trained where the data
    # holds points, and means nothing else otherwise.
    target: NDArray[np.float32]
    # How much each place decides where the hand will go next: the size of the gradient, its largest 1.
    gradient: NDArray[np.float32]
    # Where the thing is expected, x and y as shares of the frame.
    place: tuple[float, float]


def ground(
    checkpoint: VlaCheckpoint,
    images: NDArray[np.uint8],
    sentences: Sequence[str],
    states: NDArray[np.float32],
    near: NDArray[np.uint8] | None = None,
) -> list[Grounding]:
    """Return the maps of frames (k, px, px, 3) of the network's size under their sentences and states (k, 8).

    `near` are the wrist camera's frames of its size for it, for a network that reads them.
    """
    model = checkpoint.model
    pixels = to_pixels(images).requires_grad_()
    words = torch.from_numpy(checkpoint.read(sentences))
    resting = np.zeros(len(states), np.float32) if model.config.finger_motion else None
    state = torch.from_numpy(checkpoint.statistics.network_state(np.asarray(states, np.float32), resting))
    seen = model.perceive(pixels, words, state, None if near is None else to_pixels(near))
    decided = sum(_size_of(seen.keyframe[:, axis].sum(), pixels) for axis in range(seen.keyframe.shape[1]))
    assert isinstance(decided, Tensor)
    logits = seen.ground[:, :1].detach()
    shares = functional.softmax(logits.flatten(1), dim=1).view_as(logits)
    target = functional.interpolate(shares, size=images.shape[1:3], mode="bilinear", align_corners=True)
    places = (1 + spatial_softmax(logits)) / 2
    maps = zip(_scaled(target[:, 0]), _scaled(_smooth(decided)), places.tolist(), strict=True)
    return [Grounding(one, two, (x, y)) for one, two, (x, y) in maps]


def _size_of(answer: Tensor, pixels: Tensor) -> Tensor:
    """Return the squared gradient (k, h, w) of an answer, summed over colours."""
    (gradient,) = torch.autograd.grad(answer, pixels, retain_graph=True)
    return gradient.square().sum(dim=1)


def _smooth(squares: Tensor) -> Tensor:
    """Return the root of squares (k, h, w), averaged over a small neighbourhood."""
    reach = max(1, round(2 * SPREAD * squares.shape[-1]))
    return functional.avg_pool2d(squares[:, None], 2 * reach + 1, 1, reach, count_include_pad=False)[:, 0].sqrt()


def _scaled(maps: Tensor) -> NDArray[np.float32]:
    most = maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    scaled: NDArray[np.float32] = (maps / most).numpy()
    return scaled


def overlay(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a frame (h, w, 3), greyed, with the map (h, w) laid over it in red."""
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2) * 0.7
    mixed: NDArray[np.float64] = grey + 0.8 * heat[..., None] * (_HOT - grey)
    return mixed.clip(0, 255).astype(np.uint8)


def picture(
    checkpoint: VlaCheckpoint,
    images: NDArray[np.uint8],
    sentences: Sequence[str],
    states: NDArray[np.float32],
    near: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Return one row per frame: it, where its sentence is found, what decides the answer, and where a blank one is."""
    told = ground(checkpoint, images, sentences, states, near)
    blank = ground(checkpoint, images, [""] * len(images), states, near)
    rows = []
    for image, own, other in zip(images, told, blank, strict=True):
        parts = [image, *(overlay(image, heat) for heat in (own.target, own.gradient, other.target))]
        rows.append(_joined([_enlarged(part) for part in parts], axis=1))
    return _joined(rows, axis=0)


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a frame about `SIZE` pixels wide, its pixels repeated."""
    times = max(1, round(SIZE / image.shape[0]))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _joined(parts: Sequence[NDArray[np.uint8]], *, axis: int) -> NDArray[np.uint8]:
    """Return pictures beside (axis 1) or below (axis 0) each other with white between them."""
    shape = list(parts[0].shape)
    shape[axis] = GAP
    between = np.full(shape, 255, np.uint8)
    spaced = [piece for part in parts for piece in (between, part)][1:]
    return np.concatenate(spaced, axis=axis)


def write_grounding(
    folder: Path,
    checkpoint: VlaCheckpoint,
    images: NDArray[np.uint8],
    sentences: Sequence[str],
    states: NDArray[np.float32],
    near: NDArray[np.uint8] | None = None,
) -> Path:
    """Write the picture of these frames beside the weights and return its path."""
    import imageio.v3 as imageio

    data = imageio.imwrite("<bytes>", picture(checkpoint, images, sentences, states, near), extension=".png")
    write_bytes(folder / FILE, data)
    return folder / FILE

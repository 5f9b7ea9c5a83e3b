"""Random variations of training samples: each a pure function of (seed, sample number), whoever computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from datagen.arrays import Batch
from policies.vla.mirror import KEYFRAME_SIGNS, mirror_actions, mirror_points, mirror_state
from policies.vla.pixels import blur, crop, erase, grain, jitter, shift, to_pixels
from policies.vla.presets import Augment
from policies.vla.shape import ARM, STATE
from sim.streams import generator

NAMES = (
    "down", "right", "contrast", "brightness", "red", "green", "blue", "crop", "crop_x", "crop_y", "blur", "noise",
    "noise_x", "noise_y", "erase", "erase_area", "erase_shape", "erase_x", "erase_y", "erase_red", "erase_green",
    "erase_blue", "paraphrase", "phrase", "skip", "mirror", "time",
)  # fmt: skip
"""What a sample draws, uniform in [0, 1): always all of it, so that no variation shifts another's draws."""


@dataclass(frozen=True)
class Draws:
    """What B samples drew."""

    uniform: NDArray[np.float32]
    # Standard normal: (B, 8) for the state, (B, H, 6) for the actions, (B, H, 7) for the head "flow".
    state: NDArray[np.float32]
    actions: NDArray[np.float32]
    noise: NDArray[np.float32]

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Return the numbers (B,) called `name`."""
        column: NDArray[np.float32] = self.uniform[:, NAMES.index(name)]
        return column

    def below(self, name: str, share: float) -> NDArray[np.bool_]:
        """Return which samples (B,) are among the `share` of all."""
        return self[name] < share


def draw(seed: int, samples: NDArray[np.int64], *, chunk: int, stream: str = "sample") -> Draws:
    """Return what the samples numbered `samples` (B,) draw under `seed` from the stream of that name."""
    uniform = np.empty((len(samples), len(NAMES)), np.float32)
    sizes = (STATE, chunk * ARM, chunk * (ARM + 1))
    normal = np.empty((len(samples), sum(sizes)), np.float32)
    for row, number in enumerate(samples.tolist()):
        dice = generator(seed, "vla", stream, number)
        uniform[row] = dice.random(len(NAMES), dtype=np.float32)
        normal[row] = dice.standard_normal(sum(sizes), dtype=np.float32)
    state, actions, noise = np.split(normal, np.cumsum(sizes)[:-1], axis=1)
    return Draws(uniform, state, actions.reshape(-1, chunk, ARM), noise.reshape(-1, chunk, ARM + 1))


def mirrored(batch: Batch, which: NDArray[np.bool_]) -> Batch:
    """Return the batch with the samples `which` (B,) seen in a mirror, sentences apart."""
    if not which.any():
        return batch

    def exchanged(values: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(which.reshape(-1, *[1] * (values.ndim - 1)), others, values)

    image, wrist = batch.image.copy(), batch.wrist.copy()
    for frames in (image, wrist):
        frames[which] = frames[which][:, :, ::-1]
    return replace(
        batch,
        image=image,
        wrist=wrist,
        wrist_points=exchanged(batch.wrist_points, mirror_points(batch.wrist_points)),
        state=exchanged(batch.state, mirror_state(batch.state)),
        actions=exchanged(batch.actions, mirror_actions(batch.actions)),
        keyframe=exchanged(batch.keyframe, batch.keyframe * KEYFRAME_SIGNS),
        points=exchanged(batch.points, mirror_points(batch.points)),
    )


def phrased(
    numbers: NDArray[np.int64], others: Sequence[Sequence[int]], draws: Draws, *, share: float
) -> NDArray[np.int64]:
    """Return the sentence (B,) that each sample is shown with: its own, or one of `others`, which mean the same."""
    chosen = numbers.copy()
    for row in np.flatnonzero(draws.below("paraphrase", share)):
        if others[row]:
            chosen[row] = others[row][int(draws["phrase"][row] * len(others[row]))]
    return chosen


def varied_frames(batch: Batch, draws: Draws, augment: Augment) -> tuple[Tensor, NDArray[np.float32]]:
    """Return pixels (B, 3, px, px) in [-1, 1] of varied frames, and where the points (B, 2, 2) are seen in them."""
    size = batch.image.shape[1]
    moves = _moves(draws, augment.shift)
    pixels = to_pixels(shift(batch.image, moves, most=augment.shift))
    points = batch.points - (moves[:, None, ::-1] / size).astype(np.float32)
    if augment.crop:
        side = 1 + augment.crop * (2 * draws["crop"] - 1)
        room = np.abs(1 - side)[:, None] * (np.stack([draws["crop_x"], draws["crop_y"]], axis=1) - 0.5)
        pixels = crop(pixels, side, room)
        points = ((points - 0.5 - room[:, None]) / side[:, None, None] + 0.5).astype(np.float32)
    if augment.erase:
        pixels = _erased(pixels, draws, augment)
    if augment.blur:
        pixels = blur(pixels, augment.blur * draws["blur"], most=augment.blur)
    if augment.noise:
        pixels = grain(pixels, augment.noise * draws["noise"], np.stack([draws["noise_y"], draws["noise_x"]], axis=1))
    pixels = jitter(pixels, draws, strength=augment.jitter)
    seen = ((points >= 0) & (points < 1)).all(axis=-1, keepdims=True)
    return pixels, np.where(seen, points, np.float32(np.nan))


def varied_wrist(batch: Batch, draws: Draws, augment: Augment) -> tuple[Tensor, NDArray[np.float32]]:
    """Return the same of the frames of the wrist camera; lengths in pixels are those of the other, as shares of it."""
    scale = batch.wrist.shape[1] / batch.image.shape[1]
    smaller = replace(augment, shift=round(augment.shift * scale), blur=augment.blur * scale)
    return varied_frames(replace(batch, image=batch.wrist, points=batch.wrist_points), draws, smaller)


def _moves(draws: Draws, most: int) -> NDArray[np.int64]:
    places = np.stack([draws["down"], draws["right"]], axis=1)
    moves: NDArray[np.int64] = np.floor(places * (2 * most + 1)).astype(np.int64) - most
    return moves


def _erased(pixels: Tensor, draws: Draws, augment: Augment) -> Tensor:
    """Return pixels in which the drawn share of the samples lost a rectangle."""
    which = draws.below("erase", augment.erase)
    ratio = np.exp2(2 * draws["erase_shape"] - 1)
    area = augment.erase_area * draws["erase_area"]
    sides = np.minimum(np.sqrt(np.stack([area * ratio, area / ratio], axis=1)), 1.0)
    corner = np.stack([draws["erase_y"], draws["erase_x"]], axis=1) * (1 - sides)
    color = np.stack([draws[f"erase_{name}"] for name in ("red", "green", "blue")], axis=1)
    return erase(pixels, which, corner, sides, 2 * color - 1)

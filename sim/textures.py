"""Procedural textures: tileable shades of grey that a colour tints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim.streams import generator

SIZE = 256
"""Width and height of every texture, pixels."""

Shade = NDArray[np.float64]
"""Brightness in [0, 1], (SIZE, SIZE)."""


def pixels(name: str) -> NDArray[np.uint8]:
    """Return the texture `name` of `TEXTURES` as RGB (SIZE, SIZE, 3)."""
    shade = np.clip(TEXTURES[name](), 0.0, 1.0)
    return np.repeat(np.round(255 * shade).astype(np.uint8)[..., None], 3, axis=-1)


def _noise(name: str, *, across: float, along: float) -> Shade:
    """Return tileable noise, zero mean, unit deviation, with features of about SIZE / frequency pixels per axis."""
    white = generator(0, "texture", name).standard_normal((SIZE, SIZE))
    frequency = np.fft.fftfreq(SIZE, 1 / SIZE)
    rows, columns = np.meshgrid(frequency / across, frequency / along, indexing="ij")
    smooth = np.fft.ifft2(np.fft.fft2(white) * np.exp(-0.5 * (rows**2 + columns**2))).real
    smooth -= smooth.mean()
    return np.asarray(smooth / smooth.std())


def _cells(count: int) -> NDArray[np.intp]:
    """Return the cell number 0..count-1 of each pixel along one axis."""
    return np.arange(SIZE) * count // SIZE


def _checker() -> Shade:
    return np.where((_cells(4)[:, None] + _cells(4)[None, :]) % 2 == 0, 0.95, 0.6)


def _tiles() -> Shade:
    joint = np.arange(SIZE) % (SIZE // 2) < 3
    return np.where(joint[:, None] | joint[None, :], 1.0, 0.72)


def _wood() -> Shade:
    fine, coarse = _noise("fine grain", across=3, along=60), _noise("grain", across=1, along=10)
    return 0.78 + 0.07 * fine + 0.09 * coarse


def _grain() -> Shade:
    return _wood().T


def _planks() -> Shade:
    rows = _cells(4)
    tone = generator(0, "texture", "planks").uniform(-0.12, 0.12, size=(4, 2))
    ends = (np.arange(SIZE)[None, :] + 96 * (rows[:, None] % 3)) % SIZE
    board = tone[rows[:, None], ends * 2 // SIZE]
    joint = (np.arange(SIZE) % (SIZE // 4) < 2)[:, None] | (ends % (SIZE // 2) < 2)
    return np.where(joint, 0.98, 0.72 + board + 0.05 * _noise("boards", across=40, along=4))


def _noise_texture() -> Shade:
    return 0.8 + 0.06 * _noise("fine", across=50, along=50) + 0.06 * _noise("coarse", across=6, along=6)


def _speckle() -> Shade:
    return 0.95 + 0.015 * _noise("speckle", across=90, along=90)


def _gradient() -> Shade:
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)
    return np.broadcast_to(0.6 + 0.38 * wave[None, :], (SIZE, SIZE)).copy()


TEXTURES: dict[str, Callable[[], Shade]] = {
    "checker": _checker,
    "tiles": _tiles,
    "wood": _wood,
    "grain": _grain,
    "planks": _planks,
    "noise": _noise_texture,
    "speckle": _speckle,
    "gradient": _gradient,
}
"""Textures by name; "plain" is the absence of one."""

"""A policy that sees, reads and has never been trained: it goes for the patch of the colour that the sentence says.

What moves it and what cannot is known beforehand, so it tests axes that blind policies do not notice.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sim.conventions import CANONICAL, POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Ids, Observation, PolicySpec
from sim.rotations import to_matrix, xyzw_to_wxyz
from sim.scene import PALETTE

EYE, AIM, FOVY = np.array([1.06, 0.0, 0.55]), np.array([0.5085, 0.0, 0.0]), 45.0
"""The view "near" of our own scenes (and robosuite's agentview), base frame, heights above the table."""

TABLE, HALF = -0.05, 0.02
"""Height of the table and half an edge of the cube, m: what the policy takes for granted."""

HOVER, RAISED, CLOSING = 0.08, 0.12, 8
"""Heights from which the hand sinks and to which it rises, m, and steps for which it closes in between."""

VIVID, TOLERANCE = 0.6, 0.12
"""Least saturation of a coloured pixel, and largest distance of its chromaticity from the colour's."""


class ColourPolicy:
    """Finds the named colour in the first picture of an episode and picks up what lies there; else it stays."""

    def __init__(self) -> None:
        self.spec = PolicySpec("colour", CANONICAL, inputs=frozenset({"image", "state", "instruction"}))
        self._places: dict[int, NDArray[np.float64] | None] = {}
        self._closed: dict[int, int] = {}

    def reset(self, ids: Ids) -> None:
        for world in ids.tolist():
            self._places.pop(world, None)
            self._closed[world] = 0

    def act(self, observation: Observation) -> NDArray[np.float64]:
        new = [k for k, world in enumerate(observation.ids.tolist()) if world not in self._places]
        if new:
            frames = observation.render("image")
            for k in new:
                self._places[int(observation.ids[k])] = find(frames[k], observation.instructions[k])
        rows = [self._one(world, row) for world, row in zip(observation.ids.tolist(), observation.state, strict=True)]
        return np.array(rows)

    def _one(self, world: int, row: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the action (7,) of one world: over the place, down, close for a while, up."""
        place = self._places[world]
        if place is None:
            return np.array([0.0] * 6 + [1.0])
        measured = np.asarray(row, dtype=np.float64)
        way = place - measured[:3]
        over, there = np.linalg.norm(way[:2]) < 0.012, np.linalg.norm(way) < 0.016
        if there or self._closed[world]:
            self._closed[world] += 1
            way = np.array([0.0, 0.0, RAISED - measured[2] if self._closed[world] > CLOSING else 0.0])
        elif not over:
            way[2] += HOVER
        turn = -to_matrix(xyzw_to_wxyz(measured[3:7]))[:, 2]
        tilt = np.cross([0.0, 0.0, 1.0], turn)
        arm = [*np.clip(way, -POSITION_LIMIT, POSITION_LIMIT), *np.clip(-tilt, -ROTATION_LIMIT, ROTATION_LIMIT)]
        return np.array([*arm, 0.0 if self._closed[world] else 1.0])


def find(frame: NDArray[np.uint8], sentence: str) -> NDArray[np.float64] | None:
    """Return where the named colour lies on the table, m, base frame; without a colour, where any vivid colour does."""
    if not sentence:
        return None
    said = re.search("|".join(PALETTE), sentence)
    colors = [PALETTE[said.group()]] if said else list(PALETTE.values())
    pixels = frame.astype(np.float64)
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    vivid = ((high - low) / np.maximum(high, 1.0) > VIVID) & (high > 24)
    chroma = pixels / np.maximum(pixels.sum(axis=2, keepdims=True), 1.0)
    wanted = [np.array(color) / sum(color) for color in colors]
    close = np.min([np.linalg.norm(chroma - each, axis=2) for each in wanted], axis=0) < TOLERANCE
    mask = _dense(vivid & close)
    if mask.sum() < 12:
        return None
    rows, columns = np.nonzero(mask)
    return on_table(float(np.median(rows)), float(np.median(columns)), size=len(frame))


def _dense(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the marked pixels around the densest spot: one patch, and no sensor noise."""
    sums = np.pad(mask.astype(np.int64), ((13, 12), (13, 12))).cumsum(axis=0).cumsum(axis=1)
    counts = sums[25:, 25:] - sums[:-25, 25:] - sums[25:, :-25] + sums[:-25, :-25]
    row, column = np.unravel_index(int(counts.argmax()), counts.shape)
    near = np.zeros_like(mask)
    near[max(0, row - 12) : row + 13, max(0, column - 12) : column + 13] = True
    return mask & near


def on_table(row: float, column: float, *, size: int) -> NDArray[np.float64]:
    """Return the point at half the cube's height that a pixel shows, m, base frame."""
    forward = (AIM - EYE) / np.linalg.norm(AIM - EYE)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up, reach = np.cross(right, forward), np.tan(np.radians(FOVY) / 2)
    x, y = (2 * (column + 0.5) / size - 1) * reach, (1 - 2 * (row + 0.5) / size) * reach
    ray = forward + x * right + y * up
    point = EYE + ray * (HALF - EYE[2]) / ray[2]
    return np.array([point[0], point[1], TABLE + HALF])

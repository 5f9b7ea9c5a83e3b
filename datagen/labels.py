"""What a demonstration says beyond its actions: where the hand will next be needed, and where things are seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.rlds_reader import StoredEpisode
from datagen.schema import POINTS, point_key


def points(episode: StoredEpisode, camera: str = "image") -> NDArray[np.float32]:
    """Return the annotated points (T, 2, 2) in the frames of a camera; NaN where there are none or they lie outside."""
    columns = [episode.steps.get(point_key(camera, name)) for name in POINTS]
    if any(column is None for column in columns):
        return np.full((episode.length, len(POINTS), 2), np.nan, np.float32)
    stored = np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
    inside = ((stored >= 0) & (stored < 1)).all(axis=-1, keepdims=True)
    return np.where(inside, stored, np.nan).astype(np.float32)


def keyframes(position: NDArray[np.float32], gripper: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the way (T, 3) from each TCP position (T, 3) to that at the next gripper event (T,), or at the end.

    The places where a hand opens, closes or stops are where the task happens; they need no label of any object
    (keyframe discovery, James & Davison 2022).
    """
    closed = gripper < 0.5
    event = np.append(closed[1:] != closed[:-1], True)
    steps = np.arange(len(gripper))
    following = np.minimum.accumulate(np.where(event, steps, len(steps) - 1)[::-1])[::-1]
    way: NDArray[np.float32] = position[following] - position
    return way

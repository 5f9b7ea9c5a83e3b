"""Steps of datasets in memory: one row each, and batches of samples that are made of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.interleave import Location
from datagen.schema import POINTS

STATE, ACTION, POSITION, OPENING = 8, 7, 3, 7
"""Sizes of the canonical state and action, and of a position; where the state holds the gripper's opening."""

FINGER_STEPS = 2
"""Steps over which the motion of the fingers is measured: as many as a policy executes before it looks again."""


@dataclass(frozen=True)
class Batch:
    """B samples; a sample is a step and the H actions that follow from it."""

    # (B, px, px, 3) frames.
    image: NDArray[np.uint8]
    # (B, 8) canonical state, and (B,) by how much the opening changed over the last `FINGER_STEPS` of the episode.
    state: NDArray[np.float32]
    finger_motion: NDArray[np.float32]
    # (B,) number of the sentence in `LoadedMixture.instructions`.
    instruction: NDArray[np.int64]
    # (B, H, 7) actions of this and the following steps; past the episode's end the last one is repeated.
    actions: NDArray[np.float32]
    # (B, H) True where an action belongs to the episode.
    mask: NDArray[np.bool_]
    # (B, 3) where the TCP is at the next gripper event or at the end, relative to where it is now, m.
    keyframe: NDArray[np.float32]
    # (B, 2, 2) x and y, as shares of the frame, of the object that the sentence means and of the TCP; NaN: not known.
    points: NDArray[np.float32]
    # (B,) number in `LoadedMixture.phrasings` of the sentences that mean the same.
    phrasing: NDArray[np.int64]
    # (B, w, w, 3) frames of the wrist camera, and (B, 2, 2) the points in them; w = 0 and NaN where none are read.
    wrist: NDArray[np.uint8]
    wrist_points: NDArray[np.float32]


@dataclass(frozen=True)
class Arrays:
    """All steps of one source and split, one row each."""

    image: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    instruction: NDArray[np.int64]
    # First row of the episode that a row belongs to, and first row after it.
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    keyframe: NDArray[np.float32]
    points: NDArray[np.float32]
    phrasing: NDArray[np.int64]
    wrist: NDArray[np.uint8]
    wrist_points: NDArray[np.float32]

    def batch(self, rows: NDArray[np.int64], *, chunk: int, lag: NDArray[np.int64] | None = None) -> Batch:
        """Return the samples that begin at `rows` (B,), with frames `lag` (B,) steps older where there are such."""
        ahead = rows[:, None] + np.arange(chunk)
        last = self.stop[rows][:, None] - 1
        shown = rows if lag is None else np.maximum(rows - lag, self.start[rows])
        before = np.maximum(rows - FINGER_STEPS, self.start[rows])
        return Batch(
            image=self.image[shown],
            state=self.state[rows],
            finger_motion=self.state[rows, OPENING] - self.state[before, OPENING],
            instruction=self.instruction[rows],
            actions=self.action[np.minimum(ahead, last)],
            mask=ahead <= last,
            keyframe=self.keyframe[rows],
            points=self.points[shown],
            phrasing=self.phrasing[rows],
            wrist=self.wrist[shown],
            wrist_points=self.wrist_points[shown],
        )


def empty(steps: int, size: int, wrist_size: int = 0) -> Arrays:
    """Return room for so many steps with frames of `size` pixels, and of the wrist camera of `wrist_size`."""
    return Arrays(
        image=np.empty((steps, size, size, 3), np.uint8),
        state=np.empty((steps, STATE), np.float32),
        action=np.empty((steps, ACTION), np.float32),
        instruction=np.empty(steps, np.int64),
        start=np.empty(steps, np.int64),
        stop=np.empty(steps, np.int64),
        keyframe=np.empty((steps, POSITION), np.float32),
        points=np.empty((steps, len(POINTS), 2), np.float32),
        phrasing=np.empty(steps, np.int64),
        wrist=np.empty((steps, wrist_size, wrist_size, 3), np.uint8),
        wrist_points=np.full((steps, len(POINTS), 2), np.nan, np.float32),
    )


def gather(arrays: Sequence[Arrays], where: Location, *, chunk: int, lag: NDArray[np.int64] | None) -> Batch:
    """Return one batch whose rows come from several sources, in the order of `where`."""
    numbers = [int(number) for number in np.unique(where.source)]
    mine = [where.source == number for number in numbers]
    parts = [
        arrays[number].batch(where.row[rows], chunk=chunk, lag=None if lag is None else lag[rows])
        for number, rows in zip(numbers, mine, strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    back = np.argsort(np.concatenate([np.flatnonzero(rows) for rows in mine]))

    def joined(name: str) -> NDArray[Any]:
        whole: NDArray[Any] = np.concatenate([getattr(part, name) for part in parts])[back]
        return whole

    return Batch(**{name: joined(name) for name in Batch.__dataclass_fields__})

"""Sensors that stand still while the actions move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.inspection.checks import pictures
from datagen.inspection.findings import LISTED, Finding
from datagen.inspection.outliers import Place
from datagen.inspection.roles import Column, Roles
from datagen.rlds_reader import StoredEpisode

REPEATS = 4
"""Fewest repeats in a row that count as frozen."""

USUAL = 3
"""How many times the usual number of repeats a frozen sensor shows: a slow camera repeats itself in every episode."""

MOVES = 0.1
"""Share of its range, in the episode and in the dataset, that an action sweeps meanwhile to count as moving."""


@dataclass(frozen=True)
class Run:
    """The longest stretch of an episode in which a sensor repeats itself while the actions move."""

    place: Place
    start: int
    repeats: int
    # What each action of the arm sweeps meanwhile (d,).
    swept: NDArray[np.float64]


class FrozenSensors:
    """The longest repeats of every sensor in every episode."""

    def __init__(self, roles: Roles) -> None:
        """Begin with no episode seen."""
        self._roles = roles
        self._lengths: dict[str, Counter[int]] = {}
        self._runs: dict[str, list[Run]] = {}

    def add(self, place: Place, episode: StoredEpisode, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Remember the longest repeats of one episode; `columns` holds its actions and states (T, d)."""
        arm = self._arm(columns)
        for sensor, same in self._repeats(episode, columns):
            start, repeats = _longest_moving(same, arm)
            self._lengths.setdefault(sensor, Counter())[repeats] += 1
            runs = self._runs.setdefault(sensor, [])
            if repeats >= REPEATS:
                runs.append(Run(place, start, repeats, np.ptp(arm[start : start + repeats + 1], axis=0)))
                if len(runs) > 2 * LISTED:
                    self._runs[sensor] = sorted(runs, key=lambda run: (-run.repeats, run.place))[:LISTED]

    def findings(self, samples: Mapping[str, NDArray[np.float64]]) -> Iterator[Finding]:
        """Yield the episodes in which a sensor stands still for longer than is usual in this dataset.

        `samples` holds rows (k, d) of the actions, from which their range is taken: the middle 90 %.
        """
        arm = self._arm(samples)
        arm = arm[np.isfinite(arm).all(axis=1)]
        ranges = np.ptp(np.quantile(arm, [0.05, 0.95], axis=0), axis=0) if arm.size else np.zeros(arm.shape[1])
        for sensor, runs in sorted(self._runs.items()):
            usual = _median(self._lengths[sensor])
            for run in runs:
                moves = bool((run.swept > MOVES * ranges).any())
                if moves and run.repeats >= max(REPEATS, USUAL * usual):
                    split, episode = run.place
                    told = f"{sensor} stays the same from step {run.start} to {run.start + run.repeats}"
                    yield Finding("frozen sensor", split, episode, f"{told} while the actions move")

    def usual(self) -> dict[str, int]:
        """Return how often each sensor repeats itself in a row in a usual episode, where it does at all."""
        return {sensor: usual for sensor, counts in sorted(self._lengths.items()) if (usual := _median(counts)) > 0}

    def _repeats(
        self, episode: StoredEpisode, columns: Mapping[str, NDArray[np.float64]]
    ) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield each sensor and whether step t + 1 shows what step t showed (T - 1,)."""
        for camera in self._roles.cameras:
            stored = pictures(episode, camera)
            yield camera, np.array([_equal(a, b) for a, b in pairwise(stored)], dtype=np.bool_)
        state = _joined(self._roles.states, columns)
        if state.shape[1]:
            yield "the state", (state[1:] == state[:-1]).all(axis=1)

    def _arm(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the actions (T, d) without the gripper's."""
        kept = []
        for column in self._roles.actions:
            values = columns[column.key]
            if self._roles.gripper is not None and self._roles.gripper[0] == column.key:
                values = np.delete(values, self._roles.gripper[1], axis=1)
            if "terminate" not in column.key:
                kept.append(values)
        return np.concatenate(kept, axis=1) if kept else np.zeros((0, 0))


def _joined(columns: tuple[Column, ...], values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return these columns side by side (T, d)."""
    return np.concatenate([values[column.key] for column in columns], axis=1) if columns else np.zeros((0, 0))


def _longest_moving(same: NDArray[np.bool_], arm: NDArray[np.float64]) -> tuple[int, int]:
    """Return start and length of the longest run of `same` (T - 1,) in which the actions (T, d) move; 0 for none."""
    if not same.any() or not arm.size:
        return 0, 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    ranges = np.ptp(arm, axis=0)
    best = (0, 0)
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        swept = np.ptp(arm[start : stop + 1], axis=0)
        if stop - start > best[1] and (swept > MOVES * ranges).any():
            best = (start, stop - start)
    return best


def _equal(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


def _median(counts: Counter[int]) -> int:
    """Return the (lower) median of counted numbers."""
    half, seen = (counts.total() + 1) // 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    return 0

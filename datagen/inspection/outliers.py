"""Actions that are far from all others: the extremes of every episode, judged once the whole is known."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from datagen.inspection.findings import LISTED, Finding
from datagen.inspection.roles import Column

FAR = 10.0
"""Robust z-score from which an action is an outlier."""

RARE = 0.05
"""Share of episodes up to which far values are outliers; beyond it, they are how this dataset's actions are."""

Place = tuple[str, int]
"""Split and number of an episode."""

Extreme = tuple[float, Place, int]
"""A value times its side, where it occurred, and at which step."""


class Extremes:
    """The most extreme values of each action and side, with the episode and step in which they occurred."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        """Begin with no episode seen."""
        self._columns, self._episodes, self._steps = columns, 0, 0
        self._worst: dict[tuple[str, int, int], list[Extreme]] = {
            (column.key, index, side): [] for column in columns for index in range(column.size) for side in (-1, 1)
        }

    def add(self, place: Place, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Remember the extremes of one episode; `columns` holds its actions (T, d)."""
        self._episodes += 1
        for (key, index, side), worst in self._worst.items():
            values = columns[key][:, index]
            if not np.isfinite(values).any():
                continue
            signed = np.where(np.isfinite(values), side * values, -np.inf)
            step = int(np.argmax(signed))
            entry = (float(signed[step]), place, step)
            heapq.heappush(worst, entry) if len(worst) < LISTED else heapq.heappushpop(worst, entry)
        self._steps += len(next(iter(columns.values()), ()))

    def findings(self, samples: Mapping[str, NDArray[np.float64]]) -> Iterator[Finding]:
        """Yield one finding per episode and action that has an outlier; `samples` holds rows (k, d) of the actions."""
        for column in self._columns:
            for index, name in enumerate(column.names):
                yield from self._judged(column.key, index, name, samples[column.key][:, index])

    def _judged(self, key: str, index: int, name: str, sample: NDArray[np.float64]) -> Iterator[Finding]:
        finite = sample[np.isfinite(sample)]
        if not len(finite):
            return
        center, scale = robust_scale(finite)
        limit = FAR * scale
        far = [
            (side * signed, place, step)
            for side in (-1, 1)
            for signed, place, step in self._worst[key, index, side]
            if abs(side * signed - center) > max(limit, 1e-9)
        ]
        if self._share({place for _, place, _ in far}, float(np.mean(np.abs(finite - center) > max(limit, 1e-9)))):
            return
        for value, (split, episode), step in far:
            told = f"{abs(value - center) / scale:.0f} robust standard deviations from" if scale > 0 else "and not"
            reason = f"{key}[{name}] is {value:.4g} at step {step}, {told} the median {center:.4g}"
            yield Finding("outlier action", split, episode, reason)

    def _share(self, places: set[Place], rows: float) -> bool:
        """Return whether far values are so common that they are no outliers."""
        if len(places) < LISTED:
            return len(places) > max(1.0, RARE * self._episodes)
        return rows * self._steps / max(self._episodes, 1) > RARE


def robust_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return median and robust standard deviation of `values` (n,): from the MAD or the middle 90 %, the larger.

    Factors for normal data; P. J. Rousseeuw and C. Croux, J. American Statistical Association 88:1273, 1993.
    """
    center = float(np.median(values))
    low, high = np.quantile(values, [0.05, 0.95])
    return center, float(max(1.4826 * np.median(np.abs(values - center)), (high - low) / 3.29))

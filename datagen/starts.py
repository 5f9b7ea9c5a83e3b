"""How near the start of an episode is to those before it, found through a grid over the first object's place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.filters import START_RANGE
from datagen.measurements import DIGITS


class Starts:
    """The starts of the episodes that were taken so far, in their order.

    A start lists points (x, y, z), m: the objects, then the TCP. Two starts are as far apart as the two places of the
    point that moved most.
    """

    def __init__(self) -> None:
        """Begin with no start."""
        self._cells: dict[tuple[int, int], _Rows] = {}

    def distance(self, start: Sequence[float]) -> float | None:
        """Return the distance, m, to the nearest start before; None where none lies within `START_RANGE`."""
        x, y = _cell(start)
        near = [self._cells.get((x + i, y + j)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        found = [rows.used() for rows in near if rows is not None]
        if not found:
            return None
        points = (np.concatenate(found) - np.asarray(start)).reshape(-1, len(start) // 3, 3)
        nearest = float(np.sqrt((points**2).sum(-1)).max(-1).min())
        return round(nearest, DIGITS) if nearest <= START_RANGE else None

    def add(self, start: Sequence[float]) -> None:
        """Remember a start."""
        self._cells.setdefault(_cell(start), _Rows(len(start))).append(start)


class _Rows:
    """A list of equally long rows in one array that doubles as it fills."""

    def __init__(self, width: int) -> None:
        self._rows: NDArray[np.float64] = np.empty((4, width))
        self._count = 0

    def used(self) -> NDArray[np.float64]:
        return self._rows[: self._count]

    def append(self, row: Sequence[float]) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = row
        self._count += 1


def _cell(start: Sequence[float]) -> tuple[int, int]:
    return math.floor(start[0] / START_RANGE), math.floor(start[1] / START_RANGE)

"""Running statistics in bounded memory: exact moments, and a reservoir of rows for quantiles and histograms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.bins import bin_edges, count_into

KEPT_ROWS = 100_000
"""Most rows of a reservoir: up to here quantiles and histograms are exact."""

BINS = 24


class Moments:
    """Count, mean, standard deviation and range of each column over all finite values seen.

    Source of the update: T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37:242, 1983.
    """

    def __init__(self, width: int) -> None:
        """Begin with nothing seen, for rows of `width` numbers."""
        self.count = np.zeros(width, np.int64)
        self.mean, self._squares = np.zeros(width), np.zeros(width)
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)

    def add(self, rows: NDArray[np.float64]) -> None:
        """Count rows (n, width) in; values that are not finite are left out."""
        finite = np.isfinite(rows)
        new = finite.sum(axis=0)
        if not new.any():
            return
        values = np.where(finite, rows, 0.0)
        mean = values.sum(axis=0) / np.maximum(new, 1)
        squares = np.where(finite, (values - mean) ** 2, 0.0).sum(axis=0)
        total = self.count + new
        shift = mean - self.mean
        part = new / np.maximum(total, 1)
        self._squares += squares + shift**2 * self.count * part
        self.mean += shift * part
        self.count = total
        self.low = np.minimum(self.low, np.where(finite, rows, np.inf).min(axis=0))
        self.high = np.maximum(self.high, np.where(finite, rows, -np.inf).max(axis=0))

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation (width,); 0 where nothing was seen."""
        deviation: NDArray[np.float64] = np.sqrt(self._squares / np.maximum(self.count, 1))
        return deviation


class Reservoir:
    """A uniform sample of rows: those with the smallest keys, whatever the order in which they come."""

    def __init__(self, width: int, *, size: int = KEPT_ROWS) -> None:
        """Begin empty; at most `size` rows of `width` numbers are kept."""
        self._size, self.seen = size, 0
        self._keys: list[NDArray[np.float64]] = [np.zeros(0)]
        self._rows: list[NDArray[np.float64]] = [np.zeros((0, width))]
        self._held = 0

    def add(self, keys: NDArray[np.float64], rows: NDArray[np.float64]) -> None:
        """Offer rows (n, width) under random keys (n,)."""
        self._keys.append(keys)
        self._rows.append(rows)
        self._held += len(keys)
        self.seen += len(keys)
        if self._held > 2 * self._size:
            self._shrink()

    def _shrink(self) -> None:
        keys, rows = np.concatenate(self._keys), np.concatenate(self._rows)
        if len(keys) > self._size:
            chosen = np.sort(np.argsort(keys, kind="stable")[: self._size])
            keys, rows = keys[chosen], rows[chosen]
        self._keys, self._rows, self._held = [keys], [rows], len(keys)

    def rows(self) -> NDArray[np.float64]:
        """Return the sample (k, width)."""
        self._shrink()
        return self._rows[0]

    @property
    def exact(self) -> bool:
        """Whether every row that was offered is still there."""
        return self.seen <= self._size


def quantiles(values: NDArray[np.float64], *levels: float) -> list[float | None]:
    """Return quantiles of the finite ones of `values` (n,); None where there is none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [None] * len(levels)
    return [float(q) for q in np.quantile(finite, levels)]


def binned(values: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return {"edges", "counts"} of the finite ones of `values` (n,); empty lists where there is none."""
    if not np.isfinite(values).any():
        return {"edges": [], "counts": []}
    edges = bin_edges(values, bins=BINS)
    return {"edges": edges.tolist(), "counts": count_into(edges, values).tolist()}

"""Equal bins over a range, and how many values fall into each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-9
"""Share of their size within which values count as one value."""


def bin_edges(values: NDArray[np.float64], *, bins: int) -> NDArray[np.float64]:
    """Return the edges (bins + 1,) of equal bins over the finite `values`; equal values get one bin around them."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.array([0.0, 1.0])
    low, high = float(finite.min()), float(finite.max())
    if high - low <= FLAT * max(abs(low), abs(high), FLAT):
        half = max(abs(low), 1.0) / 2
        return np.array([low - half, low + half])
    return np.linspace(low, high, bins + 1)


def count_into(edges: NDArray[np.float64] | Sequence[float], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many of the finite `values` fall into each bin; the outermost bins also count what lies outside."""
    finite = values[np.isfinite(values)]
    places = np.clip(np.searchsorted(edges, finite, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(places, minlength=len(edges) - 1).astype(np.int64)

"""Statistics of actions and states over a dataset, with the fingerprint that checkpoints carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.files import digest_json


def dataset_statistics(episodes: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, Any]:
    """Return dataset_statistics.json for episodes given as (actions (T, 7), states (T, 8)).

    For "action" and "state": mean, std, min, max, q01 and q99 per dimension, and count, the number of steps. Beside
    them "episodes" and "fingerprint", the digest of the numbers.
    """
    pairs = list(episodes)
    if not pairs:
        raise ValueError("statistics of no episodes do not exist")
    found = {
        "action": column_statistics(np.concatenate([actions for actions, _ in pairs])),
        "state": column_statistics(np.concatenate([states for _, states in pairs])),
    }
    return {**found, "episodes": len(pairs), "fingerprint": digest_json(found)}


def column_statistics(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return the statistics of values (n, d), one number per dimension, computed in double precision."""
    columns = [values[:, d].astype(np.float64) for d in range(values.shape[1])]
    return {
        "mean": [float(c.mean()) for c in columns],
        "std": [float(c.std()) for c in columns],
        "min": [float(c.min()) for c in columns],
        "max": [float(c.max()) for c in columns],
        "q01": [float(np.quantile(c, 0.01)) for c in columns],
        "q99": [float(np.quantile(c, 0.99)) for c in columns],
        "count": len(values),
    }

"""How the fingers of each world moved, from what a policy saw of them before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.arrays import FINGER_STEPS, OPENING
from sim.episodes import Ids


class FingerMotion:
    """Remembers openings, world by world."""

    def __init__(self) -> None:
        # World -> (step, opening) of its last looks, the oldest first.
        self._seen: dict[int, list[tuple[int, float]]] = {}

    def forget(self, ids: Ids) -> None:
        """Forget these worlds: new episodes begin in them."""
        for world in ids:
            self._seen.pop(int(world), None)

    def measure(self, ids: Ids, steps: NDArray[np.intp], state: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return by how much each opening changed (k,) over the last `FINGER_STEPS` steps, and remember these states.

        Between looks that lie further apart the fingers are taken to move evenly; when an episode begins they rest.
        """
        worlds = zip(ids.tolist(), steps.tolist(), state[:, OPENING].tolist(), strict=True)
        return np.array([self._one(*world) for world in worlds], np.float32)

    def _one(self, world: int, step: int, opening: float) -> float:
        seen = self._seen.setdefault(world, [])
        if seen and step < seen[-1][0]:  # An episode that began without a word.
            seen.clear()
        if not seen or step > seen[-1][0]:
            seen.append((step, opening))
        at, before = next((look for look in reversed(seen) if step - look[0] >= FINGER_STEPS), seen[0])
        del seen[: -FINGER_STEPS - 1]
        return (opening - before) * min(1.0, FINGER_STEPS / max(step - at, 1))

"""The lower bound of every benchmark: a policy that knows nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.conventions import ARM_LIMITS, CANONICAL
from sim.episodes import Ids, Observation, PolicySpec
from sim.streams import generator


class RandomPolicy:
    """Uniform canonical actions, drawn anew at every step from the stream (seed, episode, step)."""

    def __init__(self, seed: int = 0) -> None:
        """Episodes of equal seed get equal actions, whatever ran before them."""
        self._seed = seed
        self.spec = PolicySpec(name="random", convention=CANONICAL, inputs=frozenset())

    def reset(self, ids: Ids) -> None:
        """Forget nothing: there is no memory."""

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return actions (k, 7), each component uniform within its canonical limits."""
        high = np.array([*ARM_LIMITS, 1.0])
        low = np.append(-high[:6], 0.0)
        rows = [
            generator(self._seed, "random policy", seed, int(step)).uniform(low, high)
            for seed, step in zip(observation.seeds, observation.steps, strict=True)
        ]
        return np.array(rows)

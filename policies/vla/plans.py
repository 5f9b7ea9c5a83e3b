"""What a policy planned before for the steps that it plans now: of several ways to act it goes on with one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.vla.shape import ARM
from sim.episodes import Ids

Floats = NDArray[np.float32]


class Plans:
    """Remembers the last chunks of each world, normalized arm actions (H, 6)."""

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk
        # World -> (step, chunk) of the last two looks, the older first.
        self._made: dict[int, list[tuple[int, Floats]]] = {}

    def forget(self, ids: Ids) -> None:
        """Forget these worlds: new episodes begin in them."""
        for world in ids:
            self._made.pop(int(world), None)

    def reaching(self, ids: Ids, steps: NDArray[np.intp]) -> Floats:
        """Return what the last chunks said (k, H, 6) of the next H steps; NaN where they said nothing."""
        said = np.full((len(ids), self._chunk, ARM), np.nan, np.float32)
        for row, (world, step) in enumerate(zip(ids.tolist(), steps.tolist(), strict=True)):
            made = self._made.get(world, [])
            if made and step < made[-1][0]:  # An episode that began without a word.
                made.clear()
            at, plan = next((each for each in reversed(made) if each[0] < step), (step, said[row]))
            rest = plan[step - at :] if step > at else plan[:0]
            said[row, : len(rest)] = rest
        return said

    def remember(self, ids: Ids, steps: NDArray[np.intp], chunks: Floats) -> None:
        """Keep what was said (k, H, 6) at these steps; a second look at a step takes the place of the first."""
        for world, step, chunk in zip(ids.tolist(), steps.tolist(), chunks, strict=True):
            before = [each for each in self._made.get(world, []) if each[0] < step]
            self._made[world] = [*before[-1:], (step, chunk)]

"""From batches of a mixture to what a pretrained model is shown and should say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.loader import Batch, LoadedMixture, sample_numbers
from policies.pretrained.families import Seen, normalized
from policies.vla.normalization import Statistics
from policies.vla.pixels import shift as shifted
from sim.streams import generator

Example = tuple[Seen, NDArray[np.float32], NDArray[np.bool_]]
"""What is seen, actions (B, chunk, 7) about in [-1, 1], and mask (B, chunk) of those that count."""


class PretrainedFeed:
    """Turns a loaded mixture into examples. Everything random is a function of (seed, step)."""

    def __init__(self, data: LoadedMixture, statistics: Statistics, *, shift: int, seed: int) -> None:
        self.data, self.statistics, self.shift, self.seed = data, statistics, shift, seed

    def training(self, step: int, size: int) -> Example:
        """Return the examples of training step `step`, each frame shifted by a few pixels."""
        batch = self.data.batch(sample_numbers(step, size))
        dice = generator(self.seed, "pretrained", "shift", step)
        moves = dice.integers(-self.shift, self.shift + 1, size=(len(batch.image), 2))
        images = shifted(batch.image, moves, most=self.shift)
        return self._example(batch, images)

    def plain(self, batch: Batch) -> Example:
        """Return the examples of a batch as it is."""
        return self._example(batch, batch.image)

    def _example(self, batch: Batch, images: NDArray[np.uint8]) -> Example:
        sentences = tuple(self.data.instructions[number] for number in batch.instruction)
        seen = Seen(images, sentences, self.statistics.normalize_state(batch.state))
        return seen, normalized(batch.actions, self.statistics), batch.mask

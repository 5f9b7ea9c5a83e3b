"""From batches of arrays to what the network takes: plain, or with training's random changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from datagen.loader import Batch, LoadedMixture, sample_numbers
from policies.vla.normalization import Statistics
from policies.vla.objective import Targets, targets
from policies.vla.pixels import jitter, shift, to_pixels
from policies.vla.settings import Preset
from policies.vla.text import encode
from sim.streams import generator


@dataclass(frozen=True)
class Inputs:
    """One batch as the network takes it, and what it should answer."""

    # (B, 3, px, px) in [-1, 1], (B, L) buckets, (B, 8) normalized.
    pixels: Tensor
    words: Tensor
    state: Tensor
    wanted: Targets


class Feed:
    """Turns a loaded mixture into inputs. Everything random is a function of (seed, step)."""

    def __init__(self, data: LoadedMixture, statistics: Statistics, preset: Preset, *, seed: int) -> None:
        self.data, self.statistics, self.preset, self.seed = data, statistics, preset, seed
        self._words = torch.from_numpy(encode(data.instructions))

    def training(self, step: int) -> Inputs:
        """Return the inputs of training step `step`: shifted, jittered, with noise on the state."""
        batch = self.data.batch(sample_numbers(step, self.preset.batch))
        stream = generator(self.seed, "vla", "augment", step)
        images, moves = shift(batch.image, stream, most=self.preset.shift)
        moved = batch.points - (moves[:, None, ::-1] / self.preset.image_size).astype(np.float32)
        pixels = jitter(to_pixels(images), stream, strength=self.preset.jitter)
        state = self.statistics.normalize_state(batch.state)
        state += self.preset.state_noise * stream.standard_normal(state.shape, dtype=np.float32)
        return self._inputs(replace(batch, points=moved), pixels, torch.from_numpy(state))

    def plain(self, batch: Batch) -> Inputs:
        """Return the inputs of a batch as it is."""
        state = torch.from_numpy(self.statistics.normalize_state(batch.state))
        return self._inputs(batch, to_pixels(batch.image), state)

    def _inputs(self, batch: Batch, pixels: Tensor, state: Tensor) -> Inputs:
        words = self._words[torch.from_numpy(batch.instruction)]
        return Inputs(pixels, words, state, targets(batch, self.statistics))

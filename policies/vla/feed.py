"""From batches of arrays to what the network takes: plain, or with training's random changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datagen.arrays import Batch
from datagen.loader import LoadedMixture, sample_numbers
from policies.vla.augment import Draws, draw, mirrored, phrased, varied_frames, varied_wrist
from policies.vla.mirror import mirror_sentence
from policies.vla.normalization import Statistics
from policies.vla.objective import targets
from policies.vla.pixels import to_pixels
from policies.vla.presets import Preset
from policies.vla.shape import STATE, Inputs
from policies.vla.text import encode
from policies.vla.words import Read
from sim.streams import generator


class Feed:
    """Turns a loaded mixture into inputs. Everything random is a function of (seed, sample number)."""

    def __init__(
        self, data: LoadedMixture, statistics: Statistics, preset: Preset, *, seed: int, read: Read = encode
    ) -> None:
        self.data, self.statistics, self.preset, self.seed = data, statistics, preset, seed
        said = data.instructions
        self._words = torch.from_numpy(read([*said, *map(mirror_sentence, said)]))

    def training(self, step: int, *, rank: int = 0, ranks: int = 1) -> tuple[Inputs, ...]:
        """Return the inputs of training step `step` in as many passes as the preset accumulates.

        Of several processes, each takes its part of the same samples.
        """
        numbers = sample_numbers(step, self.preset.batch, rank=rank, ranks=ranks)
        return tuple(self.samples(part) for part in np.array_split(numbers, self.preset.accumulate) if len(part))

    def samples(self, numbers: NDArray[np.int64]) -> Inputs:
        """Return the inputs of the training samples `numbers` (B,), varied as the preset says."""
        augment = self.preset.augment
        draws = draw(self.seed, numbers, chunk=self.data.chunk)
        lag = np.floor(draws["skip"] * (augment.skip + 1)).astype(np.int64)
        batch = self.data.batch(numbers, lag=lag)
        which = draws.below("mirror", augment.mirror)
        batch = mirrored(batch, which)
        pixels, points = varied_frames(batch, draws, augment)
        near, wrist_points = None, batch.wrist_points
        if self.preset.wrist_size:
            own = draw(self.seed, numbers, chunk=self.data.chunk, stream="wrist")
            near, wrist_points = varied_wrist(batch, own, augment)
        sentence = batch.instruction
        if augment.paraphrase:
            others = [self.data.phrasings[number] for number in batch.phrasing]
            sentence = phrased(sentence, others, draws, share=augment.paraphrase)
        state = self._state(batch)
        state[:, :STATE] += np.float32(augment.state_noise) * draws.state
        said = sentence + len(self.data.instructions) * which
        told = replace(batch, instruction=said, points=points, wrist_points=wrist_points)
        return self._inputs(told, pixels, near, state, draws, noise=augment.action_noise)

    def examples(self, count: int) -> Batch:
        """Return at most `count` validation steps early in their episodes, of as many sentences as there are.

        Without a validation split, none: what a network makes of frames that it learned from says little.
        """
        arrays = next(iter(self.data.validation.values()), None)
        if arrays is None:
            return self.data.train[0].batch(np.zeros(0, np.int64), chunk=self.data.chunk)
        firsts = np.unique(arrays.start)
        rows = firsts + (arrays.stop[firsts] - firsts) // 4
        _, unlike = np.unique(arrays.instruction[rows], return_index=True)
        chosen = [*sorted(unlike), *(k for k in range(len(rows)) if k not in set(unlike))][:count]
        return arrays.batch(rows[chosen], chunk=self.data.chunk)

    def plain(self, batch: Batch) -> Inputs:
        """Return the inputs of a batch as it is; what the head "flow" draws is the same for the same states."""
        state = self._state(batch)
        key = int(generator(0, batch.state.tobytes().hex()).integers(2**31))
        draws = draw(key, np.arange(len(state)), chunk=self.data.chunk)
        near = to_pixels(batch.wrist) if self.preset.wrist_size else None
        return self._inputs(batch, to_pixels(batch.image), near, state, draws)

    def _state(self, batch: Batch) -> NDArray[np.float32]:
        """Return what the network reads of the states of a batch."""
        return self.statistics.network_state(batch.state, batch.finger_motion if self.preset.finger_motion else None)

    def _inputs(
        self,
        batch: Batch,
        pixels: Tensor,
        near: Tensor | None,
        state: NDArray[np.float32],
        draws: Draws,
        *,
        noise: float = 0.0,
    ) -> Inputs:
        wanted = targets(batch, self.statistics)
        if noise:
            wanted = replace(wanted, arm=wanted.arm + noise * torch.from_numpy(draws.actions))
        return Inputs(
            pixels=pixels,
            words=self._words[torch.from_numpy(batch.instruction)],
            state=torch.from_numpy(state),
            wanted=wanted,
            noise=torch.from_numpy(draws.noise),
            time=torch.from_numpy(draws["time"].copy()),
            near=near,
        )

"""A dataset under a declaration: its episodes in the canonical convention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datagen.canonical import action_to_canonical, state_to_canonical, wanted
from datagen.declaration import Declaration
from datagen.frames import to_canonical_frame
from datagen.resample import resample
from datagen.rlds_reader import Dataset, StoredEpisode, decode_image
from sim.conventions import CANONICAL, Convention
from sim.errors import UserError, nearest

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RawEpisode:
    """One episode as the declaration names it: T steps, nothing converted."""

    states: Numbers
    actions: Numbers
    images: Sequence[bytes]
    texts: Sequence[bytes]
    metadata: Mapping[str, Any]


class Examinable(Protocol):
    """What can be compared with its declaration: a declared dataset, or a recording that is to become one."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def declared(self) -> Declaration:
        """What it is said to mean."""

    @property
    def resample(self) -> bool:
        """Whether another rate is resampled."""

    def raw(self, split: str, *, verify: bool = True) -> Iterator[RawEpisode]:
        """Yield the episodes of a split, nothing converted."""


@dataclass(frozen=True)
class DeclaredDataset:
    """A dataset whose meaning was declared; it is read like one of ours."""

    stored: Dataset
    declared: Declaration
    # Width and height of the frames that it gives, pixels.
    image_size: int
    # Whether another rate is resampled; without it, `source_check` refuses one.
    resample: bool = False

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.stored.path

    @property
    def splits(self) -> Mapping[str, tuple[int, ...]]:
        """Split -> episodes in each of its shards."""
        return self.stored.splits

    @property
    def convention(self) -> Convention:
        """What its converted episodes mean."""
        declared = self.declared
        return replace(
            CANONICAL,
            base_frame=declared.base_frame,
            tcp=declared.tcp,
            camera=declared.frame.camera,
            image_size=self.image_size,
        )

    def episodes(self, split: str, *, verify: bool = True) -> Iterator[StoredEpisode]:
        """Yield the episodes in the canonical convention; frames stay encoded, for `frame`."""
        for episode in self.raw(split, verify=verify):
            yield self._converted(episode)

    def raw(self, split: str, *, verify: bool = True) -> Iterator[RawEpisode]:
        """Yield the episodes with the declared columns put together, nothing converted."""
        self._check_keys()
        for episode in self.stored.episodes(split, verify=verify):
            raw = self._raw(episode)
            if len(raw.actions):
                yield raw

    def frame(self, data: bytes) -> NDArray[np.uint8]:
        """Return an encoded frame as canonical pixels (size, size, 3)."""
        return to_canonical_frame(decode_image(data), self.declared.frame, size=self.image_size)

    def _raw(self, episode: StoredEpisode) -> RawEpisode:
        keys, first = self.declared.keys, self.declared.skip_first
        images, texts = episode.steps[keys.image], episode.steps[keys.instruction]
        if not isinstance(images, list) or not isinstance(texts, list):
            raise UserError(f"{self.path}: {keys.image!r} must be an image and {keys.instruction!r} a text.")
        state, action = self.declared.state, self.declared.action
        return RawEpisode(
            states=_numbers(episode, keys.state, state.numbers, wanted(state.rotation), "state")[first:],
            actions=_numbers(episode, keys.action, action.numbers, wanted(action.rotation), "action")[first:],
            images=images[first:],
            texts=texts[first:],
            metadata=episode.metadata,
        )

    def _converted(self, raw: RawEpisode) -> StoredEpisode:
        states = state_to_canonical(raw.states, self.declared)
        actions = action_to_canonical(raw.actions, states, self.declared)
        images, texts = list(raw.images), list(raw.texts)
        if self.declared.rate != CANONICAL.rate:
            other = resample(states, actions, rate=self.declared.rate, target=CANONICAL.rate)
            states, actions = other.states, other.actions
            images, texts = [images[k] for k in other.source], [texts[k] for k in other.source]
        steps: dict[str, NDArray[Any] | list[bytes]] = {
            "action": actions.astype(np.float32),
            "observation/state": states.astype(np.float32),
            "observation/image": images,
            "language_instruction": texts,
        }
        return StoredEpisode(steps, raw.metadata)

    def _check_keys(self) -> None:
        """Refuse columns that the dataset does not have."""
        keys, there = self.declared.keys, self.stored.keys
        for key in (keys.image, keys.instruction, *keys.state, *keys.action):
            if key not in there:
                raise UserError(
                    f"{self.path} has no column {key!r} under its steps.{nearest(key, there)} It has: "
                    f"{', '.join(sorted(there))}."
                )


def _numbers(episode: StoredEpisode, keys: tuple[str, ...], chosen: tuple[int, ...], count: int, part: str) -> Numbers:
    """Return the columns `keys` side by side (T, count), or the chosen ones of their numbers."""
    columns = []
    for key in keys:
        column = episode.steps[key]
        if not isinstance(column, np.ndarray) or column.ndim > 2:
            raise UserError(f"The column {key!r} of the {part} holds no numbers, or a table per step.")
        columns.append(column.reshape(len(column), -1).astype(np.float64))
    whole = np.concatenate(columns, axis=1)
    if chosen and not 0 <= min(chosen) <= max(chosen) < whole.shape[1]:
        raise UserError(f"[{part}] numbers = {list(chosen)}: the columns hold {whole.shape[1]} numbers, from 0.")
    values = whole[:, list(chosen)] if chosen else whole
    if values.shape[1] != count:
        raise UserError(
            f"The {part} has {values.shape[1]} numbers per step ({', '.join(keys)}); the declared form has {count}: "
            f"position 3, rotation {count - 4}, gripper 1. Choose them with numbers = [...], or correct the rotation."
        )
    return values

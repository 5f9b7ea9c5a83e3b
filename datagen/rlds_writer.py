"""Episodes to RLDS: steps and metadata into one tf.train.Example each, Examples into shards whole or absent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from datagen import example
from datagen.features import METADATA, Leaf
from datagen.tfrecord import write_record
from sim.files import sha256, written_whole

JPEG_QUALITY = 95

Column: TypeAlias = "NDArray[Any] | list[bytes]"
"""One feature over an episode: an array with a leading step axis, or encoded images or texts, one per step."""


@dataclass(frozen=True)
class EpisodeRecord:
    """One episode as it is stored."""

    # Key below "steps" -> one value per step: "action", "observation/state", "observation/image" as JPEG.
    steps: Mapping[str, Column]
    # Name -> text, number or boolean.
    metadata: Mapping[str, str | int | bool]


@dataclass(frozen=True)
class ShardRecord:
    """What the journal and demomill.json say of one finished shard."""

    # Episodes and bytes in it, steps in all, and the SHA-256 of its bytes.
    episodes: int
    steps: int
    size: int
    sha256: str
    # Sentence -> episodes.
    sentences: Mapping[str, int] = field(default_factory=dict)


def encode_jpeg(frame: NDArray[np.uint8]) -> bytes:
    """Return one RGB frame (h, w, 3) as JPEG of tensorflow-datasets' settings: quality 95, colour subsampled 4:2:0."""
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(frame), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420", fastdct=False
    )
    return encoded


def step_columns(
    *,
    states: NDArray[np.float32],
    joints: NDArray[np.float32],
    actions: NDArray[np.float32],
    rewards: NDArray[np.float32],
    terminated: bool,
    instruction: str,
    frames: Mapping[str, list[bytes]],
) -> dict[str, Column]:
    """Return the columns of an episode of T steps: row t is what was seen before action t, and that action.

    `states` (T, 8) and `joints` (T, 7) are observations 0 to T - 1; what the last action led to is not stored. The last
    row has `is_last`, and, where the episode ended by its own logic, `is_terminal` and a discount of 0.
    """
    count = len(actions)
    last = np.arange(count) == count - 1
    terminal = last & terminated
    return {
        **{f"observation/{camera}": images for camera, images in frames.items()},
        "observation/state": states,
        "observation/joint_position": joints,
        "action": actions,
        "reward": rewards,
        "discount": (~terminal).astype(np.float32),
        "is_first": np.arange(count) == 0,
        "is_last": last,
        "is_terminal": terminal,
        "language_instruction": [instruction.encode()] * count,
    }


def serialize(record: EpisodeRecord, *, leaves: tuple[Leaf, ...]) -> bytes:
    """Return the episode as a serialized Example, after its columns were compared with the declared features."""
    features: dict[str, example.Values] = {}
    count = len(record.steps["action"])
    for leaf in leaves:
        parent, name = leaf.key.split("/", 1)
        if parent == METADATA:
            features[leaf.key] = _scalar(record.metadata[name], leaf)
        else:
            features[leaf.key] = _checked(record.steps[name], leaf, count)
    stored = {f"steps/{name}" for name in record.steps} | {f"{METADATA}/{name}" for name in record.metadata}
    if extra := stored - features.keys():
        raise ValueError(f"The episode has columns that its dataset does not declare: {', '.join(sorted(extra))}.")
    return example.encode(features)


def _checked(column: Column, leaf: Leaf, count: int) -> example.Values:
    """Return the column in the form it is stored in; a shape other than the declared one is a programming error."""
    if isinstance(column, list):
        if len(column) != count:
            raise ValueError(f"{leaf.key} has {len(column)} values for {count} steps.")
        return column
    values = np.asarray(column, dtype=leaf.dtype)
    if values.shape != (count, *leaf.shape):
        raise ValueError(f"{leaf.key} has shape {values.shape}; expected {(count, *leaf.shape)}.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{leaf.key} holds values that are not finite.")
    return values


def _scalar(value: str | int | bool, leaf: Leaf) -> example.Values:
    if isinstance(value, str):
        return [value.encode()]
    return np.array([value], dtype=leaf.dtype)


def write_shard(path: Path, records: Iterable[EpisodeRecord], *, leaves: tuple[Leaf, ...]) -> ShardRecord:
    """Write the records to the shard at `path`, whole or not at all."""
    episodes, steps, size = 0, 0, 0
    sentences = Counter[str]()
    with written_whole(path) as beside:
        with beside.open("wb") as stream:
            for record in records:
                size += write_record(stream, serialize(record, leaves=leaves))
                steps += len(record.steps["action"])
                episodes += 1
                sentences.update(_sentence(record))
        digest = sha256(beside)
    return ShardRecord(
        episodes=episodes, steps=steps, size=size, sha256=digest, sentences=dict(sorted(sentences.items()))
    )


def _sentence(record: EpisodeRecord) -> list[str]:
    """Return the sentence of an episode, or nothing where it has none."""
    column = record.steps.get("language_instruction", [])
    return [text.decode() for text in column[:1] if isinstance(text, bytes)]

"""RLDS datasets read without TensorFlow: those written here, and those written by tensorflow-datasets itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen import example
from datagen.columns import episode_value, step_column
from datagen.features import FEATURES_FILE, METADATA, STEPS, Leaf, read_features
from datagen.layout import DESCRIPTION_FILE, INCOMPLETE, INFO_FILE, STATISTICS_FILE, TEMPLATE, shard_name
from datagen.tfrecord import read_records
from sim.errors import UserError, unknown
from sim.files import read_json

JPEG_START = b"\xff\xd8"


@dataclass(frozen=True)
class StoredEpisode:
    """One episode as it is stored; T is its number of steps."""

    # Key below "steps", e.g. "observation/state" -> (T, ...) array; images and texts stay encoded, T bytes each.
    steps: Mapping[str, NDArray[Any] | list[bytes]]
    # Name -> number, text, or array; keys below "episode_metadata" stand without that prefix.
    metadata: Mapping[str, Any]

    @property
    def length(self) -> int:
        """Number of steps T."""
        return len(next(iter(self.steps.values())))

    def images(self, key: str = "observation/image") -> NDArray[np.uint8]:
        """Return the decoded frames of one camera, (T, h, w, 3) RGB, row 0 on top."""
        encoded = self.steps.get(key)
        if not isinstance(encoded, list):
            raise unknown("image", key, [name for name, column in self.steps.items() if isinstance(column, list)])
        return np.stack([decode_image(data) for data in encoded])

    def texts(self, key: str = "language_instruction") -> list[str]:
        """Return the texts of one column, one per step."""
        encoded = self.steps.get(key)
        if not isinstance(encoded, list):
            raise unknown("text", key, [name for name, column in self.steps.items() if isinstance(column, list)])
        return [data.decode() for data in encoded]


@dataclass(frozen=True)
class Dataset:
    """An RLDS dataset on disk. Opening reads its description; episodes are read as they are asked for."""

    path: Path
    name: str
    version: str
    # Split -> episodes in each of its shards.
    splits: Mapping[str, tuple[int, ...]]
    # Declared features.
    leaves: tuple[Leaf, ...]
    # dataset_statistics.json and demomill.json, or None where the dataset has none.
    statistics: Mapping[str, Any] | None
    description: Mapping[str, Any] | None
    # Split -> template of its file names.
    templates: Mapping[str, str] = field(repr=False, default_factory=dict)
    # Whether episodes may lack declared features, and features that cannot be read are left out.
    lenient: bool = False

    def shard_path(self, split: str, shard: int) -> Path:
        """Return the file of one shard."""
        lengths = self._lengths(split)
        template = self.templates.get(split) or TEMPLATE
        return self.path / shard_name(self.name, split, shard, len(lengths), template=template)

    def episodes(
        self, split: str, *, shards: Sequence[int] | None = None, verify: bool = True
    ) -> Iterator[StoredEpisode]:
        """Yield the episodes of a split in stored order, or those of some of its shards.

        A shard that is missing, cut short or damaged, or that holds another number of episodes than declared, is a
        `UserError`. Without `verify`, checksums are not computed.
        """
        lengths = self._lengths(split)
        chosen = range(len(lengths)) if shards is None else shards
        for shard in chosen:
            if not 0 <= shard < len(lengths):
                raise UserError(
                    f"{self.path} has no shard {shard} in split {split!r}. Allowed: 0 to {len(lengths) - 1}."
                )
            yield from self._shard(self.shard_path(split, shard), lengths[shard], verify=verify)

    def _shard(self, path: Path, expected: int, *, verify: bool) -> Iterator[StoredEpisode]:
        count = 0
        for payload in read_records(path, verify=verify):
            yield self.decode(payload, where=f"{path}, record {count},")
            count += 1
        if count != expected:
            raise UserError(
                f"{path} holds {count} episodes and {INFO_FILE} promises {expected}. It was cut short at the end of a "
                "record, or belongs to another dataset: copy it again, or generate the dataset again."
            )

    def decode(self, payload: bytes, *, where: str) -> StoredEpisode:
        """Return the episode of one record; `where` names the record in errors."""
        features = example.decode(payload, where=where)
        steps: dict[str, NDArray[Any] | list[bytes]] = {}
        metadata: dict[str, Any] = {}
        for leaf in self.leaves:
            if leaf.key not in features:
                if self.lenient:
                    continue
                raise UserError(f"{where} lacks the feature {leaf.key!r} that {FEATURES_FILE} declares.")
            if leaf.stepwise:
                steps[leaf.key.removeprefix(f"{STEPS}/")] = step_column(features[leaf.key], leaf, where)
            elif len(features[leaf.key]) or not self.lenient:
                metadata[leaf.key.removeprefix(f"{METADATA}/")] = episode_value(features[leaf.key], leaf, where)
        self._same_length(steps, where)
        return StoredEpisode(steps, metadata)

    @staticmethod
    def _same_length(steps: Mapping[str, NDArray[Any] | list[bytes]], where: str) -> None:
        counts = {key: len(column) for key, column in steps.items()}
        if len(set(counts.values())) > 1:
            raise UserError(f"{where} has features of different lengths: {counts}. The record is damaged.")

    def _lengths(self, split: str) -> tuple[int, ...]:
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self.splits[split]

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of an episode's steps."""
        return tuple(leaf.key.removeprefix(f"{STEPS}/") for leaf in self.leaves if leaf.stepwise)


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Return an encoded image as (h, w, 3) uint8 RGB: JPEG to the very bytes that TensorFlow decodes, or PNG."""
    if data.startswith(JPEG_START):
        import simplejpeg

        decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=True)
        return decoded
    import imageio.v3

    pixels = np.asarray(imageio.v3.imread(data))
    if pixels.dtype != np.uint8:
        raise UserError(f"An image has pixels of type {pixels.dtype}; RGB images of 8 bits per channel are read.")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3)))


def open_dataset(path: Path, *, lenient: bool = False) -> Dataset:
    """Open the dataset at `path`: its version folder, its name folder, or their parent when there is only one below.

    With `lenient`, features of a kind that cannot be read are left out instead of refused, and episodes may lack some.
    """
    folder = _find(Path(path))
    info = read_json(folder / INFO_FILE)
    suffix = info.get("fileFormat", "tfrecord")
    if suffix != "tfrecord":
        raise UserError(f"{folder} is stored as {suffix!r}. Readable: 'tfrecord'. Write it again in that format.")
    splits = info.get("splits", [])
    return Dataset(
        path=folder,
        name=info["name"],
        version=info.get("version", folder.name),
        splits={split["name"]: tuple(int(n) for n in split.get("shardLengths", [])) for split in splits},
        leaves=read_features(folder, skip_unknown=lenient),
        statistics=_optional(folder / STATISTICS_FILE),
        description=_optional(folder / DESCRIPTION_FILE),
        templates={split["name"]: split.get("filepathTemplate", TEMPLATE) for split in splits},
        lenient=lenient,
    )


def _optional(path: Path) -> Mapping[str, Any] | None:
    if not path.exists():
        return None
    value: Mapping[str, Any] = read_json(path)
    return value


def _find(path: Path) -> Path:
    """Return the one version folder at or below `path`."""
    if not path.is_dir():
        raise UserError(f"{path} is no folder. Name the folder of a dataset, e.g. data/lift_cube_v1 or its version.")
    if (path / INFO_FILE).exists() and (path / FEATURES_FILE).exists():
        return path
    depths = [f"{'*/' * depth}{INFO_FILE}" for depth in (1, 2, 3)]
    found = sorted({file.parent for pattern in depths for file in path.glob(pattern)})
    found = [folder for folder in found if not folder.name.endswith(INCOMPLETE)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{path} holds {len(found)} datasets. Name one of: {', '.join(str(f) for f in found)}.")
    growing = [path, *path.glob(f"*{INCOMPLETE}"), *path.glob(f"*/*{INCOMPLETE}")]
    growing = [folder for folder in growing if folder.name.endswith(INCOMPLETE)]
    if growing:
        raise UserError(f"{growing[0]} is not finished. Run the same `demomill generate` again: it continues.")
    raise UserError(f"{path} holds no RLDS dataset: no {INFO_FILE} at it or up to three folders below.")

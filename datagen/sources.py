"""The datasets of a mixture: opened, understood, compared with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.declaration import find_declaration
from datagen.declared_source import DeclaredDataset
from datagen.interleave import Stream
from datagen.rlds_reader import Dataset, StoredEpisode, decode_image, open_dataset
from datagen.source_check import conversions, examine
from sim.conventions import CANONICAL, Convention, differences, from_json
from sim.errors import UserError, unknown
from sim.files import digest_json
from sim.ranges import POSITIVE, Numbers, require

COLUMNS = ("observation/image", "observation/state", "action", "language_instruction")
"""What training reads of a step."""

ACCEPTABLE = ("base_frame", "tcp", "camera", "success")
"""Fields that no arithmetic converts and that a mixture may leave different, when it says so: another robot or view."""


@dataclass(frozen=True)
class SourceConfig:
    """One dataset of a mixture."""

    # Folder of an RLDS dataset.
    path: Path
    # Weight relative to the other sources: 90 and 10, or 0.9 and 0.1.
    weight: float = 1.0
    # Name in reports; empty takes the dataset's own. Must be unique in the mixture.
    name: str = ""
    # Use only the first so many episodes of the training split; unset uses all.
    episodes: int | None = None
    # Trust a dataset that does not say what its actions mean to follow the canonical convention.
    assume_canonical: bool = False
    # What such a dataset means: a shipped declaration ("bridge", "droid", "fractal", "libero") or a TOML file.
    declaration: str = ""
    # Bring a declared dataset of another rate to the canonical one: motion interpolated, frames held in between.
    resample: bool = False
    # Fields of the convention in which this source may differ from the first one: see `ACCEPTABLE`.
    accept: tuple[str, ...] = ()
    # Task that it belongs to, for balance = "task"; empty takes what the dataset says.
    task: str = ""

    def __post_init__(self) -> None:
        require(self, {"weight": Numbers(0, 1e9, above=True), "episodes": POSITIVE}, part=f"source {self.path}")
        for name in self.accept:
            if name not in ACCEPTABLE:
                raise unknown("field to accept", name, ACCEPTABLE, hint="Everything else is converted or refused.")

    def settings(self) -> dict[str, Any]:
        """Return what must be known to open it again, beside path, weight and name, as JSON; defaults are left out."""
        names = ("episodes", "assume_canonical", "declaration", "resample", "accept", "task")
        chosen = {name: getattr(self, name) for name in names if getattr(self, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}


@dataclass(frozen=True)
class Source:
    """One opened dataset of a mixture."""

    config: SourceConfig
    name: str
    dataset: Dataset | DeclaredDataset = field(repr=False)
    convention: Convention
    # Where the data comes from, as the dataset says it: "synthetic", or "stand-in for real data (...)".
    label: str
    # Digest of what the dataset says of itself, its statistics included.
    digest: str
    # What was converted and measured of a declared dataset, for the report.
    note: str = ""
    # Whether it belongs to the earlier mixture that is drawn again.
    replayed: bool = False

    @property
    def task(self) -> str:
        """The task that it belongs to; its name where neither the job nor the dataset says one."""
        told = self.dataset.description if isinstance(self.dataset, Dataset) else None
        return self.config.task or str((told or {}).get("task", "")) or self.name

    def frame(self, data: bytes) -> NDArray[np.uint8]:
        """Return an encoded frame as pixels (h, h, 3), RGB, row 0 on top."""
        return self.dataset.frame(data) if isinstance(self.dataset, DeclaredDataset) else decode_image(data)

    def episodes(self, split: str, *, verify: bool = True) -> Iterator[StoredEpisode]:
        """Yield the chosen episodes of `split`; only the training split is ever shortened."""
        limit = self.config.episodes if split == "train" else None
        for number, episode in enumerate(islice(self.dataset.episodes(split, verify=verify), limit)):
            missing = [key for key in COLUMNS if key not in episode.steps]
            if missing:
                raise UserError(
                    f"Episode {number} of {self.dataset.path} lacks {', '.join(missing)}. A VLA is trained on "
                    f"{', '.join(COLUMNS)}; write the dataset again with these features."
                )
            yield episode

    def stream(self, split: str = "train") -> Stream:
        """Return name, weight and episode lengths; no image is decoded and no checksum computed."""
        lengths = tuple(len(episode.steps["action"]) for episode in self.episodes(split, verify=False))
        wanted = self.config.episodes
        if split == "train" and wanted is not None and len(lengths) < wanted:
            raise UserError(
                f"Source {self.name!r} has {len(lengths)} training episodes and the mixture asks for {wanted}. "
                "Ask for fewer, or generate more."
            )
        return Stream(self.name, self.config.weight, lengths)


def open_all(configs: Sequence[SourceConfig]) -> tuple[Source, ...]:
    """Open all sources and compare their conventions field by field; a difference is refused."""
    datasets = [open_dataset(config.path) for config in configs]
    stored = (dict((d.description or {}).get("convention", {})).get("image_size") for d in datasets)
    size = next((int(pixels) for pixels in stored if pixels), CANONICAL.image_size)
    pairs = zip(configs, datasets, strict=True)
    sources = tuple(_declared(c, d, size) if c.declaration else _own(c, d) for c, d in pairs)
    for other in sources[1:]:
        _same_convention(sources[0], other)
    return sources


def _said(dataset: Dataset) -> dict[str, Any]:
    """Return what a dataset says of itself."""
    return {
        "name": dataset.name,
        "version": dataset.version,
        "splits": {split: list(lengths) for split, lengths in dataset.splits.items()},
        "statistics": dataset.statistics,
        "description": dataset.description or {},
    }


def _own(config: SourceConfig, dataset: Dataset) -> Source:
    """Return a dataset that says itself what it means, or that is vouched for."""
    if config.resample:
        raise UserError(f"{config.path}: resample = true is for datasets with a declaration. Leave it out here.")
    description: Mapping[str, Any] = dataset.description or {}
    return Source(
        config=config,
        name=config.name or dataset.name,
        dataset=dataset,
        convention=_convention(config, dataset, description),
        label=str(description.get("source", "unlabelled")),
        digest=digest_json(_said(dataset)),
    )


def _declared(config: SourceConfig, dataset: Dataset, image_size: int) -> Source:
    """Return a dataset whose meaning was declared, once its own statistics do not contradict the declaration."""
    if "convention" in (dataset.description or {}) or config.assume_canonical:
        raise UserError(
            f"{dataset.path} {'is vouched for' if config.assume_canonical else 'says itself what it means'}. Leave out "
            f"{'assume_canonical or ' if config.assume_canonical else ''}declaration = {config.declaration!r}."
        )
    declared = DeclaredDataset(dataset, find_declaration(config.declaration), image_size, resample=config.resample)
    measured = examine(declared)
    return Source(
        config=config,
        name=config.name or dataset.name,
        dataset=declared,
        convention=declared.convention,
        label=declared.declared.label,
        digest=digest_json({**_said(dataset), "declared": declared.declared.json(), "image_size": image_size}),
        note=conversions(declared.declared, measured),
    )


def _convention(config: SourceConfig, dataset: Dataset, description: Mapping[str, Any]) -> Convention:
    """Return what the dataset says its actions mean; silence is refused unless the user vouches for it."""
    if "convention" in description:
        return from_json(dict(description["convention"]), source=str(dataset.path))
    if config.assume_canonical:
        return CANONICAL
    raise UserError(
        f"{dataset.path} does not say what its actions and observations mean: it has no convention in demomill.json. "
        "If it follows docs/convention.md in every field, write assume_canonical = true beside its path; else write "
        "down what it means in a file and name it: declaration = 'mine.toml' (docs/datagen.md shows one)."
    )


def _same_convention(first: Source, other: Source) -> None:
    found = [d for d in differences(first.convention, other.convention) if d.field not in other.config.accept]
    if found:
        rows = "\n".join(f"  {d.field}: {first.name} {d.policy!r}, {other.name} {d.environment!r}" for d in found)
        raise UserError(
            f"The sources {first.name!r} and {other.name!r} mean different things and cannot be mixed:\n{rows}\n"
            "Generate or convert one of them again in the other's convention; docs/convention.md explains every field. "
            f"Of {', '.join(ACCEPTABLE)} a source may differ, if it says so: accept = [...] beside its path."
        )

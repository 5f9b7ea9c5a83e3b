"""Mixtures of datasets as the user names them: opened, counted, compared, and what will be drawn of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from datagen.interleave import Mixture, Per, Stream
from datagen.rlds_reader import Dataset, StoredEpisode, open_dataset
from sim.conventions import CANONICAL, Convention, differences, from_json
from sim.errors import UserError
from sim.files import digest_json

COLUMNS = ("observation/image", "observation/state", "action", "language_instruction")
"""What training reads of a step."""


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


@dataclass(frozen=True)
class MixConfig:
    """A mixture of datasets."""

    # The datasets and their weights.
    sources: tuple[SourceConfig, ...]
    # What the weights are ratios of: "step" or "episode".
    per: Per = "step"
    # Seed of the order in which samples come.
    seed: int = 0
    # How many samples the report counts.
    samples: int = 100_000


@dataclass(frozen=True)
class Source:
    """One opened dataset of a mixture."""

    config: SourceConfig
    name: str
    dataset: Dataset = field(repr=False)
    convention: Convention
    # Where the data comes from, as the dataset says it: "synthetic", or "stand-in for real data (...)".
    label: str
    # Digest of what the dataset says of itself, its statistics included.
    digest: str

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


@dataclass(frozen=True)
class SourceReport:
    """What a mixture draws of one source."""

    name: str
    label: str
    path: str
    digest: str
    weight: float
    # Share of the samples in the endless sequence.
    share: float
    episodes: int
    steps: int
    # Samples drawn of the report's total, and how many times that goes through the source.
    drawn: int
    passes: float


@dataclass(frozen=True)
class MixReport:
    """What a mixture draws of each source, exactly."""

    sources: tuple[SourceReport, ...]
    per: str
    seed: int
    samples: int
    digest: str

    def __rich__(self) -> Any:
        """Return the report as a table for a terminal."""
        from rich.table import Table

        caption = f"{self.samples:,} samples, weights per {self.per}, seed {self.seed}, mixture {self.digest}"
        table = Table("source", "label", caption=caption, caption_justify="left")
        for column in ("weight", "share", "episodes", "steps", "drawn", "passes"):
            table.add_column(column, justify="right")
        for s in self.sources:
            counts = (f"{s.episodes:,}", f"{s.steps:,}", f"{s.drawn:,}", f"{s.passes:.2f}")
            table.add_row(s.name, s.label, f"{s.weight:g}", f"{s.share:.2%}", *counts)
        return table


def open_sources(config: MixConfig) -> tuple[Source, ...]:
    """Open all sources and compare their conventions field by field; a difference is refused."""
    if not config.sources:
        raise UserError("The mixture has no source. Give at least one [[sources]] with a path.")
    sources = tuple(_open(source) for source in config.sources)
    for other in sources[1:]:
        _same_convention(sources[0], other)
    return sources


def _open(config: SourceConfig) -> Source:
    if config.episodes is not None and config.episodes < 1:
        raise UserError(f"{config.path}: episodes = {config.episodes}. Allowed: 1 or more, or leave it unset for all.")
    dataset = open_dataset(config.path)
    description: Mapping[str, Any] = dataset.description or {}
    said: dict[str, Any] = {
        "name": dataset.name,
        "version": dataset.version,
        "splits": {split: list(lengths) for split, lengths in dataset.splits.items()},
        "statistics": dataset.statistics,
        "description": description,
    }
    return Source(
        config=config,
        name=config.name or dataset.name,
        dataset=dataset,
        convention=_convention(config, dataset, description),
        label=str(description.get("source", "unlabelled")),
        digest=digest_json(said),
    )


def _convention(config: SourceConfig, dataset: Dataset, description: Mapping[str, Any]) -> Convention:
    """Return what the dataset says its actions mean; silence is refused unless the user vouches for it."""
    if "convention" in description:
        return from_json(dict(description["convention"]), source=str(dataset.path))
    if config.assume_canonical:
        return CANONICAL
    raise UserError(
        f"{dataset.path} does not say what its actions and observations mean: it has no convention in demomill.json. "
        "If it follows docs/convention.md in every field, write assume_canonical = true beside its path."
    )


def _same_convention(first: Source, other: Source) -> None:
    found = differences(first.convention, other.convention)
    if found:
        rows = "\n".join(f"  {d.field}: {first.name} {d.policy!r}, {other.name} {d.environment!r}" for d in found)
        raise UserError(
            f"The sources {first.name!r} and {other.name!r} mean different things and cannot be mixed:\n{rows}\n"
            "Generate or convert one of them again in the other's convention; docs/convention.md explains every field."
        )


def report(sources: Sequence[Source], mixture: Mixture, *, config: MixConfig, samples: int) -> MixReport:
    """Return what the first `samples` samples of `mixture` hold."""
    if samples < 1:
        raise UserError(f"samples = {samples}. Ask for at least 1.")
    counts = mixture.counts(samples)
    rows = tuple(
        SourceReport(
            name=source.name,
            label=source.label,
            path=str(source.dataset.path),
            digest=source.digest,
            weight=source.config.weight,
            share=share,
            episodes=len(stream.lengths),
            steps=stream.steps,
            drawn=drawn,
            passes=drawn / stream.steps,
        )
        for source, stream, share, drawn in zip(sources, mixture.streams, mixture.shares, counts, strict=True)
    )
    return MixReport(rows, config.per, config.seed, samples, mixture_digest(sources, config))


def mixture_digest(sources: Sequence[Source], config: MixConfig) -> str:
    """Return the digest of what is drawn and in which order: datasets, episodes, names, weights, seed."""
    parts = [
        {"dataset": s.digest, "episodes": s.config.episodes, "name": s.name, "weight": s.config.weight} for s in sources
    ]
    return digest_json({"sources": parts, "per": config.per, "seed": config.seed})


def mix(config: MixConfig) -> MixReport:
    """Return exactly how many samples the mixture draws of each source; no image is decoded."""
    sources = open_sources(config)
    mixture = Mixture([source.stream() for source in sources], per=config.per, seed=config.seed)
    return report(sources, mixture, config=config, samples=config.samples)

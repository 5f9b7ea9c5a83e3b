"""Mixtures of datasets as the user names them: opened, counted, compared, and what will be drawn of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from datagen.balance import Balance, balanced_shares
from datagen.interleave import Mixture, Per, Stream
from datagen.replay import earlier_mixture
from datagen.sources import Source as Source
from datagen.sources import SourceConfig as SourceConfig
from datagen.sources import open_all
from sim.errors import UserError
from sim.files import digest_json
from sim.ranges import POSITIVE, Numbers, require

Normalization = Literal["mean_std", "quantiles"]


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
    # How a VLA that is trained on it normalizes: "mean_std", or "quantiles", by which q01 and q99 become -1 and 1.
    normalization: Normalization = "mean_std"
    # "task": every task gets the same share and weights hold within a task; "none": weights hold over all sources.
    balance: Balance = "none"
    # A checkpoint's folder: the mixture that it was trained on is drawn again beside the sources, so that a policy that
    # learns something new does not forget. Its datasets must still be what they were.
    replay: Path | None = None
    # Share of all samples that comes from the earlier mixture.
    replay_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a mixture of nothing, and a share of nothing or of everything."""
        if not self.sources:
            raise UserError(
                'The mixture has no source. Give at least one: [[sources]], then path = "data/lift_cube_v1".'
            )
        require(self, {"samples": POSITIVE, "replay_share": Numbers(0, 1, above=True, below=True)})


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
    # What was converted and measured of a declared dataset.
    note: str = ""
    # How it was opened, beyond path, weight and name.
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MixReport:
    """What a mixture draws of each source, exactly."""

    sources: tuple[SourceReport, ...]
    per: str
    seed: int
    samples: int
    digest: str

    @classmethod
    def stored(cls, said: Mapping[str, Any]) -> MixReport:
        """Return the report that a checkpoint's record holds as JSON."""
        return cls(**{**said, "sources": tuple(SourceReport(**row) for row in said["sources"])})

    def __rich__(self) -> Any:
        """Return the report as a table for a terminal."""
        from rich.table import Table

        caption = f"{self.samples:,} samples, weights per {self.per}, seed {self.seed}, mixture {self.digest}"
        caption = "\n".join([caption, *(f"{s.name}: {s.note}" for s in self.sources if s.note)])
        table = Table("source", "label", caption=caption, caption_justify="left")
        for column in ("weight", "share", "episodes", "steps", "drawn", "passes"):
            table.add_column(column, justify="right")
        for s in self.sources:
            counts = (f"{s.episodes:,}", f"{s.steps:,}", f"{s.drawn:,}", f"{s.passes:.2f}")
            table.add_row(s.name, s.label, f"{s.weight:g}", f"{s.share:.2%}", *counts)
        return table


def open_sources(config: MixConfig) -> tuple[Source, ...]:
    """Open all sources, replayed ones last, and compare their conventions field by field; a difference is refused."""
    if config.replay is None:
        return open_all(config.sources)
    earlier = earlier_mixture(config.replay)
    opened = open_all([*config.sources, *earlier.configs])
    return (*opened[: len(config.sources)], *earlier.checked(opened[len(config.sources) :]))


def mixed(streams: Sequence[Stream], sources: Sequence[Source], config: MixConfig) -> Mixture:
    """Return the mixture of the streams of `sources`, with balance and replay."""
    if config.replay is None and config.balance == "none":
        return Mixture(streams, per=config.per, seed=config.seed)
    wanted = balanced_shares(streams, sources, per=config.per, balance=config.balance, replay=config.replay_share)
    weighted = [replace(stream, weight=share) for stream, share in zip(streams, wanted, strict=True)]
    return Mixture(weighted, per="step", seed=config.seed)


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
            note=source.note,
            settings=source.config.settings(),
        )
        for source, stream, share, drawn in zip(sources, mixture.streams, mixture.shares, counts, strict=True)
    )
    return MixReport(rows, config.per, config.seed, samples, mixture_digest(sources, config))


def mixture_digest(sources: Sequence[Source], config: MixConfig) -> str:
    """Return the digest of what is drawn and in which order: datasets, episodes, names, weights, seed."""
    parts = [
        {"dataset": s.digest, "episodes": s.config.episodes, "name": s.name, "weight": s.config.weight} for s in sources
    ]
    whole: dict[str, Any] = {"sources": parts, "per": config.per, "seed": config.seed}
    if config.normalization != "mean_std":
        whole["normalization"] = config.normalization
    if config.balance != "none":
        whole |= {"balance": config.balance, "tasks": [s.task for s in sources]}
    if config.replay is not None:
        whole |= {"replay_share": config.replay_share, "replayed": [s.name for s in sources if s.replayed]}
    return digest_json(whole)


def mix(config: MixConfig) -> MixReport:
    """Return exactly how many samples the mixture draws of each source; no image is decoded."""
    sources = open_sources(config)
    mixture = mixed([source.stream() for source in sources], sources, config)
    return report(sources, mixture, config=config, samples=config.samples)

"""The mixture that a checkpoint was trained on, to be drawn again: continual learning without forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datagen.sources import Source, SourceConfig
from sim.errors import UserError
from sim.files import read_json
from sim.jobs import from_mapping

RECORD = "checkpoint.json"
PREFIX = "replay "
"""In front of the names of replayed sources: names are unique, and decide the order in which samples come."""


@dataclass(frozen=True)
class EarlierMixture:
    """The sources of an earlier mixture, weighted by the shares that they had."""

    folder: Path
    configs: tuple[SourceConfig, ...]
    # Digest that each dataset had.
    digests: tuple[str, ...]

    def checked(self, opened: Sequence[Source]) -> tuple[Source, ...]:
        """Return the opened sources, marked as replayed; a dataset that is another one now is refused."""
        for source, digest in zip(opened, self.digests, strict=True):
            if source.digest != digest:
                raise UserError(
                    f"{source.dataset.path} is not what {self.folder} was trained on: its digest is {source.digest}, "
                    f"and it was {digest}. Put the old one back, or leave replay out and name the new one as a source."
                )
        return tuple(replace(source, replayed=True) for source in opened)


def earlier_mixture(folder: Path) -> EarlierMixture:
    """Return the mixture of the checkpoint in `folder`; one whose record holds none is refused."""
    record: Any = read_json(folder / RECORD) if (folder / RECORD).is_file() else None
    rows = (record.get("mixture") or {}).get("sources") if isinstance(record, dict) else None
    if not rows:
        raise UserError(
            f"replay = {str(folder)!r} names no checkpoint with a mixture. Name a folder that `demomill train-vla` or "
            "`demomill finetune` wrote."
        )
    where = f"{folder / RECORD} [mixture]"
    configs = tuple(
        from_mapping(
            {"path": row["path"], "weight": row["share"], "name": f"{PREFIX}{row['name']}", **row.get("settings", {})},
            SourceConfig,
            where=where,
        )
        for row in rows
    )
    return EarlierMixture(folder, configs, tuple(str(row["digest"]) for row in rows))

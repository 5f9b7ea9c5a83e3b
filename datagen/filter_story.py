"""What became of the candidates: rejections by reason and by cell, kept against drawn, pictures of rejected ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datagen.bias import kept_against_drawn
from datagen.downscale import downscale
from datagen.filters import FilterReport
from datagen.growing_split import GrowingSplit
from datagen.quotas import PREFIX
from datagen.render_shards import RenderSettings, frame_of
from datagen.rlds_writer import encode_jpeg
from datagen.unit_files import load_rejected
from datagen.units import Rejected
from sim.files import write_bytes

FOLDER = "report"
"""Folder of the pictures in a dataset."""

SHOWN = 3
"""Filmstrips per reason and split."""

SIZE = 128
"""Height of a filmstrip, pixels, where frames are larger."""


class Pictures:
    """The rejected episodes that are shown: the first few of each reason in the order of their numbers."""

    def __init__(self) -> None:
        """Begin with none."""
        self._chosen: list[tuple[str, Rejected]] = []
        self._count = Counter[tuple[str, str]]()

    def add(self, split: str, report: FilterReport, unit: Path) -> None:
        """Choose from the rejected episodes of a unit's file those whose reason is not shown enough yet."""
        if all(self._count[split, reason] >= SHOWN for reason in report.rejected):
            return
        for rejected in load_rejected(unit):
            if self._count[split, rejected.reason] < SHOWN:
                self._count[split, rejected.reason] += 1
                self._chosen.append((split, rejected))

    def write(self, folder: Path, settings: RenderSettings) -> dict[str, list[dict[str, Any]]]:
        """Draw the filmstrips into `folder`; return what is said of each, by split."""
        told: dict[str, list[dict[str, Any]]] = {}
        for split, rejected in sorted(self._chosen, key=lambda each: (each[0], each[1].reason, each[1].seed)):
            name = f"{FOLDER}/{split}-{_slug(rejected.reason)}-{rejected.seed}.jpg"
            write_bytes(folder / name, filmstrip(rejected, settings))
            told.setdefault(split, []).append(
                {
                    "file": name,
                    "reason": rejected.reason,
                    "seed": rejected.seed,
                    "instruction": rejected.instruction,
                    "measurements": dict(rejected.measurements),
                }
            )
        return told


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def filmstrip(rejected: Rejected, settings: RenderSettings) -> bytes:
    """Return frames of a rejected episode from its start to its end, side by side, as JPEG."""
    frames = [frame_of(rejected, positions, settings) for positions in rejected.positions]
    size = min(SIZE, settings.image_size)
    return encode_jpeg(np.concatenate(list(downscale(np.stack(frames), size)), axis=1))


def story(splits: Sequence[GrowingSplit], pictures: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the content of report.json: per split the counts by reason, every knob and quota, and the pictures.

    `lean` names the knobs on which acceptance depends, the strongest first.
    """
    return {split.name: _split_story(split, pictures.get(split.name, ())) for split in splits}


def _split_story(split: GrowingSplit, pictures: Sequence[Any]) -> dict[str, Any]:
    entries = kept_against_drawn(split.cells, split.written)
    knobs = [entry for entry in entries if not entry["knob"].startswith(PREFIX)]
    leaning = [entry for entry in knobs if entry["leans"]]
    return {
        **split.report.to_json(),
        "surplus": split.surplus,
        "written": len(split.sources),
        "lean": [e["words"] for e in sorted(leaning, key=lambda e: -e["test"]["cramers_v"])],
        "knobs": knobs,
        "quotas": [
            {**entry, "knob": entry["knob"].removeprefix(PREFIX)}
            for entry in entries
            if entry["knob"].startswith(PREFIX)
        ],
        "pictures": list(pictures),
    }

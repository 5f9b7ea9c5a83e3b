"""Units in files, whole or absent: numbers and JSON, no pickles."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.cells import TEMPLATE, Axis, CellCounts
from datagen.filters import FilterReport
from datagen.units import Rejected, StateEpisode, Unit
from sim.errors import UserError
from sim.files import written_whole

_ARRAYS = ("states", "joints", "actions", "rewards", "positions", "poses", "target")
_TEXTS = ("seed", "instruction", "template", "draw", "measurements", "perturbed", "terminated", "objects")
_SHOWN = ("seed", "reason", "instruction", "draw", "measurements")


@dataclass(frozen=True)
class EpisodeHeader:
    """What the collector needs to know of an episode in a unit's file."""

    # Row among the kept ones and the failures of the unit's file.
    row: int
    seed: int
    # Where it begins, see `StateEpisode.start`, and what it drew, the instruction's template included.
    start: tuple[float, ...]
    draw: Mapping[str, Any]


@dataclass(frozen=True)
class UnitHeader:
    """What a unit's file says about itself, without its arrays."""

    kept: tuple[EpisodeHeader, ...]
    failures: tuple[EpisodeHeader, ...]
    report: FilterReport
    cells: CellCounts


def save_unit(path: Path, unit: Unit) -> None:
    """Write a unit to an .npz file, whole or not at all."""
    episodes = (*unit.episodes, *unit.failures)
    about = {
        "report": unit.report.to_json(),
        "cells": unit.cells.to_json(),
        "kept": len(unit.episodes),
        "episodes": [
            {name: getattr(e, name) for name in _TEXTS} | {"steps": len(e.actions), "start": e.start} for e in episodes
        ],
        "rejected": [{name: getattr(r, name) for name in _SHOWN} for r in unit.rejected],
    }
    arrays = {name: np.concatenate([getattr(e, name) for e in episodes]) for name in _ARRAYS if episodes}
    if unit.rejected:
        arrays["shown"] = np.stack([r.positions for r in unit.rejected])
    text = np.frombuffer(json.dumps(about, allow_nan=False).encode(), dtype=np.uint8)
    with written_whole(path) as beside, beside.open("wb") as stream:
        np.savez(stream, about=text, **arrays)


def load_header(path: Path, axes: Sequence[Axis] = ()) -> UnitHeader:
    """Return what a unit file says about itself; `axes` are those that its candidates were counted on."""
    about, _ = _read(path, ())
    headers = [
        EpisodeHeader(row, e["seed"], tuple(e["start"]), {**e["draw"], TEMPLATE: e["template"]})
        for row, e in enumerate(about["episodes"])
    ]
    kept = about["kept"]
    counts = CellCounts.from_json(axes, about["cells"])
    return UnitHeader(tuple(headers[:kept]), tuple(headers[kept:]), FilterReport.from_json(about["report"]), counts)


def load_episodes(path: Path) -> tuple[StateEpisode, ...]:
    """Return the episodes stored at `path`: the kept ones, then the failures."""
    about, arrays = _read(path, _ARRAYS)
    episodes, start = [], 0
    for entry in about["episodes"]:
        stop = start + entry["steps"]
        told: dict[str, Any] = {name: entry[name] for name in _TEXTS} | {"objects": tuple(entry["objects"])}
        told |= {name: array[start:stop] for name, array in arrays.items()}
        episodes.append(StateEpisode(**told))
        start = stop
    return tuple(episodes)


def load_rejected(path: Path) -> tuple[Rejected, ...]:
    """Return the rejected candidates that are remembered at `path`."""
    about, arrays = _read(path, ("shown",))
    return tuple(Rejected(**entry, positions=arrays["shown"][k]) for k, entry in enumerate(about["rejected"]))


def is_sound(path: Path) -> bool:
    """Return whether a unit's file can be read to its end with all checksums right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError):
        return False


def _read(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the description and the named arrays of a unit's file; a damaged one is told in words."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about: dict[str, Any] = json.loads(stored["about"].tobytes())
            return about, {name: stored[name] for name in names if name in stored}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Type the same command with --repair: what is damaged is made again."
        ) from error

"""Success by what an episode drew: colour, size and position of the target show where data is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.intervals import wilson
from bench.record import Record

PARTS = 3
"""Parts into which the range of a size or of a coordinate is divided."""

LEAST_SIZE, LEAST_WIDTH = 0.001, 0.02
"""Ranges of sizes and of positions below which nothing was varied, m."""

OUTCOME = "lifted"
"""The outcome that is broken down: our task's own success, the same in every host."""

Read = Callable[[Record], Any]


def breakdowns(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return [{"by", "groups": [{"label", "rate"}]}] of judged records; what did not vary is left out."""
    known = [record for record in records if record.get("target")]
    found = [_by_name("colour", known), _by_size(known), _by_position(known)]
    return [each for each in found if each is not None]


def _draw(record: Record, *names: str) -> Any:
    """Return the first of the target's drawn values with one of these names, None where none was recorded."""
    draw = record.get("draw", {})
    return next((draw[key] for name in names if (key := f"{record['target']}.{name}") in draw), None)


def _rate(label: str, records: Sequence[Record]) -> dict[str, Any]:
    return {"label": label, "rate": asdict(wilson(sum(bool(record[OUTCOME]) for record in records), len(records)))}


def _by_name(by: str, records: Sequence[Record]) -> dict[str, Any] | None:
    groups: dict[str, list[Record]] = {}
    for record in records:
        color = _draw(record, "color")
        if isinstance(color, str):
            groups.setdefault(color, []).append(record)
    if len(groups) < 2:
        return None
    return {"by": by, "groups": [_rate(name, groups[name]) for name in sorted(groups)]}


def _by_size(records: Sequence[Record]) -> dict[str, Any] | None:
    sized = [(2 * float(np.mean(size)), record) for record in records if (size := _draw(record, "half_size"))]
    if not sized:
        return None
    sizes = np.array([size for size, _ in sized])
    groups = [
        _rate(f"{100 * low:.1f} to {100 * high:.1f} cm", [sized[k][1] for k in np.flatnonzero(inside)])
        for low, high, inside in _parts(sizes, least=LEAST_SIZE)
    ]
    return {"by": "size", "groups": groups} if len(groups) > 1 else None


def _by_position(records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the rates over a grid of the target's start, m in the base frame: x forward, y left."""
    placed = [(place[:2], record) for record in records if (place := _draw(record, "pose", "position"))]
    if not placed:
        return None
    spots = np.array([place for place, _ in placed], dtype=np.float64)
    groups = [
        _rate(
            f"x {x_low:.2f} to {x_high:.2f}, y {y_low:.2f} to {y_high:.2f} m",
            [placed[k][1] for k in np.flatnonzero(in_x & in_y)],
        )
        for x_low, x_high, in_x in _parts(spots[:, 0], least=LEAST_WIDTH)
        for y_low, y_high, in_y in _parts(spots[:, 1], least=LEAST_WIDTH)
        if (in_x & in_y).any()
    ]
    return {"by": "position", "groups": groups} if len(groups) > 1 else None


def _parts(values: np.ndarray[Any, Any], *, least: float) -> Iterator[tuple[float, float, Any]]:
    """Yield the bounds of each part of the values' range and which values lie in it; empty parts are left out."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, (PARTS if high - low >= least else 1) + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    for part in range(len(edges) - 1):
        inside = place == part
        if inside.any():
            yield float(edges[part]), float(edges[part + 1]), inside

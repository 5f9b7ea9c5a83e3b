"""Whether filtering changed what the randomization drew: kept against drawn, knob by knob, with a test and in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from datagen.cells import KEPT, Axis, CellCounts
from sim.rates import holm, wilson_bounds

LEVEL = 0.01
"""Below this p, after Holm's correction over all knobs, filtering is said to lean."""

LEAST_EXPECTED = 5.0
"""Expected rejections and expected kept episodes per cell below which the test says nothing (Cochran 1954)."""


def kept_against_drawn(counts: CellCounts, written: CellCounts) -> list[dict[str, Any]]:
    """Return one entry per knob: its cells with drawn, kept, rejected by reason and written, the test, and a sentence.

    The test is Pearson's chi-square of kept and rejected over the cells, Holm-corrected over the knobs; `written`
    counts the episodes that went into the dataset, where quotas may take fewer than were kept.
    """
    rows = [(axis, counts.of(axis)) for axis in counts.axes]
    tests = [chi_square([(cell[KEPT], cell.total() - cell[KEPT]) for cell in cells]) for _, cells in rows]
    corrected = adjusted([test["p"] for test in tests])
    entries = []
    for (axis, cells), test, p in zip(rows, tests, corrected, strict=True):
        named = zip(axis.labels, cells, written.of(axis), strict=True)
        described = [_cell(label, cell, done[KEPT]) for label, cell, done in named]
        told = test | {"p_holm": p}
        entries.append(
            {
                "knob": axis.name,
                "cells": described,
                "test": told,
                "leans": p is not None and p < LEVEL,
                "words": in_words(axis, described, told),
            }
        )
    return entries


def _cell(label: str, cell: Counter[str], written: int) -> dict[str, Any]:
    drawn, kept = cell.total(), cell[KEPT]
    rejected = {reason: count for reason, count in sorted(cell.items()) if reason != KEPT and count}
    low, high = wilson_bounds(kept, drawn, level=0.95) if drawn else (0.0, 1.0)
    share = {"acceptance": round(kept / drawn, 6) if drawn else None, "low": round(low, 6), "high": round(high, 6)}
    return {"cell": label, "drawn": drawn, "kept": kept, "rejected": rejected, "written": written, **share}


def adjusted(values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number by Holm's method; None, a test that says nothing, stays None."""
    corrected = iter(holm([p for p in values if p is not None]))
    return [None if p is None else next(corrected) for p in values]


def chi_square(table: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return Pearson's test of a table of (kept, rejected) per cell: statistic, degrees of freedom, p, Cramer's V.

    p is None where the counts are too few for the test.
    """
    rows = [row for row in table if sum(row)]
    kept, rejected = (sum(row[k] for row in rows) for k in (0, 1))
    n = kept + rejected
    freedom = len(rows) - 1
    if freedom < 1 or not kept or not rejected:
        return {"chi_square": None, "degrees": max(freedom, 0), "p": None, "cramers_v": None}
    pairs = [(row[k], sum(row) * total / n) for row in rows for k, total in ((0, kept), (1, rejected))]
    value = sum((found - expected) ** 2 / expected for found, expected in pairs)
    enough = min(expected for _, expected in pairs) >= LEAST_EXPECTED
    return {
        "chi_square": round(value, 6),
        "degrees": freedom,
        "p": chi_square_tail(value, freedom) if enough else None,
        "cramers_v": round(math.sqrt(value / n), 6),
    }


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the probability that chi-square with `degrees` degrees of freedom exceeds `value`.

    Source: Abramowitz and Stegun 26.4.4 and 26.4.5, finite sums for whole degrees.
    """
    half = value / 2
    if degrees % 2 == 0:
        term = total = math.exp(-half)
        for k in range(1, degrees // 2):
            term *= half / k
            total += term
        return min(total, 1.0)
    total = math.erfc(math.sqrt(half))
    term = math.exp(-half) * math.sqrt(half) / math.gamma(1.5)
    for k in range(1, (degrees + 1) // 2):
        total += term
        term *= half / (k + 0.5)
    return min(total, 1.0)


def in_words(axis: Axis, cells: Sequence[Mapping[str, Any]], test: Mapping[str, Any]) -> str:
    """Return one sentence on whether filtering leans on this knob."""
    shares = [(cell["acceptance"], cell["cell"]) for cell in cells if cell["acceptance"] is not None]
    if test["p"] is None:
        return f"{axis.name}: too few were rejected to tell whether filtering leans."
    figures = f"chi-square {test['chi_square']:.1f}, {test['degrees']} degrees of freedom, p {_p(test['p_holm'])}"
    if test["p_holm"] >= LEVEL:
        return f"{axis.name}: kept follows drawn ({figures})."
    (low, least), (high, most) = min(shares), max(shares)
    return f"{axis.name}: filtering leans: {low:.0%} of {least} are kept and {high:.0%} of {most} ({figures})."


def _p(p: float) -> str:
    return f"= {p:.2g}" if p >= 1e-6 else "< 1e-6"

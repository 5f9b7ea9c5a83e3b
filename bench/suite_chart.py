"""Inline SVG: the drop of every axis and level as a dot with its interval. Colours come from the page's styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from sim.charts import ticks

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 400, 126, 12, 8, 36
"""Size of the chart and its margins, SVG units; its height follows the rows."""

STEP, GAP = 9, 9
"""Distance of the dots of one axis, and of the axes, SVG units."""

LEVELS = {1: "s2", 2: "s0", 3: "s1"}
"""Level -> style."""

ALPHA = 0.05
"""Dots are filled where Holm's p is at most this."""


@dataclass(frozen=True)
class Dot:
    """The drop of one axis at one level."""

    axis: str
    level: int
    # Drop of the success rate with its interval, and Holm's p.
    drop: Mapping[str, float]
    p: float


def scale(dots: Sequence[Dot]) -> list[float]:
    """Return round numbers, in percentage points, that span 0 and every interval: one scale for several charts."""
    return ticks([0.0, *(100 * dot.drop[end] for dot in dots for end in ("low", "high"))])


def dot_chart(dots: Sequence[Dot], xs: Sequence[float], *, title: str) -> Markup:
    """Return the dots, grouped by axis from top to bottom in their order, over the scale `xs`."""
    if not dots:
        return Markup("")
    parts, y = [], float(TOP)
    for axis, group in groupby(dots, key=lambda dot: dot.axis):
        rows = list(group)
        middle = y + GAP / 2 + STEP * len(rows) / 2
        parts.append(
            Markup('<text class="name" x="{}" y="{}" text-anchor="end">{}</text>').format(
                LEFT - 8, middle + 4, axis.replace("_", " ")
            )
        )
        for k, dot in enumerate(rows):
            parts.append(_dot(dot, xs, y + GAP / 2 + STEP * (k + 0.5)))
        y += GAP + STEP * len(rows)
    height = y + BOTTOM
    return Markup(
        '<figure class="chart dots"><figcaption>{} {}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">'
        "{}{}</svg></figure>"
    ).format(title, _legend(dots), WIDTH, round(height, 2), title, _scale(xs, y), Markup("").join(parts))


def _x(value: float, xs: Sequence[float]) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (value - xs[0]) / (xs[-1] - xs[0]), 2)


def _dot(dot: Dot, xs: Sequence[float], y: float) -> Markup:
    """Return one dot with its interval; hollow where the drop may be chance."""
    low, mid, high = (_x(100 * dot.drop[name], xs) for name in ("low", "estimate", "high"))
    style, y = LEVELS.get(dot.level, "s0"), round(y, 2)
    return Markup(
        "<g><title>{}, level {}: {:+.0f} [{:+.0f}, {:+.0f}] points</title>"
        '<line class="whisker {}" x1="{}" x2="{}" y1="{}" y2="{}"/><circle class="{} {}" cx="{}" cy="{}" r="3.4"/></g>'
    ).format(
        dot.axis.replace("_", " "),
        dot.level,
        *(100 * dot.drop[name] for name in ("estimate", "low", "high")),
        style,
        low,
        high,
        y,
        y,
        "full" if dot.p <= ALPHA else "hollow",
        style,
        mid,
        y,
    )


def _scale(xs: Sequence[float], bottom: float) -> Markup:
    """Return grid lines, tick labels and the line of no drop."""
    lines = [
        Markup(
            '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="middle">{:g}</text>'
        ).format("zero" if x == 0 else "grid", _x(x, xs), _x(x, xs), TOP, bottom, _x(x, xs), bottom + 14, x)
        for x in xs
    ]
    label = Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">drop of the success rate, points</text>')
    return Markup("").join([*lines, label.format((LEFT + WIDTH - RIGHT) / 2, bottom + 30)])


def _legend(dots: Sequence[Dot]) -> Markup:
    names: dict[int, Any] = {1: "mild", 2: "middle", 3: "strong"}
    return Markup("").join(
        Markup('<span class="key {}">{}</span>').format(LEVELS.get(level, "s0"), names.get(level, level))
        for level in sorted({dot.level for dot in dots})
    )

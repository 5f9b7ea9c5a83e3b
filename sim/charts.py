"""Inline SVG: an interval on a scale from 0 to 100 %, and curves with axes. Colours come from the page's styles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 40
"""Size of a curve chart and its margins, SVG units."""


@dataclass(frozen=True)
class Series:
    """One curve: equally many x and y, and, for a band around it, equally many lower and upper bounds."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Chart:
    """Several curves over the same axes."""

    title: str
    series: Sequence[Series]
    x_label: str = ""
    y_label: str = ""


def interval_bar(interval: Mapping[str, float]) -> Markup:
    """Return a rate's interval as a bar with a dot at the estimate, on a track from 0 to 100 %."""
    low, mid, high = (round(2 + 116 * interval[name], 2) for name in ("low", "estimate", "high"))
    return Markup(
        f'<svg class="interval" viewBox="-3 0 126 12" aria-hidden="true">'
        f'<line class="track" x1="2" x2="118" y1="6" y2="6"/>'
        f'<line class="range" x1="{low}" x2="{high}" y1="6" y2="6"/><circle cx="{mid}" cy="6" r="4"/></svg>'
    )


def line_chart(chart: Chart) -> Markup:
    """Return the chart as an SVG figure; a series without two finite points is left out and named in the caption."""
    drawn = [_finite(s) for s in chart.series]
    empty = [s.name for s in drawn if len(s.x) < 2]
    drawn = [s for s in drawn if len(s.x) >= 2]
    caption = escape(chart.title) + (Markup(" (no data: {})").format(", ".join(empty)) if empty else "")
    if not drawn:
        return Markup('<figure class="chart"><figcaption>{}</figcaption></figure>').format(caption)
    xs, ys = ticks([v for s in drawn for v in s.x]), ticks([v for s in drawn for v in (*s.y, *s.low, *s.high)])
    lines = Markup("").join(_band(s, i, xs, ys) + _curve(s, i, xs, ys) for i, s in enumerate(drawn))
    legend = Markup("").join(
        Markup('<span class="key s{}">{}</span>').format(i % 6, s.name) for i, s in enumerate(drawn) if len(drawn) > 1
    )
    return Markup(
        '<figure class="chart"><figcaption>{} {}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg></figure>'
    ).format(caption, legend, WIDTH, HEIGHT, chart.title, _axes(chart, xs, ys), lines)


def ticks(values: Sequence[float]) -> list[float]:
    """Return 3 to 7 round numbers that span `values` (at least one of them)."""
    low, high = min(values), max(values)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1.0, 2.0, 2.5, 5.0, 10.0) if f * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def _finite(series: Series) -> Series:
    """Return the series without points that are not finite."""
    columns = [column for column in (series.x, series.y, series.low, series.high) if len(column)]
    rows = [row for row in zip(*columns, strict=True) if all(math.isfinite(value) for value in row)]
    kept = [list(column) for column in zip(*rows, strict=True)] or [[], []]
    return Series(series.name, *kept)


def _place(value: float, scale: Sequence[float], start: float, end: float) -> float:
    return round(start + (end - start) * (value - scale[0]) / (scale[-1] - scale[0]), 2)


def _x(value: float, scale: Sequence[float]) -> float:
    return _place(value, scale, LEFT, WIDTH - RIGHT)


def _y(value: float, scale: Sequence[float]) -> float:
    return _place(value, scale, HEIGHT - BOTTOM, TOP)


def _band(series: Series, index: int, xs: Sequence[float], ys: Sequence[float]) -> Markup:
    """Return the area between the bounds of a series, nothing where it has none."""
    if not series.low:
        return Markup("")
    above = [(x, y) for x, y in zip(series.x, series.high, strict=True)]
    below = [(x, y) for x, y in zip(series.x, series.low, strict=True)][::-1]
    points = " ".join(f"{_x(x, xs)},{_y(y, ys)}" for x, y in [*above, *below])
    return Markup('<polygon class="band b{}" points="{}"/>').format(index % 6, points)


def _curve(series: Series, index: int, xs: Sequence[float], ys: Sequence[float]) -> Markup:
    points = " ".join(f"{_x(x, xs)},{_y(y, ys)}" for x, y in zip(series.x, series.y, strict=True))
    return Markup('<polyline class="curve s{}" points="{}"/>').format(index % 6, points)


def _axes(chart: Chart, xs: Sequence[float], ys: Sequence[float]) -> Markup:
    """Return grid lines, tick labels and axis titles."""
    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, _y(v, ys), _y(v, ys), LEFT - 6, _y(v, ys) + 4, _label(v))
        for v in ys
    ]
    parts += [
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(_x(v, xs), HEIGHT - BOTTOM + 16, _label(v))
        for v in xs
    ]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts += [
        Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, chart.x_label
        ),
        Markup('<text class="axis" transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            middle, chart.y_label
        ),
    ]
    return Markup("").join(parts)


def _label(value: float) -> str:
    """Return a tick as text: thousands as k, millions as M."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{round(value, 10):g}"

"""Inline SVG of distributions and paths: small histograms, one or two of them overlaid, and lines in a plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from sim.charts import ticks

WIDTH, HEIGHT = 240, 92
MARGIN, FLOOR = 4, 76
"""Size of a histogram, its side margin and the line its bars stand on, SVG units."""

LETTER = 6.2
"""Width of a letter of a label, SVG units."""

SIDE = 240
"""Width and height of the plane in which a path is drawn, SVG units."""


@dataclass(frozen=True)
class Histogram:
    """Counts in bins; `behind` are those of the larger set that they are a part of."""

    title: str
    # Bin edges, one more than counts; empty where `names` label the bins.
    edges: Sequence[float]
    counts: Sequence[int]
    names: Sequence[str] = ()
    behind: Sequence[int] = ()
    note: str = ""


def histogram(chart: Histogram) -> Markup:
    """Return the histogram as an SVG figure with its range below; hovering over a bar tells its bin and count."""
    top = max([*chart.counts, *chart.behind, 1])
    bars = [_bar(chart, i, count / top, "behind") for i, count in enumerate(chart.behind)]
    bars += [_bar(chart, i, count / top, "bar") for i, count in enumerate(chart.counts)]
    note = Markup(' <span class="soft">{}</span>').format(chart.note) if chart.note else ""
    return Markup(
        '<figure class="hist"><figcaption>{}{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>{}</svg></figure>'
    ).format(
        chart.title,
        note,
        WIDTH,
        HEIGHT,
        chart.title,
        Markup("").join(bars),
        MARGIN,
        WIDTH - MARGIN,
        FLOOR,
        FLOOR,
        _range(chart),
    )


def _bar(chart: Histogram, index: int, height: float, style: str) -> Markup:
    """Return one bar; `height` is its share of the highest bar."""
    count = chart.behind[index] if style == "behind" else chart.counts[index]
    slot = (WIDTH - 2 * MARGIN) / len(chart.counts)
    tall = (FLOOR - MARGIN) * height
    drawn = max(tall, 1.0) if count else 0.0
    return Markup(
        '<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}</title></rect>'
    ).format(style, MARGIN + index * slot, FLOOR - drawn, max(slot - 1.0, 0.6), drawn, _told(chart, index, style))


def _told(chart: Histogram, index: int, style: str) -> str:
    """Return what a bar stands for."""
    place = chart.names[index] if chart.names else f"{chart.edges[index]:.4g} to {chart.edges[index + 1]:.4g}"
    count = f"{chart.behind[index]} drawn" if style == "behind" else str(chart.counts[index])
    return f"{place}: {count}"


def _range(chart: Histogram) -> Markup:
    """Return the labels below: both ends of the range, or the names of the bins, of the outermost where not all fit."""
    texts: list[tuple[float, str, str]]
    if not chart.names:
        ends = ((MARGIN, "start", chart.edges[0]), (WIDTH - MARGIN, "end", chart.edges[-1]))
        texts = [(x, anchor, f"{value:.3g}") for x, anchor, value in ends]
    else:
        slot = (WIDTH - 2 * MARGIN) / len(chart.names)
        texts = [(MARGIN + (i + 0.5) * slot, "middle", name) for i, name in enumerate(chart.names)]
        if max(map(len, chart.names)) > slot / LETTER:
            texts = [(MARGIN, "start", chart.names[0]), (WIDTH - MARGIN, "end", chart.names[-1])]
    return Markup("").join(
        Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(x, HEIGHT - 3, anchor, text)
        for x, anchor, text in texts
    )


def path_chart(title: str, x: Sequence[float], y: Sequence[float]) -> Markup:
    """Return a line in a plane with equal scales: a ring at its start, a dot at its end, light to dark in time."""
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(points) < 2:
        return Markup('<figure class="path"><figcaption>{} (no data)</figcaption></figure>').format(title)
    xs, ys = [a for a, _ in points], [b for _, b in points]
    span = max(max(xs) - min(xs), max(ys) - min(ys), 1e-9) * 1.1
    left, low = (max(xs) + min(xs) - span) / 2, (max(ys) + min(ys) - span) / 2
    placed = [(SIDE * (a - left) / span, SIDE * (1 - (b - low) / span)) for a, b in points]
    lines = Markup("").join(
        Markup('<line class="way" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" opacity="{:.2f}"/>').format(
            *p, *q, 0.3 + 0.7 * i / len(placed)
        )
        for i, (p, q) in enumerate(pairwise(placed))
    )
    return Markup(
        '<figure class="path"><figcaption>{}</figcaption><svg viewBox="-6 -6 {} {}" role="img" aria-label="{}">'
        '<rect class="plane" x="0" y="0" width="{}" height="{}"/>{}{}'
        '<circle class="begin" cx="{:.1f}" cy="{:.1f}" r="4"/><circle class="end" cx="{:.1f}" cy="{:.1f}" r="4"/>'
        "</svg></figure>"
    ).format(title, SIDE + 12, SIDE + 12, title, SIDE, SIDE, _scale(span), lines, *placed[0], *placed[-1])


def _scale(span: float) -> Markup:
    """Return a bar of a round length with its length in words."""
    length = ticks([0.0, span / 2])[1]
    return Markup('<line class="scale" x1="8" x2="{:.1f}" y1="{}" y2="{}"/><text x="8" y="{}">{:g}</text>').format(
        8 + SIDE * length / span, SIDE - 8, SIDE - 8, SIDE - 13, length
    )

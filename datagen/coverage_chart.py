"""The coverage of a knob as a small chart."""

from __future__ import annotations

from markupsafe import Markup

from datagen.coverage import Coverage
from sim.plots import Histogram, histogram


def knob_chart(row: Coverage) -> Markup:
    """Return the histogram of one knob's component, with what was drawn behind it where that is known."""
    note = "filtering leans" if row.leans else ""
    return histogram(Histogram(row.knob, row.edges, row.kept, names=row.names, behind=row.drawn, note=note))

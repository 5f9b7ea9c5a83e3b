"""The page of an inspection: one HTML file that needs no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from datagen.coverage import verdict
from datagen.coverage_chart import knob_chart
from datagen.inspection.findings import KINDS
from datagen.inspection.result import InspectResult, number_text
from datagen.inspection.shots import Shot
from sim.files import write_bytes
from sim.pages import page_environment
from sim.plots import Histogram, histogram

LONG = 20
"""Most rows of a table of texts on the page; --json has all."""


def write_page(result: InspectResult, shots: Sequence[Shot]) -> None:
    """Write the page of `result` to the file that it names."""
    write_bytes(result.page, build_page(result, shots).encode())


def build_page(result: InspectResult, shots: Sequence[Shot]) -> str:
    """Return the page as HTML; whatever comes from the dataset is escaped."""
    environment = page_environment(Path(__file__).parent.parent / "templates")
    environment.filters.update(number=number_text)
    environment.globals.update(
        verdict=verdict, kinds=KINDS, long=LONG, of_number=of_number, of_lengths=of_lengths, knob_chart=knob_chart
    )
    ordered = sorted(shots, key=lambda shot: (shot.split, shot.number))
    return environment.get_template("inspect.html").render(result=result, shots=ordered)


def of_number(row: Mapping[str, Any]) -> Markup:
    """Return the histogram of one number of an action or a state."""
    found = row["histogram"]
    if not found["counts"]:
        return Markup('<figure class="hist"><figcaption>{} (no data)</figcaption></figure>').format(row["name"])
    note = f"{row['mean']:.3g} ± {row['std']:.3g}"
    return histogram(Histogram(str(row["name"]), found["edges"], found["counts"], note=note))


def of_lengths(lengths: Mapping[str, Any]) -> Markup:
    """Return the histogram of steps per episode."""
    found = lengths["histogram"]
    return histogram(Histogram("steps per episode", found["edges"], found["counts"]))

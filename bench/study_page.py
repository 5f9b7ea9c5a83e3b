"""The page of a study: curves with bands, rates, what each knob brought, how far the hosts agree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.study_table import agreement_text, seeds_remark
from bench.view import templates
from sim.charts import Chart, Series
from sim.files import write_bytes


def write_study_page(path: Path, results: Mapping[str, Any]) -> Path:
    """Write the self-contained page of a study's results to `path` and return it; what is shown is escaped."""
    environment = templates()
    environment.filters.update(agreement_text=agreement_text)
    charts = [chart for curve in results["curves"] if (chart := _chart(curve, results)) is not None]
    page = environment.get_template("study.html").render(
        title=f"demomill: what mattered for {results['task']}",
        results=results,
        charts=charts,
        remark=seeds_remark(results),
    )
    write_bytes(path, page.encode())
    return path


def _chart(curve: Mapping[str, Any], results: Mapping[str, Any]) -> Chart | None:
    """Return the curve of a knob with numbers as values, in per cent; None for one with names."""
    values = curve["values"]
    if len(values) < 2 or any(isinstance(value, bool | str) for value in values):
        return None
    series = []
    for host in [*results["hosts"], "all"] if len(results["hosts"]) > 1 else results["hosts"]:
        points = sorted((float(x), rate) for x, rate in zip(values, curve["rates"][host], strict=True) if rate)
        y, low, high = ([100 * rate[name] for _, rate in points] for name in ("estimate", "low", "high"))
        series.append(Series(host, [x for x, _ in points], y, low, high))
    return Chart(curve["knob"], series, curve["knob"], f"{results['outcome']}, %")

"""Self-contained HTML pages: templates that escape everything, one style for all, charts as inline SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sim.charts import interval_bar, line_chart
from sim.plots import histogram, path_chart

if TYPE_CHECKING:
    import jinja2


def page_environment(templates: Path) -> jinja2.Environment:
    """Return the environment of the HTML templates in `templates`, which may include "style.css"."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, Path(__file__).parent / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.globals.update(
        interval_bar=interval_bar, line_chart=line_chart, histogram=histogram, path_chart=path_chart
    )
    return environment

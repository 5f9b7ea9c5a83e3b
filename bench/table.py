"""The headline numbers as text: for the terminal, and the formats that the page uses too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    ("time_to_lifted", "time to success, s", 2),
    ("sparc", "SPARC", 2),
    ("ldlj_v", "LDLJ-V", 2),
    ("jerk_rms", "jerk RMS, m/s³", 1),
    ("action_change", "action change", 3),
    ("path_ratio", "path ratio", 2),
)
"""Metrics of motion in tables: name, heading, decimals."""

FORCES = (
    ("progress", "progress", 2),
    ("chunk_jump", "jump between chunks", 3),
    ("contact_peak", "contact peak, N", 0),
    ("contact_mean", "contact mean, N", 1),
    ("joint_limit", "at a joint limit", 3),
    ("velocity_limit", "joint too fast", 3),
    ("workspace_limit", "out of workspace", 3),
    ("drops", "drops", 2),
    ("regrasps", "recoveries", 2),
)
"""Metrics of progress, forces and limits in tables."""


def short(host: str) -> str:
    """Return a host's name without its environment."""
    return host.partition(":")[0]


def percent(interval: Mapping[str, float] | None) -> str:
    """Return "94 % [84, 98]" for a rate with its interval, a dash where nothing could be judged."""
    if interval is None:
        return "-"
    low, mid, high = (100 * interval[name] for name in ("low", "estimate", "high"))
    return f"{mid:.0f} % [{low:.0f}, {high:.0f}]"


def mean_text(interval: Mapping[str, float] | None, decimals: int) -> str:
    """Return "1.52 [1.40, 1.66]" for a mean with its interval, a dash where no episode has it."""
    if interval is None:
        return "-"
    low, mid, high = (f"{interval[name]:.{decimals}f}" for name in ("low", "estimate", "high"))
    return f"{mid} [{low}, {high}]"


def milliseconds(interval: Mapping[str, float] | None) -> str:
    """Return "82 [80, 85]" for a time in s with its interval, in ms; a dash for none."""
    if interval is None:
        return "-"
    low, mid, high = (f"{1000 * interval[name]:.3g}" for name in ("low", "estimate", "high"))
    return f"{mid} [{low}, {high}]"


def results_table(results: Mapping[str, Any], *, title: str = "Benchmark") -> Table:
    """Return the results of a run as a table for the terminal: one row per host and policy, 95 % intervals."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    headings = ("host", "policy", "success", "our task", "SPARC")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("host", "policy") else "right", no_wrap=True)
    for cell in results["cells"]:
        errors = f", {len(cell['errors'])} errors" if cell["errors"] else ""
        table.add_row(
            short(cell["host"]),
            f"{cell['policy']}{errors}",
            percent(cell["success"]),
            percent(cell["lifted"]),
            _estimate(cell["metrics"].get("sparc")),
        )
    counts = [cell["n"] for cell in results["cells"]]
    span = " to ".join(str(n) for n in sorted({min(counts), max(counts)}))
    table.caption = f"n = {span} per row; 95 % intervals; success by the host's own rule, and by our task's"
    return table


def _estimate(interval: Mapping[str, float] | None) -> str:
    """Return the estimate alone: a terminal has no room for every interval, the page has."""
    return "-" if interval is None else f"{interval['estimate']:.1f}"

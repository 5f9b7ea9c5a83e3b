"""A suite's drops for the terminal: one row per host and policy, with the axes that cost most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.compare_table import points
from bench.suite_page import MAIN
from bench.table import short

if TYPE_CHECKING:
    from rich.table import Table

WORST = 3
"""Axes that are named."""


def suite_table(suite: Mapping[str, Any]) -> Table:
    """Return the mean drop at the middle level and the axes that cost most, for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Suite {suite['name']}: drops, points", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("host", "policy", "mean drop", "costliest axes"):
        table.add_column(heading, justify="right" if heading == "mean drop" else "left")
    for row in suite["means"]:
        if row["outcome"] == MAIN:
            table.add_row(short(row["host"]), Text(row["policy"]), points(row["drop"]), _worst(suite, row))
    table.caption = (
        f"{suite['episodes']} episodes per cell, paired with the nominal arm; 95 % intervals; * stands for Holm's p "
        f"of at most 0.05; {len(suite['unavailable'])} gap(s) and all axes: demomill view"
    )
    return table


def _worst(suite: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Return the axes with the largest drops, and the controls apart from them."""
    rows = [
        d
        for d in suite["drops"]
        if d["outcome"] == MAIN
        and (d["host"], d["task"], d["policy"]) == (row["host"], row["task"], row["policy"])
        and suite["axes"][d["axis"]]["group"] != "control"
        and d["drop"]["estimate"] > 0
    ]
    rows.sort(key=lambda d: -d["drop"]["estimate"])
    marks = [(d, "*" if d["p_holm"] <= 0.05 else "") for d in rows[:WORST]]
    named = [
        f"{d['axis'].replace('_', ' ')} {d['level']}: {100 * d['drop']['estimate']:+.0f}{mark}" for d, mark in marks
    ]
    return ", ".join(named) or "none"

"""A study's plan and its results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.compare_table import p_text, points
from bench.table import mean_text, percent, short
from sim.progress import clock_text

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from bench.ablate import StudyPlan, StudyResult


def agreement_text(found: Mapping[str, Any]) -> str:
    """Return how far two hosts agree, in one line."""
    pair = f"{short(found['first'])} and {short(found['second'])} over {found['policies']} policies"
    if found["pearson"] is None and found["mmrv"] is None:
        return f"{pair}: {found['remark']}"
    numbers = f"Pearson r {mean_text(found['pearson'], 2)}, MMRV {mean_text(found['mmrv'], 3)}"
    return f"{pair}: {numbers}" + (f" ({found['remark']})" if found["remark"] else "")


def plan_table(plan: StudyPlan) -> Group:
    """Return the cells, the stages with the number of cells that share them, and the time."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("stage", box=box.SIMPLE_HEAD)
    for column in ("cells", "state", "time"):
        table.add_column(column, justify="right")
    for row in plan.stages:
        time = "unknown until one has run" if row["seconds"] is None else clock_text(row["seconds"])
        table.add_row(row["stage"], str(row["cells"]), "finished" if row["finished"] else "to do", time)
    names = "\n".join(f"  {title}" for title in plan.cells)
    left = "unknown" if plan.seconds is None else f"about {clock_text(plan.seconds)}"
    return Group(
        Text(f"{len(plan.cells)} cells:\n{names}"), table, Text(f"{len(plan.stages)} stages; time left: {left}")
    )


def result_tables(result: StudyResult) -> Group:
    """Return the rates of every combination, what the knobs brought, and how far the hosts agree."""
    from rich.console import Group
    from rich.text import Text

    found = result.results
    lines = [Text(agreement_text(each)) for each in found["agreement"]]
    notes = [Text(seeds_remark(found)), Text(f"page: {result.page}")]
    return Group(_rates(found), _effects(found), *lines, *notes)


def seeds_remark(found: Mapping[str, Any]) -> str:
    """Return what the number of training seeds means for the differences."""
    count = len(found["seeds"])
    if count == 1:
        return "One training seed: a difference includes the luck of single trainings; add seeds to tell them apart."
    if count < 4:
        return f"{count} training seeds: intervals resample them and the episodes, and so few leave them wide."
    return f"{count} training seeds; intervals resample them and the episodes."


def _rates(found: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    titles = [knob["title"] for knob in found["knobs"]]
    table = Table(title=f"Rates ({found['outcome']})", title_justify="left", box=box.SIMPLE_HEAD)
    for title in titles:
        table.add_column(Text(title))
    for host in [*found["hosts"], "all"]:
        table.add_column(Text(short(host)), justify="right", no_wrap=True)
    for cell in found["cells"]:
        rates = [percent(cell["rates"][host]) for host in [*found["hosts"], "all"]]
        table.add_row(*(Text(str(cell["values"][title])) for title in titles), *rates)
    return table


def _effects(found: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="What each value brought, in points", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("knob", "from", "to", "host", "difference", "Holm", "verdict"):
        table.add_column(heading, justify="right" if heading in ("difference", "Holm") else "left")
    for row in found["effects"]:
        texts = [Text(str(row[name])) for name in ("knob", "from", "to")]
        verdict = row.get("verdict", "")
        table.add_row(*texts, short(row["host"]), points(row["difference"]), p_text(row.get("p_holm")), verdict)
    return table

"""The comparison of two runs as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.table import COLUMNS, mean_text, short

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from bench.compare import CompareResult


def points(interval: Mapping[str, float] | None) -> str:
    """Return "+12 [-3, +27]" for a difference of rates in percentage points, a dash for none."""
    if interval is None:
        return "-"
    low, mid, high = (100 * interval[name] for name in ("low", "estimate", "high"))
    return f"{mid:+.0f} [{low:+.0f}, {high:+.0f}]"


def p_text(p: float | None) -> str:
    """Return a p-value with three decimals, a dash for none."""
    return "-" if p is None else "<.001" if p < 0.001 else f"{p:.3f}"


def sequential_text(look: Mapping[str, Any]) -> str:
    """Return what may be said now: stop, or how many more pairs it would take."""
    if look["verdict"] != "go on":
        named = look["verdict"].replace("first", "A").replace("second", "B")
        return f"stop: {named} (after {look['stopped_at']} of {look['n']} pairs)"
    if look["more"] is None:
        return f"go on after {look['n']} pairs; at the rates so far no verdict is in sight"
    leads = "A" if look["only_first"] > look["only_second"] else "B"
    return f"go on after {look['n']} pairs; {leads} leads, about {look['more']} more at the rates so far"


def compare_tables(result: CompareResult) -> Group:
    """Return one group of tables per pair of policies."""
    from rich.console import Group

    parts: list[Any] = []
    for found in result.comparisons:
        parts += [_headline(found), _smoothness(found)]
        parts += [f"{look['host']}, {look['outcome']}: {sequential_text(look)}" for look in found["sequential"]]
        parts += [f"not compared, {why}: {len(ids)} ({_few(ids)})" for why, ids in found["unpaired"].items()]
        parts += [f"note: {remark}" for remark in found["remarks"]]
    if result.page is not None:
        parts.append(f"page: {result.page}")
    return Group(*(part if not isinstance(part, str) else _plain(part) for part in parts))


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _short(cell: str) -> str:
    """Return the name of a cell without the host's environment; task, axis and level stay."""
    host, _, rest = cell.partition(" ")
    return f"{short(host)} {rest}".strip()


def _few(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")


def _headline(found: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    a, b = (f"{found[name]['policy']} in {found[name]['run']}" for name in ("first", "second"))
    table = Table(title=Text(f"A: {a}\nB: {b}"), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("host", "outcome", "A", "B", "A - B, points", "won alone", "p", "Holm"):
        table.add_column(heading, justify="left" if heading in ("host", "outcome") else "right", no_wrap=True)
    for row in found["rows"]:
        table.add_row(
            Text(_short(row["host"])),
            row["outcome"],
            f"{row['rate_first']['estimate']:.0%}",
            f"{row['rate_second']['estimate']:.0%}",
            points(row["difference"]),
            f"{row['only_first']} : {row['only_second']}",
            p_text(row["p"]),
            p_text(row.get("p_holm")),
        )
    level = f"{1 - found['alpha']:.0%}"
    table.caption = f"{found['pairs']} pairs; exact tests on the same seeds, two-sided; {level} intervals"
    table.caption_justify = "left"
    return table


def _smoothness(found: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title="Motion, A - B: paired mean difference", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("measure", "all pairs", "n", "both lifted", "n "):
        table.add_column(heading, justify="left" if heading == "measure" else "right", no_wrap=True)
    cells = {(row["metric"], row["episodes"]): row["difference"] for row in found["metrics"]}
    for name, label, decimals in COLUMNS:
        whole, lifted = cells.get((name, "all")), cells.get((name, "both lifted"))
        counts = ["-" if each is None else str(each["n"]) for each in (whole, lifted)]
        table.add_row(label, mean_text(whole, decimals), counts[0], mean_text(lifted, decimals), counts[1])
    return table

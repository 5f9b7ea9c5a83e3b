"""The tables of `demomill check-policy` for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bench.check_policy import HostCheck

STYLES = {"refused": "bold red", "adapted": "yellow", "fail": "bold red", "skip": "dim", "not read": "dim"}


def host_tables(check: HostCheck, policy: str) -> Iterator[RenderableType]:
    """Yield the comparison field by field, what was looked at and probed, and the verdict."""
    yield Text(f"\n{policy} in {check.host}", style="bold")
    yield _table(
        ("field", "policy", "environment", "verdict"),
        [(f["field"], str(f["policy"]), str(f["environment"]), _said(f["verdict"], f["note"])) for f in check.fields],
    )
    if check.checks:
        yield Text("")
        yield _table(
            ("check", "expected", "got", "verdict"),
            [(each.check, each.expected, each.got, each.verdict) for each in check.checks],
        )
    verdict = "can work together" if check.ok else "must not be run together"
    yield Text(f"{policy} and {check.host} {verdict}", style="green" if check.ok else "bold red")


def _said(verdict: str, note: str) -> str:
    return f"{verdict}: {note}" if note else verdict


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for values in rows:
        style = STYLES.get(values[-1].partition(":")[0], "")
        table.add_row(*(Text(value, style=style) for value in values))
    return table

"""What a page tells beside the benchmark: expert curves, dataset summaries, mixtures, losses. Checked plain JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.charts import Chart, Series
from sim.errors import UserError, nearest


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    # Heading.
    title: str
    # A paragraph.
    text: str = ""
    # Name -> value, shown as a list.
    facts: Mapping[str, Any] = field(default_factory=dict)
    # {"columns": [...], "rows": [[...], ...]}.
    table: Mapping[str, Any] = field(default_factory=dict)
    # [{"title", "x_label", "y_label", "series": [{"name", "x": [...], "y": [...]}]}].
    curves: tuple[Mapping[str, Any], ...] = ()
    # What to type to repeat it.
    command: str = ""
    # Pictures, as data URIs.
    pictures: tuple[str, ...] = ()

    def charts(self) -> list[Chart]:
        """Return the curves as charts."""
        return [_chart(curve, f"section {self.title!r}, curve {i}") for i, curve in enumerate(self.curves)]


def sections_from(records: Iterable[Mapping[str, Any] | Section]) -> list[Section]:
    """Return sections from JSON records; an unknown or missing key is refused with the nearest name."""
    sections = [record if isinstance(record, Section) else _section(record) for record in records]
    for section in sections:
        section.charts()
        _check_table(section)
    return sections


def _section(record: Mapping[str, Any]) -> Section:
    _check(record, ("title", "text", "facts", "table", "curves", "command", "pictures"), ("title",), "a section")
    many = {name: tuple(record.get(name, ())) for name in ("curves", "pictures")}
    return Section(**{**record, **many})


def _check_table(section: Section) -> None:
    """Refuse a table whose rows are not as wide as its columns."""
    if not section.table:
        return
    _check(section.table, ("columns", "rows"), ("columns", "rows"), f"the table of section {section.title!r}")
    for row in section.table["rows"]:
        if len(row) != len(section.table["columns"]):
            raise UserError(
                f"The table of section {section.title!r} has {len(section.table['columns'])} columns and a row of "
                f"{len(row)} values: {list(row)}."
            )


def _chart(curve: Mapping[str, Any], where: str) -> Chart:
    _check(curve, ("title", "x_label", "y_label", "series"), ("title", "series"), where)
    series = []
    for each in curve["series"]:
        _check(each, ("name", "x", "y", "low", "high"), ("name", "x", "y"), f"a series of {where}")
        if len(each["x"]) != len(each["y"]):
            raise UserError(f"A series of {where} has {len(each['x'])} x and {len(each['y'])} y; they must be equal.")
        columns = [list(map(float, each.get(name, ()))) for name in ("x", "y", "low", "high")]
        if len(columns[2]) != len(columns[3]) or len(columns[2]) not in (0, len(columns[0])):
            raise UserError(f"A series of {where} has a band of another length than its curve; they must be equal.")
        series.append(Series(str(each["name"]), *columns))
    return Chart(str(curve["title"]), series, str(curve.get("x_label", "")), str(curve.get("y_label", "")))


def _check(record: Mapping[str, Any], allowed: tuple[str, ...], needed: tuple[str, ...], where: str) -> None:
    for name in record:
        if name not in allowed:
            raise UserError(
                f"{where} has an unknown key {name!r}.{nearest(name, allowed)} Allowed: {', '.join(allowed)}."
            )
    missing = [name for name in needed if name not in record]
    if missing:
        raise UserError(f"{where} lacks {', '.join(missing)}. Allowed keys: {', '.join(allowed)}.")

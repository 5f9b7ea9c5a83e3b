"""What `demomill inspect` found, as data, and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.coverage import Coverage, verdict
from datagen.inspection.findings import Finding

ROWS = 8
"""Most rows of a table in the terminal; the page and --json have all."""


@dataclass(frozen=True)
class InspectResult:
    """What is in a dataset. Lists of counts are ordered from the most frequent to the rarest."""

    name: str
    version: str
    path: Path
    # The HTML page.
    page: Path
    # What was read, in words: all episodes, or a sample of them.
    sample: str
    # Split -> episodes that the dataset declares, and that were read.
    declared: Mapping[str, int]
    episodes: Mapping[str, int]
    steps: Mapping[str, int]
    # Steps per episode: min, median, mean, max and a histogram.
    lengths: Mapping[str, Any]
    # [text, episodes].
    tasks: tuple[tuple[str, int], ...]
    sentences: tuple[tuple[str, int], ...]
    # Camera -> shape and format as declared.
    cameras: Mapping[str, str]
    # Column -> one entry per number: name, count, mean, std, min, max, q01, q99, histogram.
    actions: Mapping[str, Any]
    states: Mapping[str, Any]
    # Whether quantiles and histograms are of all steps that were read.
    exact: bool
    # Key of the episodes' texts -> [value, episodes], where there are few different ones.
    metadata: Mapping[str, Any]
    # Key of a JSON text -> how often each component took which value.
    coverage: Mapping[str, tuple[Coverage, ...]]
    # Split -> kept against drawn for each knob, as the dataset's own report says it.
    filtered: Mapping[str, tuple[Coverage, ...]]
    # Kind -> how many, and the first of each kind.
    suspicious: Mapping[str, int]
    findings: tuple[Finding, ...]
    # Sentences.
    assumed: tuple[str, ...]
    remarks: tuple[str, ...]
    not_found: tuple[str, ...]

    def __rich__(self) -> Any:
        """Return the summary for a terminal."""
        from rich.console import Group

        return Group(*_parts(self))


def _parts(result: InspectResult) -> Iterator[Any]:
    """Yield what the terminal shows, from top to bottom."""
    from rich.markup import escape

    counts = ", ".join(f"{split} {n:,}" for split, n in result.episodes.items())
    length = result.lengths
    yield f"[bold]{escape(result.name)} {escape(result.version)}[/bold]  {escape(str(result.path))}"
    yield escape(f"{result.sample} Episodes: {counts or 'none'}; steps: {sum(result.steps.values()):,}.")
    if length:
        yield f"Steps per episode: {length['min']} to {length['max']}, median {length['median']}."
    for key, shape in result.cameras.items():
        yield escape(f"Camera {key}: {shape}.")
    for columns in (result.actions, result.states):
        for key, rows in columns.items():
            yield _statistics(key, rows)
    for title, pairs in (("task", result.tasks), ("sentence", result.sentences)):
        if pairs:
            yield _counts(title, pairs)
    yield from (escape(line) for line in (*result.assumed, *result.not_found, *result.remarks))
    yield from _leaning(result)
    yield _suspicious(result)
    yield f"Page: {escape(str(result.page))}"


def _table(*headings: str, title: str) -> Any:
    """Return an empty table; all but its first column are flush right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", overflow="fold")
    return table


def _statistics(key: str, rows: list[Mapping[str, Any]]) -> Any:
    from rich.markup import escape

    names = ("mean", "std", "min", "q01", "q99", "max")
    table = _table("", *names, title=escape(key))
    for row in rows[: 2 * ROWS]:
        table.add_row(escape(row["name"]), *(number_text(row[name]) for name in names))
    if len(rows) > 2 * ROWS:
        table.caption = f"and {len(rows) - 2 * ROWS} more"
    return table


def _counts(title: str, pairs: tuple[tuple[str, int], ...]) -> Any:
    from rich.markup import escape

    table = _table(title, "episodes", title="")
    for text, count in pairs[:ROWS]:
        table.add_row(escape(text), f"{count:,}")
    if len(pairs) > ROWS:
        table.caption = f"and {len(pairs) - ROWS} more"
    return table


def _leaning(result: InspectResult) -> Iterator[str]:
    """Yield what is told of kept against drawn."""
    from rich.markup import escape

    yield from (escape(f"{split}: {told}") for split, rows in result.filtered.items() for told in verdict(rows))


def _suspicious(result: InspectResult) -> Any:
    from rich.markup import escape

    if not result.suspicious:
        return "No suspicious episode."
    table = _table("suspicious", "episodes", "for example", title="")
    for kind, count in result.suspicious.items():
        first = next(finding for finding in result.findings if finding.kind == kind)
        table.add_row(kind, f"{count:,}", escape(f"{first.split} {first.episode}: {first.reason}"))
    table.columns[2].justify = "left"
    return table


def number_text(value: float | None) -> str:
    """Return a number with four significant digits, a dash where there is none."""
    if value is None:
        return "-"
    return "0" if abs(value) < 5e-7 else f"{value:.4g}"

"""`demomill view`: one self-contained HTML page of finished benchmark runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.view import write_page
from sim.errors import UserError
from sim.files import require_file


@dataclass(frozen=True)
class ViewConfig:
    """What is shown, and where the page goes."""

    # Folders of finished benchmark runs, shown one below the other.
    runs: tuple[Path, ...]
    # The page's file; by default page.html in the first run's folder.
    out: Path | None = None
    # Heading of the page.
    title: str = "demomill benchmark"


@dataclass(frozen=True)
class ViewResult:
    """Where the page is, and its size in bytes."""

    page: Path
    size: int


def view(config: ViewConfig) -> ViewResult:
    """Write the page and return where it is; it needs no network and no other file."""
    require_file(config.out, "out")
    folder = config.runs[0] if config.runs else Path()
    comparisons, remarks = _compared(config.runs) if len(config.runs) == 2 else ([], [])
    page = write_page(
        config.out or folder / "page.html", config.runs, comparisons=comparisons, remarks=remarks, title=config.title
    )
    return ViewResult(page, page.stat().st_size)


def _compared(runs: tuple[Path, ...]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the comparisons of two runs, or a remark that says why there are none."""
    from bench.compare import CompareConfig, compare

    try:
        return list(compare(CompareConfig(runs=runs)).comparisons), []
    except UserError as error:
        return [], [f"These runs are not compared. {error}"]

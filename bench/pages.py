"""`demomill view`: one self-contained HTML page of finished benchmark runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.view import write_page


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
    folder = config.runs[0] if config.runs else Path()
    page = write_page(config.out or folder / "page.html", config.runs, title=config.title)
    return ViewResult(page, page.stat().st_size)

"""How far a generation is: a snapshot for whoever shows it, and a rich display of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from datagen.disk import size_text


@dataclass(frozen=True)
class Progress:
    """How far a generation is. Numbers of an interrupted run count what was found finished."""

    # Episodes asked for, in all splits.
    wanted: int
    # Kept by the filters so far, at most `wanted`, and candidates simulated for that.
    kept: int
    candidates: int
    # Kept and rejected candidates of all simulated units: `accepted` / `candidates` is the acceptance.
    accepted: int
    # Episodes and bytes in finished shards.
    written: int
    size: int
    # Bytes free on the disk.
    free: int = 0
    # Reason -> rejected candidates.
    rejected: Mapping[str, int] = field(default_factory=dict)


Show = Callable[[Progress], None]
"""What shows a progress."""


def silent(progress: Progress) -> None:
    """Show nothing."""


@contextmanager
def rich_progress() -> Iterator[Show]:
    """Yield a function that shows a progress as two bars: simulated and filtered; rendered and written."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        simulated = bars.add_task("simulated", total=None, note="")
        written = bars.add_task("rendered", total=None, note="")
        began: list[tuple[float, Progress]] = []

        def show(progress: Progress) -> None:
            began.append((time.monotonic(), progress)) if not began else None
            rate = _rate(began[0], progress)
            share = progress.accepted / progress.candidates if progress.candidates else 0.0
            bars.update(simulated, total=progress.wanted, completed=progress.kept, note=f"{share:.0%} accepted")
            note = f"{rate:.1f} episodes/s, {size_text(progress.size)}, {size_text(progress.free)} free"
            bars.update(written, total=progress.wanted, completed=progress.written, note=note)

        yield show


def _rate(first: tuple[float, Progress], now: Progress) -> float:
    """Return the episodes written per second since the first progress was shown."""
    seconds = time.monotonic() - first[0]
    return (now.written - first[1].written) / seconds if seconds > 0 else 0.0

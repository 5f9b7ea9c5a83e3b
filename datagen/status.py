"""A generation that can be watched from outside: status.json, a log that explains every pause, a summary at the end."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from datagen.diagnosis import AcceptanceCollapsed
from datagen.disk import free_bytes, size_text
from datagen.layout import Place
from datagen.progress import Progress, Show
from sim.errors import UserError
from sim.files import write_json
from sim.progress import clock_text

STATUS_FILE, LOG_FILE, SUMMARY_FILE = "status.json", "log.txt", "summary.txt"
INTERVAL = 5.0
"""Seconds between two versions of status.json."""

LOG_INTERVAL = 600.0
"""Seconds between two lines of progress in the log."""

WINDOW = 300.0
"""Seconds over which the rate is measured."""


class Watch:
    """Tells of one generation in the folder beside the dataset; what cannot be written there stops nothing."""

    def __init__(self, place: Place, show: Show, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Write nothing yet."""
        self.folder, self._place, self._inner, self._clock = watch_folder(place), place, show, clock
        self._began, self._started = clock(), _now()
        self._recent: deque[tuple[float, int]] = deque()
        self._found = 0
        self._last: Progress | None = None
        self._told_at = self._logged_at = float("-inf")
        self._estimate: dict[str, Any] = {}

    def __call__(self, progress: Progress) -> None:
        """Show a progress, and write it down now and then."""
        self._inner(progress)
        now = self._clock()
        self._last = progress
        self._recent.append((now, progress.written))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()
        if now - self._told_at >= INTERVAL:
            self._told_at = now
            self.write("running")
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            self.log(self._line())

    def found(self, episodes: int) -> None:
        """Take note of episodes that an earlier run wrote."""
        self._found += episodes

    def estimated(self, **figures: Any) -> None:
        """Remember and log what the whole of it is expected to take: `seconds` and `bytes` still to come."""
        self._estimate = figures
        self.log(f"estimate: {clock_text(figures['seconds'])} and {size_text(figures['bytes'])} for what is left")

    def log(self, text: str) -> None:
        """Append a line to the log."""
        line = f"{_now()} {' '.join(text.split())}\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOG_FILE).open("a") as stream:
                stream.write(line)
        except OSError as error:
            self._estimate["log_error"] = str(error)

    def write(self, state: str, message: str = "") -> None:
        """Write status.json, whole: `state` is running, paused, stopped or finished."""
        try:
            write_json(self.folder / STATUS_FILE, self._status(state, message))
        except (OSError, UserError) as error:
            self._estimate["status_error"] = str(error)

    def rate(self) -> float:
        """Return the episodes written per second over the last minutes."""
        if len(self._recent) < 2:
            return 0.0
        (then, before), (now, written) = self._recent[0], self._recent[-1]
        return (written - before) / (now - then) if now > then else 0.0

    def _status(self, state: str, message: str) -> dict[str, Any]:
        progress, rate = self._last, self.rate()
        left = None if progress is None or not rate else round((progress.wanted - progress.written) / rate, 1)
        return {
            "state": state,
            "message": message,
            "dataset": str(self._place.final),
            "pid": os.getpid(),
            "machine": socket.gethostname(),
            "started": self._started,
            "updated": _now(),
            "seconds": round(self._clock() - self._began, 1),
            "progress": None if progress is None else asdict(progress),
            "acceptance": _acceptance(progress),
            "written_per_second": round(rate, 3),
            "seconds_left": left,
            "disk_free": free_bytes(self._place.out),
            "estimate": self._estimate,
        }

    def _line(self) -> str:
        progress = self._last
        assert progress is not None
        rejected = ", ".join(f"{reason} {n}" for reason, n in sorted(progress.rejected.items(), key=lambda r: -r[1]))
        return (
            f"{progress.written} of {progress.wanted} written, {progress.kept} kept of {progress.candidates} candidates"
            f" ({rejected or 'none rejected'}), {self.rate():.2f} episodes/s, {size_text(progress.size)} in shards, "
            f"{size_text(free_bytes(self._place.out))} free"
        )

    def summary(self, described: Mapping[str, Any], report: Mapping[str, Any]) -> str:
        """Return what to read in the morning: what was made, how fast, what was rejected, on what filtering leans."""
        seconds = self._clock() - self._began
        shards = described["shards"].values()
        written = sum(shard["episodes"] for shard in shards)
        lines = [
            f"{self._place.final}: {written} episodes, {sum(s['steps'] for s in shards)} steps, "
            f"{size_text(sum(s['size'] for s in shards))}",
            f"this run: {clock_text(seconds)}, {written - self._found} episodes, "
            f"{(written - self._found) / max(seconds, 1e-3) * 3600:,.0f} episodes/h",
        ]
        for split, told in report.items():
            why = ", ".join(f"{reason} {n}" for reason, n in sorted(told["rejected"].items(), key=lambda r: -r[1]))
            lines.append(f"{split}: kept {told['kept']} of {told['candidates']} candidates; {why or 'none rejected'}")
            lines += [f"{split}: {words}" for words in told["lean"]]
        return "\n".join(lines)


@contextmanager
def watched(place: Place, show: Show) -> Iterator[Watch]:
    """Yield the watch over a generation; however the generation ends, the log and status.json say so."""
    watch = Watch(place, show)
    watch.log(f"started: {place.final}, process {os.getpid()}")
    watch.write("running")
    try:
        yield watch
    except KeyboardInterrupt:
        _ended(watch, "paused", "interrupted from the keyboard; the same command continues")
        raise
    except AcceptanceCollapsed as error:
        _ended(watch, "stopped", str(error))
        raise
    except BaseException as error:
        _ended(watch, "paused", str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        raise


def _ended(watch: Watch, state: str, why: str) -> None:
    watch.log(f"{state}: {why}")
    watch.write(state, why)


def finished(watch: Watch, described: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Write the summary, and that the dataset is finished."""
    text = watch.summary(described, report)
    try:
        (watch.folder / SUMMARY_FILE).write_text(text + "\n")
    except OSError as error:
        watch.log(f"the summary could not be written: {error}")
    for line in text.splitlines():
        watch.log(line)
    _ended(watch, "finished", text.splitlines()[0])


def watch_folder(place: Place) -> Path:
    """Return the folder beside a dataset in which its generation can be watched."""
    return place.out / place.name / f"{place.version}.watch"


def _acceptance(progress: Progress | None) -> float | None:
    return progress.accepted / progress.candidates if progress and progress.candidates else None


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")

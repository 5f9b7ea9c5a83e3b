"""A progress line on standard error: how far, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

WIDTH = 24
TERMINAL_INTERVAL, LOG_INTERVAL = 0.2, 15.0
"""Seconds between two lines: redrawn in place on a terminal, appended elsewhere (a log, a pipe)."""


class ProgressLine:
    """A callable ``line(done, total)`` that shows the state of one piece of long work.

    On a terminal the line is redrawn in place; elsewhere a new one is written now and then. The rate counts from the
    first call, so that work done by an earlier, interrupted run does not flatter it.
    """

    def __init__(
        self, title: str, *, unit: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.title, self.unit, self.stream, self.clock = title, unit, stream or sys.stderr, clock
        self.interactive = self.stream.isatty()
        self._first: tuple[float, int] | None = None
        self._shown_at = float("-inf")
        self._last = ""

    def __enter__(self) -> ProgressLine:
        """Return the line itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on a line of its own."""
        self.close()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` units are finished; `note` is shown behind, for example a success rate."""
        now = self.clock()
        if self._first is None:
            self._first = (now, done)
        self._last = self._text(now, done, total, note)
        interval = TERMINAL_INTERVAL if self.interactive else LOG_INTERVAL
        if now - self._shown_at >= interval:
            self._show(now)

    def close(self) -> None:
        """Show the last state if it has not been shown, and end the line."""
        if self._last:
            self._show(self.clock())
        if self.interactive and self._shown_at > float("-inf"):
            self.stream.write("\n")

    def _show(self, now: float) -> None:
        self.stream.write(f"\r{self._last}\x1b[K" if self.interactive else f"{self._last}\n")
        self.stream.flush()
        self._shown_at, self._last = now, ""

    def _text(self, now: float, done: int, total: int, note: str) -> str:
        assert self._first is not None
        began, offset = self._first
        seconds = now - began
        rate = (done - offset) / seconds if seconds > 0 else 0.0
        filled = WIDTH * done // total if total > 0 else 0
        bar = "#" * filled + "-" * (WIDTH - filled)
        parts = [f"{self.title} [{bar}] {done:,}/{total:,} {self.unit}"]
        if rate > 0:
            parts.append(f"{rate:,.{1 if rate < 100 else 0}f}/s")
            parts.append(
                f"{clock_text((total - done) / rate)} left" if done < total else f"{clock_text(seconds)} in all"
            )
        return "  ".join([*parts, note] if note else parts)


def clock_text(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    whole = max(round(seconds), 0)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

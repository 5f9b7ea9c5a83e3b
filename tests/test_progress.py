"""The progress line says how far, how fast and how long still, on terminals and in logs."""

from __future__ import annotations

import io

import pytest

from sim.progress import ProgressLine, clock_text


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_log_gets_a_line_now_and_then() -> None:
    log, clock = Screen(terminal=False), Clock()
    with ProgressLine("train", unit="steps", stream=log, clock=clock) as line:
        for done in range(0, 101):
            clock.now = 100.0 + done
            line(done, 100, note=f"{done} %")
    lines = log.getvalue().splitlines()
    assert lines[0] == "train [------------------------] 0/100 steps  0 %"
    assert lines[1] == "train [###---------------------] 15/100 steps  1.0/s  1:25 left  15 %"
    assert lines[-1] == "train [########################] 100/100 steps  1.0/s  1:40 in all  100 %"
    assert len(lines) == 8


def test_a_terminal_redraws_one_line() -> None:
    screen, clock = Screen(terminal=True), Clock()
    with ProgressLine("load", unit="frames", stream=screen, clock=clock) as line:
        line(0, 20_000)
        clock.now += 1
        line(10_000, 20_000)
    text = screen.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "\r" in text
    assert "10,000/20,000 frames  10,000/s  0:01 left" in text


def test_work_of_an_earlier_run_does_not_flatter_the_rate() -> None:
    log, clock = Screen(terminal=False), Clock()
    line = ProgressLine("resume", unit="episodes", stream=log, clock=clock)
    line(900, 1000)
    clock.now += 20
    line(910, 1000)
    assert "0.5/s  3:00 left" in log.getvalue()


def test_the_last_state_is_always_shown() -> None:
    log, clock = Screen(terminal=False), Clock()
    with ProgressLine("short", unit="steps", stream=log, clock=clock) as line:
        line(1, 3)
        line(3, 3)
    assert log.getvalue().splitlines()[-1].startswith("short [########################] 3/3")


def test_nothing_done_is_no_fault() -> None:
    log = Screen(terminal=False)
    with ProgressLine("idle", unit="steps", stream=log):
        pass
    assert not log.getvalue()
    with ProgressLine("empty", unit="steps", stream=log) as line:
        line(0, 0)
    assert "0/0 steps" in log.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (75, "1:15"), (3725, "1:02:05")])
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text

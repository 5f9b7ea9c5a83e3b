"""Threads and interruptions of a training, both put back as they were."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from sim.errors import UserError


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """Let torch use so many threads, or one for each core that this process may use; yield their number."""
    before = torch.get_num_threads()
    count = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)


def require_device(device: str) -> None:
    """Refuse a device that torch does not see."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            'device = "cuda", but torch sees no GPU here. Type: demomill doctor, or take device = "cpu"; the preset '
            "one_gpu runs there too, slowly."
        )


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed; a second Ctrl-C interrupts at once.

    A step that is cut in the middle leaves weights that no step produced; so the first Ctrl-C waits for its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, previous)

"""Batches made ready while the network still learns from the ones before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Yields make(first), make(first + 1), ... and makes the next `count` of them in threads; 0 makes none ahead.

    `make` must be a function of its number alone, so threads change nothing but the time.
    """

    def __init__(self, make: Callable[[int], T], *, first: int, count: int) -> None:
        self._make, self._next, self._count = make, first, count
        self._pool = ThreadPoolExecutor(max(1, count), thread_name_prefix="ahead")
        self._waiting: deque[Future[T]] = deque()

    def __iter__(self) -> Iterator[T]:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Return the next one and let those after it be made."""
        while len(self._waiting) <= self._count:
            self._waiting.append(self._pool.submit(self._make, self._next))
            self._next += 1
        return self._waiting.popleft().result()

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

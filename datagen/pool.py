"""Worker processes that write shards: bounded work in flight, clear words when one dies, none left behind."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Protocol

from datagen.render_shards import ShardJob, render_shard
from datagen.rlds_writer import ShardRecord
from sim.errors import UserError
from sim.processes import end_with_parent

IN_FLIGHT = 2
"""Shards per worker that may be handed out at once; whoever hands out more waits."""

ShardKey = tuple[str, int]
"""Split and number of a shard."""

_stop: Any = None


class Pool(Protocol):
    """What writes shards, wherever it does."""

    def submit(self, key: ShardKey, job: ShardJob) -> None:
        """Hand out one shard under `key`; wait first while too many are in flight."""

    def finished(self, *, all_of_them: bool = False) -> Iterator[tuple[ShardKey, ShardRecord]]:
        """Yield key and record of the shards finished since the last call; wait for all of them if asked to."""


class ShardPool:
    """Writes shards in `workers` processes, or in this one where `workers` is 0."""

    def __init__(self, workers: int) -> None:
        """Start nothing yet: processes start with the first shard."""
        self._workers = workers
        self._futures: dict[Future[ShardRecord], ShardKey] = {}
        self._done: list[tuple[ShardKey, ShardRecord]] = []
        self._executor: ProcessPoolExecutor | None = None
        self._context = multiprocessing.get_context("spawn")
        self._event = self._context.Event()

    def submit(self, key: ShardKey, job: ShardJob) -> None:
        """Hand out one shard under `key`; wait first while too many are in flight."""
        if self._workers == 0:
            self._done.append((key, render_shard(job)))
            return
        while len(self._futures) >= IN_FLIGHT * self._workers:
            self._wait()
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._workers, mp_context=self._context, initializer=_initialize, initargs=(self._event,)
            )
        try:
            self._futures[self._executor.submit(_work, job)] = key
        except BrokenProcessPool as error:
            raise _died() from error

    def finished(self, *, all_of_them: bool = False) -> Iterator[tuple[ShardKey, ShardRecord]]:
        """Yield key and record of the shards finished since the last call; wait for all of them if asked to."""
        self._collect([future for future in self._futures if future.done()])
        while True:
            while self._done:
                yield self._done.pop(0)
            if not (all_of_them and self._futures):
                return
            self._wait()

    def _wait(self) -> None:
        self._collect(list(wait(self._futures, return_when=FIRST_COMPLETED).done))

    def _collect(self, futures: list[Future[ShardRecord]]) -> None:
        for future in futures:
            key = self._futures.pop(future)
            try:
                self._done.append((key, future.result()))
            except BrokenProcessPool as error:
                raise _died() from error

    def __enter__(self) -> ShardPool:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers: after their work, or, on an error, as soon as they have finished an episode."""
        if error is not None:
            self._event.set()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=error is not None)


def _died() -> UserError:
    return UserError(
        "A worker process that renders frames died: it was killed, or ran out of memory. Every finished shard is "
        "whole. Run the same command again, with fewer --workers if memory was short; it continues where it stopped."
    )


def _initialize(stop: Any) -> None:
    """Prepare a worker: Ctrl-C is the parent's to handle, and a worker does not outlive its parent."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _work(job: ShardJob) -> ShardRecord:
    """Write one shard in a worker."""
    return render_shard(job, stopped=_stop.is_set)

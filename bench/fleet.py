"""Worker processes side by side: started, listened to, and replaced when one dies in the middle of an episode."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import connection as mpc
from multiprocessing.context import SpawnProcess
from typing import Any

from bench.record import Record, crashed
from bench.worker import Todo, WorkerJob, serve
from sim.errors import UserError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Environment variables that keep a numerical library on one thread."""

GRACE = 5.0
"""Seconds that a worker has to end by itself before it is stopped."""


@dataclass
class _Running:
    """One worker process, the episodes that it has still to tell of, and those of them that it is in."""

    job: WorkerJob
    process: SpawnProcess
    left: list[Todo]
    current: list[Todo] = field(default_factory=list)


def run_jobs(
    jobs: Sequence[WorkerJob], *, workers: int, opened: Callable[[WorkerJob, Record], None] | None = None
) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Yield (record, timing) of every episode of every job as it ends, with at most `workers` processes at once.

    A process that dies takes one episode with it, which is recorded as an error; another one does the rest. Where it
    was in several, each runs again alone, to find the one. `opened` is told what each host says of itself. Whatever
    ends this loop, no process is left behind.
    """
    waiting, running = list(jobs), dict[mpc.Connection, _Running]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                ours, process = _start(waiting[0])
                job = waiting.pop(0)
                running[ours] = _Running(job, process, list(job.episodes))
            for ready in mpc.wait(list(running)):
                assert isinstance(ready, mpc.Connection)
                state = running[ready]
                message = _receive(ready)
                if message is None:
                    del running[ready]
                    yield from _buried(state, waiting)
                elif message[0] == "open":
                    if opened is not None:
                        opened(state.job, message[1])
                elif message[0] == "begin":
                    state.current = message[1]
                elif message[0] == "episode":
                    del state.left[0], state.current[0]
                    yield message[1], message[2]
                elif message[0] == "done":
                    del running[ready]
                    _end(state.process)
                else:
                    _raise(message)
    finally:
        for state in running.values():
            state.process.terminate()
            _end(state.process)


def _start(job: WorkerJob) -> tuple[mpc.Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(theirs, job), name=f"bench {job.host}")
    with _one_thread():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the process that starts now use one thread: libraries read this when they are imported, before our code."""
    before = {name: os.environ.get(name) for name in (*THREADS, "LP_NUM_THREADS")}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _receive(ready: mpc.Connection) -> Any:
    """Return the next message, or None if the process at the other end is gone."""
    try:
        return ready.recv()
    except (EOFError, ConnectionResetError):
        return None


def _buried(state: _Running, waiting: list[WorkerJob]) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Account for a process that died: its episode becomes an error, the rest of its job waits again."""
    _end(state.process)
    code = state.process.exitcode
    if not state.current:
        raise RuntimeError(
            f"The worker process for {state.job.host} ended with status {code} before its next episode began. "
            "What it said is above; what was finished is in the log."
        )
    again = replace(state.job, seeds=())
    if len(state.current) > 1:
        waiting[:0] = [replace(again, episodes=[todo]) for todo in state.current]
        rest = state.left[len(state.current) :]
    else:
        todo, rest = state.current[0], state.left[1:]
        reason = f"the worker process died with status {code}"
        yield crashed(str(state.job.host), todo.policy, todo.seed, reason) | dict(todo.labels), {}
    if rest:
        waiting.append(replace(again, episodes=rest))


def _end(process: SpawnProcess) -> None:
    process.join(GRACE)
    if process.is_alive():
        process.kill()
        process.join()


def _raise(message: tuple[str, str]) -> None:
    if message[0] == "refused":
        raise UserError(message[1])
    raise RuntimeError(f"A worker process could not go on:\n{message[1]}")

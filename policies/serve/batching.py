"""Concurrent requests to one policy: all that wait are answered by one inference."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policies.serve.protocol import Request, observation_of
from sim.episodes import Policy

KEPT = 100_000
"""Latencies that a server remembers."""


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    # (chunk, 7) in the policy's convention.
    actions: NDArray[np.float64]
    # Seconds of the inference that answered it, and how many requests that inference answered.
    seconds: float
    batch: int


@dataclass
class Tally:
    """What a server did so far."""

    requests: int = 0
    inferences: int = 0
    errors: int = 0
    clients: int = 0
    # Seconds of the last inferences, at most `KEPT`.
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))


@dataclass(frozen=True)
class _Waiting:
    slot: int
    request: Request
    answer: asyncio.Future[Answer]


class Batcher:
    """Owns a policy: one thread asks it, and never for more than `most` worlds at once."""

    def __init__(self, policy: Policy, *, most: int, tally: Tally) -> None:
        self.policy, self.most, self.tally = policy, most, tally
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="policy")

    async def ask(self, slot: int, request: Request) -> Answer:
        """Return the answer to a request of the client in `slot`; what the policy raises is raised here."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(slot, request, answer))
        return await answer

    async def run(self) -> None:
        """Answer requests until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = [await self._queue.get()]
            while not self._queue.empty() and len(waiting) < self.most:
                waiting.append(self._queue.get_nowait())
            for group in _alike(waiting):
                try:
                    answers = await loop.run_in_executor(self._thread, self._infer, group)
                except Exception as error:  # Whatever the policy raises belongs to those who asked.
                    _settle(group, error)
                else:
                    _settle(group, answers)

    def close(self) -> None:
        """Wait for the inference that runs, if any, and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _infer(self, group: Sequence[_Waiting]) -> list[Answer]:
        """Ask the policy once for all worlds of the group."""
        began = time.perf_counter()
        fresh = [item.slot for item in group if item.request.reset]
        if fresh:
            self.policy.reset(np.array(fresh, dtype=np.intp))
        slots = np.array([item.slot for item in group], dtype=np.intp)
        said = np.asarray(self.policy.act(observation_of([item.request for item in group], slots)), dtype=np.float64)
        chunks = said[:, None] if said.ndim == 2 else said
        if chunks.shape != (len(group), self.policy.spec.chunk, 7) or not np.isfinite(chunks).all():
            raise RuntimeError(
                f"the policy returned actions of shape {said.shape}, or numbers that are not finite; expected "
                f"({len(group)}, {self.policy.spec.chunk}, 7)"
            )
        seconds = time.perf_counter() - began
        self.tally.inferences += 1
        self.tally.seconds.append(seconds)
        return [Answer(chunk, seconds, len(group)) for chunk in chunks]


def _alike(waiting: Sequence[_Waiting]) -> list[list[_Waiting]]:
    """Return the requests grouped so that their arrays stack: one client's odd sizes spoil no other's answer."""
    groups: dict[int, list[_Waiting]] = {}
    for item in waiting:
        groups.setdefault(len(item.request.privileged), []).append(item)
    return list(groups.values())


def _settle(group: Sequence[_Waiting], outcome: list[Answer] | Exception) -> None:
    """Hand each request its answer, or the error; one whose client has gone is left alone."""
    for number, item in enumerate(group):
        if item.answer.done():
            continue
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome[number])

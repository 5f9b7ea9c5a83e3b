"""Policy servers in a thread of the test, and policies to serve."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from policies.serve.server import PolicyServer
from sim.conventions import CANONICAL
from sim.episodes import Observation, PolicySpec


@contextmanager
def running(policy, *, port: int = 0, **options) -> Iterator[tuple[str, PolicyServer]]:
    """Yield the address of a server of `policy`, and the server."""
    loop = asyncio.new_event_loop()
    opened, end = threading.Event(), asyncio.Event()
    server, found = PolicyServer(policy, **options), []

    async def serve() -> None:
        async with server.listening("127.0.0.1", port) as number:
            found.append(number)
            opened.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert opened.wait(30)
    try:
        yield f"ws://127.0.0.1:{found[0]}", server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(60)
        assert not thread.is_alive()
        loop.close()


class Counting:
    """Chunks that tell what was seen: image mean, state, sentence, this world's calls since its reset, its step."""

    def __init__(self, *, inputs=("image", "state", "instruction"), size: int = 64, delay: float = 0.0) -> None:
        from dataclasses import replace

        convention = replace(CANONICAL, image_size=size)
        self.spec = PolicySpec(name="counting", convention=convention, inputs=frozenset(inputs), chunk=4, execute=2)
        self.delay, self.batches, self.calls = delay, [], {}

    def reset(self, ids):
        for world in ids:
            self.calls[int(world)] = 0

    def act(self, observation: Observation):
        time.sleep(self.delay)
        self.batches.append(len(observation.ids))
        chunks = np.zeros((len(observation.ids), 4, 7))
        images = observation.render("image") if "image" in self.spec.inputs else None
        for row, world in enumerate(observation.ids):
            self.calls[int(world)] = self.calls.get(int(world), 0) + 1
            chunks[row, :, 0] = 0.0 if images is None else images[row].mean() / 1e4
            chunks[row, :, 1] = observation.state[row].sum() / 100
            chunks[row, :, 2] = len(observation.instructions[row]) / 1e4
            chunks[row, :, 3] = self.calls[int(world)] / 100
            chunks[row, :, 4] = observation.steps[row] / 1e4
            chunks[row, :, 6] = 1.0
        return chunks

"""The policy server: the openpi websocket protocol, concurrent clients batched, nothing from outside evaluated."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from policies.serve.batching import Answer, Batcher, Tally
from policies.serve.protocol import ACTIONS, Request, decode_request, metadata
from policies.serve.wire import MessageError, pack, unpack
from sim.episodes import Policy

HEALTH = "/healthz"


@dataclass(frozen=True)
class Limits:
    """What a server takes."""

    # Clients at once, worlds per inference, and bytes per message.
    clients: int = 64
    batch: int = 64
    message_bytes: int = 16 * 2**20


class PolicyServer:
    """Serves one policy to many clients.

    To each client it sends the metadata (`protocol.metadata`) first; then every message is one observation, answered
    by {"actions": (chunk, 7) float64, "server_timing": {...}}, or by a text that says what was wrong with it. A client
    is one world: its place is what the policy knows it by.
    """

    def __init__(self, policy: Policy, *, key: str | None = None, limits: Limits | None = None) -> None:
        """With a `key`, clients must send the header `Authorization: Api-Key KEY`."""
        self.policy, self.key, self.limits, self.tally = policy, key, limits or Limits(), Tally()
        self._told = pack(metadata(policy.spec))
        self._batcher = Batcher(policy, most=self.limits.batch, tally=self.tally)
        self._slots: set[int] = set()

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve while the context lasts; yield the port, which is a free one for port 0."""
        answering = asyncio.create_task(self._batcher.run())
        try:
            async with listen(
                self._client,
                host,
                port,
                compression=None,
                max_size=self.limits.message_bytes,
                max_queue=1,  # A client has one request under way; more would only fill the memory.
                ping_timeout=None,  # A simulator that computes for a minute is not gone.
                process_request=self._admit,
                server_header=None,
            ) as server:
                yield _port(server)
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            self._batcher.close()

    def _admit(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer health checks; refuse a wrong key, web pages and too many clients; let the rest pass."""
        if request.path == HEALTH:
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self.key is not None and not _equal(request.headers.get("Authorization", ""), f"Api-Key {self.key}"):
            return connection.respond(
                http.HTTPStatus.UNAUTHORIZED,
                "This policy server wants an API key: send the header 'Authorization: Api-Key KEY'.\n",
            )
        if "Origin" in request.headers:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "This policy server does not serve web pages.\n")
        if len(self._slots) >= self.limits.clients:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"All {self.limits.clients} places for clients are taken.\n"
            )
        return None

    async def _client(self, connection: ServerConnection) -> None:
        """Serve one client until it leaves."""
        slot = next(number for number in range(len(self._slots) + 1) if number not in self._slots)
        self._slots.add(slot)
        self.tally.clients += 1
        try:
            await connection.send(self._told)
            await self._answer_all(connection, slot)
        except ConnectionClosed:
            return
        finally:
            self._slots.discard(slot)

    async def _answer_all(self, connection: ServerConnection, slot: int) -> None:
        """Answer the client's requests one by one; a bad one gets a text, and the next is welcome."""
        total_ms = None
        before: Request | None = None
        async for data in connection:
            began = time.perf_counter()
            self.tally.requests += 1
            try:
                request = decode_request(unpack(data), self.policy.spec, before=before)
                if before is None:  # Whoever was in this place before is forgotten.
                    request = replace(request, reset=True)
                answer = await self._batcher.ask(slot, request)
            except MessageError as error:
                self.tally.errors += 1
                await connection.send(f"Bad request: {error}.")
                continue
            except Exception as error:
                self.tally.errors += 1
                traceback.print_exception(error)
                await connection.send(f"The policy failed: {type(error).__name__}: {error}")
                continue
            before = request
            await connection.send(pack(_message(answer, total_ms)))
            total_ms = 1e3 * (time.perf_counter() - began)


def _message(answer: Answer, previous_ms: float | None) -> dict[str, Any]:
    timing: dict[str, float | int] = {"infer_ms": 1e3 * answer.seconds, "batch": answer.batch}
    if previous_ms is not None:
        timing["prev_total_ms"] = previous_ms
    return {ACTIONS: answer.actions, "server_timing": timing}


def _equal(given: str, wanted: str) -> bool:
    """Return whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port

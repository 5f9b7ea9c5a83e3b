"""A policy that lives at `ws://host:port`: one connection per world, so that a server can batch them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from policies.serve.foreign import ServerDeclaration, encode_foreign, load_declaration
from policies.serve.protocol import ACTIONS, IMAGES, MARK, check_actions, encode_request, spec_from
from policies.serve.wire import MessageError, pack, unpack
from sim.episodes import Ids, Images, Observation, PolicySpec
from sim.errors import UserError

LARGEST = 256 * 2**20
"""Bytes of the largest message that is taken from a server."""


class RemotePolicyError(RuntimeError):
    """The server is gone, too slow, or could not answer: the episode breaks off, and nobody's policy failed."""


class RemotePolicy:
    """The policy behind a server. Connections that were lost are opened again when the next episode begins."""

    def __init__(
        self, address: str, *, declare: str = "", timeout: float = 60.0, patience: float = 10.0, key: str | None = None
    ) -> None:
        """Ask the server what it is. It may take `timeout` s for an answer and `patience` s to come up again.

        `declare` names the file that says what a server means which does not say so itself; `key` is the API key.
        """
        self.address, self.timeout, self.patience, self._key = address, timeout, patience, key
        self._connections: dict[int, ClientConnection] = {}
        self._fresh: set[int] = set()
        try:
            first, self._told = self._connect()
        except (OSError, ValueError, WebSocketException, MessageError) as error:
            raise self._refused(error) from error
        first.close()
        self.declaration: ServerDeclaration | None = None
        if MARK in self._told and not declare:
            self.spec: PolicySpec = spec_from(self._told, where=address)
        elif MARK in self._told:
            raise UserError(f"The server at {address} says itself what it means. Leave out declare={declare}.")
        else:
            self.declaration = load_declaration(declare, address=address)
            self.spec = self.declaration.spec(address, self._told)

    def reset(self, ids: Ids) -> None:
        """New episodes begin in these worlds; a lost connection is opened again."""
        for world in ids:
            self._fresh.add(int(world))
            if int(world) not in self._connections:
                self._connections[int(world)] = self._again()

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return chunks (k, chunk, 7): all requests are sent before the first answer is awaited."""
        worlds = [int(world) for world in observation.ids]
        messages = self._messages(observation)
        try:
            for world, message in zip(worlds, messages, strict=True):
                if world not in self._connections:
                    self._connections[world] = self._again()
                self._connections[world].send(pack(message))
            answers = [self._answer(self._connections[world]) for world in worlds]
        except (OSError, WebSocketException, MessageError, RemotePolicyError) as error:
            self.close()  # Answers that are still under way would be taken for those of the next requests.
            if isinstance(error, RemotePolicyError):
                raise
            reason = str(error) or type(error).__name__
            raise RemotePolicyError(f"the policy server at {self.address} did not answer: {reason}") from error
        self._fresh -= set(worlds)
        return np.stack(answers)

    def close(self) -> None:
        """Close every connection; what was asked and not answered is lost."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.close()

    def _messages(self, observation: Observation) -> list[dict[str, Any]]:
        cameras = [camera for camera in IMAGES if camera in self.spec.inputs]
        frames = {camera: observation.render(camera) for camera in cameras}
        return [
            self._message(observation, row, {camera: frames[camera][row] for camera in cameras})
            for row in range(len(observation.ids))
        ]

    def _message(self, observation: Observation, row: int, frames: Mapping[str, Images]) -> dict[str, Any]:
        if self.declaration is not None:
            return encode_foreign(self.declaration, observation, row, frames)
        fresh = int(observation.ids[row]) in self._fresh
        message = encode_request(observation, row, self.spec, reset=fresh)
        return message | {IMAGES[camera]: frame for camera, frame in frames.items()}

    def _answer(self, connection: ClientConnection) -> NDArray[np.float64]:
        data = connection.recv(timeout=self.timeout)
        if isinstance(data, str):
            raise RemotePolicyError(f"the policy server at {self.address} says: {data[-2000:].strip()}")
        key = ACTIONS if self.declaration is None else self.declaration.keys.actions
        size = self.spec.convention.action_size or 7
        return check_actions(unpack(data).get(key), chunk=self.spec.chunk, key=key, size=size)

    def _connect(self) -> tuple[ClientConnection, dict[str, Any]]:
        """Open a connection and return it with the server's metadata."""
        opening = connect(
            self.address,
            compression=None,
            max_size=LARGEST,
            open_timeout=self.patience,
            ping_interval=None,  # A server that compiles its network answers no ping for minutes.
            additional_headers={"Authorization": f"Api-Key {self._key}"} if self._key else None,
        )
        connection = opening.__enter__()  # It stays open beyond any one call; `close` leaves it.
        try:
            return connection, unpack(connection.recv(timeout=self.timeout))
        except BaseException:
            connection.close()
            raise

    def _again(self) -> ClientConnection:
        """Return a new connection, for which a server that restarts has some time; another policy is refused."""
        end, pause = time.monotonic() + self.patience, 0.05
        while True:
            try:
                connection, told = self._connect()
                break
            except (OSError, WebSocketException, MessageError) as error:
                if time.monotonic() + pause > end or isinstance(error, InvalidStatus | InvalidURI):
                    raise RemotePolicyError(f"the policy server at {self.address} is gone: {error}") from error
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        if pack(told) != pack(self._told):
            connection.close()
            raise UserError(f"The server at {self.address} serves another policy than before. Results are not mixed.")
        return connection

    def _refused(self, error: Exception) -> UserError:
        """Return what to tell when there is no first connection."""
        if isinstance(error, InvalidStatus) and error.response.status_code == 401:
            return UserError(
                f"The policy server at {self.address} wants an API key, and "
                f"{'takes another one than' if self._key else 'there is none in'} DEMOMILL_API_KEY. "
                "Type: export DEMOMILL_API_KEY=..."
            )
        if isinstance(error, InvalidURI) or type(error) is ValueError:  # A port beyond 65,535 is a ValueError.
            return UserError(f"{self.address} is no address of a server. Write ws://HOST:PORT, or wss://HOST:PORT.")
        what = (
            "does not speak the protocol" if isinstance(error, InvalidHandshake | MessageError) else "does not answer"
        )
        return UserError(
            f"The policy server at {self.address} {what}: {str(error) or type(error).__name__}. Start one in another "
            "terminal: demomill serve POLICY"
        )

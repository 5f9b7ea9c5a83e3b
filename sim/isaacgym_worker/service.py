"""The worker's loop: one request, one answer, until the client leaves."""

from __future__ import annotations

import socket
import sys
import traceback
from typing import Any

from sim.isaacgym_worker import wire
from sim.isaacgym_worker.installed import libraries, versions


class Refused(Exception):
    """A request that this worker understands and cannot fulfil; the text is shown to the user."""


def serve(control: int, memory: int) -> None:
    """Answer requests on the socket `control`; the per-step arrays lie in the memory behind `memory`."""
    stream = socket.socket(fileno=control)
    session = Session(memory)
    while True:
        try:
            header, arrays = wire.receive(stream)
        except wire.Closed:
            return
        try:
            answer, answered = session.answer(header, arrays)
        except Refused as refusal:
            answer, answered = {"refused": str(refusal)}, {}
        except Exception:
            told = traceback.format_exc()
            sys.stderr.write(told)
            answer, answered = {"failed": told[-4000:]}, {}
        wire.send(stream, answer, answered)
        if header.get("op") == "close":
            return


class Session:
    """One simulation and what was asked of it."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._worlds: Any = None
        self._cameras: Any = None

    def answer(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Do what a request asks for."""
        operations = {
            "hello": self._hello,
            "create": self._create,
            "reset": self._reset,
            "step": self._step,
            "where": self._where,
            "render": self._render,
            "close": self._close,
        }
        name = header.get("op")
        if name not in operations:
            raise Refused(f"The worker knows no request {name!r}.")
        return operations[name](header, arrays)

    def _hello(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if header.get("protocol") != wire.PROTOCOL:
            raise Refused(
                "The worker speaks protocol {}, the client {!r}: both must come from the same version of "
                "demomill.".format(wire.PROTOCOL, header.get("protocol"))
            )
        return dict(versions(), protocol=wire.PROTOCOL), {}

    def _create(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        from sim.isaacgym_worker.building import Built
        from sim.isaacgym_worker.stepping import Worlds

        if self._worlds is not None:
            raise Refused("This worker has a simulation already; Isaac Gym allows one in a process.")
        gymapi, gymtorch, torch = libraries()
        built = Built(gymapi, header, arrays)
        if header.get("frames"):
            from sim.isaacgym_worker.cameras import Cameras

            self._cameras = Cameras(gymapi, gymtorch, built, header["frames"])
        self._worlds = Worlds(gymapi, gymtorch, torch, built, self._memory)
        return {"bodies": built.body_count(), "device": built.device}, {}

    def _reset(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        self._need_worlds().reset(**arrays)
        return {}, {}

    def _step(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        self._need_worlds().step()
        return {}, {}

    def _where(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, self._need_worlds().where()

    def _render(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        worlds = self._need_worlds()
        if self._cameras is None:
            raise Refused("This worker was started without cameras.")
        worlds.settle()
        return {}, {"frames": self._cameras.render(header["camera"], header["looks"])}

    def _close(self, header: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._worlds is not None:
            self._worlds.close()
        return {}, {}

    def _need_worlds(self) -> Any:
        if self._worlds is None:
            raise Refused("Nothing was created yet.")
        return self._worlds

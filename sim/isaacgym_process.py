"""The worker as a child process: started, asked, watched, and gone when the client is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError
from sim.isaacgym_python import WORKER, environment
from sim.isaacgym_worker import layout, wire

OUTPUT_KEPT = 2000
"""Characters of the worker's last output that a report of its death quotes."""


class WorkerLost(Exception):
    """The worker died, hung or failed; the text says how and quotes its last output."""


class WorkerProcess:
    """One worker. The per-step arrays lie in `memory`; everything else is asked for with `call`."""

    def __init__(self, interpreter: str, *, worlds: int, objects: int, hinges: int = 0) -> None:
        """Start the interpreter; nothing is imported there before the first call."""
        self._descriptor = os.memfd_create("demomill-isaacgym", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, layout.size(worlds, objects, hinges))
        self.memory: dict[str, NDArray[np.float32]] = layout.attach(self._descriptor, worlds, objects, hinges)
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._stream, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        read_end, self._lifeline = os.pipe()
        command = [interpreter, str(WORKER)]
        descriptors = {"control": theirs.fileno(), "memory": self._descriptor, "lifeline": read_end}
        for name, descriptor in descriptors.items():
            command += [f"--{name}", str(descriptor)]
        try:
            self._process = subprocess.Popen(
                command,
                env=environment(interpreter),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=tuple(descriptors.values()),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._lifeline)
            self._stream.close()
            raise UserError(f"{interpreter} could not be started: {error.strerror}.") from error
        finally:
            theirs.close()
            os.close(read_end)
            os.close(self._descriptor)
        self._end = weakref.finalize(self, _end, self._process, self._stream, self._lifeline)

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the worker can be asked."""
        return self._end.alive and self._process.poll() is None

    def call(
        self,
        operation: str,
        arrays: Mapping[str, NDArray[Any]] | None = None,
        *,
        timeout: float,
        **fields: Any,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Ask for something and return the answer and its arrays.

        A `UserError` passes on what the worker refuses; `WorkerLost` says that it died, hung for longer than `timeout`
        seconds, or failed. It is then gone.
        """
        self._stream.settimeout(timeout)
        try:
            wire.send(self._stream, {"op": operation, **fields}, dict(arrays or {}))
            answer, answered = wire.receive(self._stream)
        except TimeoutError:
            raise self._lost(f"did not answer {operation!r} within {timeout:.0f} s and was ended") from None
        except (wire.WireError, OSError) as error:
            raise self._lost(self._death(error)) from None
        except BaseException:
            self._end()  # Interrupted in the middle of an answer: the next one could not be told from it.
            raise
        if "refused" in answer:
            raise UserError(str(answer["refused"]))
        if "failed" in answer:
            raise self._lost(f"failed at {operation!r}")
        return answer, answered

    def close(self, *, timeout: float = 10.0) -> None:
        """Ask the worker to leave; end it if it does not."""
        if self.alive:
            try:
                self.call("close", timeout=timeout)
                self._process.wait(timeout)
            except (WorkerLost, subprocess.TimeoutExpired):
                self._process.kill()
        self._end()
        self._output.close()

    def last_output(self) -> str:
        """Return the end of what the worker printed."""
        end = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(end - OUTPUT_KEPT, 0))
        return self._output.read().decode(errors="replace").strip()

    def _death(self, error: Exception) -> str:
        """Return how the worker ended, or what it said that was no answer."""
        try:
            status = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return f"sent what is no answer ({error}) and was ended"
        if status < 0:
            return f"was killed by signal {-status} ({signal.Signals(-status).name})"
        return f"ended with status {status}"

    def _lost(self, how: str) -> WorkerLost:
        """End what is left of the worker and return the report."""
        self._end()
        said = self.last_output()
        tail = f" It last said:\n{said}" if said else " It had said nothing."
        return WorkerLost(f"The Isaac Gym worker (process {self._process.pid}) {how}.{tail}")


def _end(process: subprocess.Popen[bytes], stream: socket.socket, lifeline: int) -> None:
    """Close what holds the worker, and kill it if it is still there."""
    stream.close()
    os.close(lifeline)
    if process.poll() is None:
        process.kill()
    process.wait()

"""Start of the worker process: `python3.8 sim/isaacgym_worker/__main__.py --control FD --memory FD --lifeline FD`."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import types
from typing import Any


def _offer_own_modules() -> None:
    """Make `sim.isaacgym_worker` importable and nothing else of the project.

    The project's own package belongs to a newer Python; its folder must not come onto this interpreter's path.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    package: Any = types.ModuleType("sim")
    package.__path__ = [os.path.dirname(here)]
    sys.modules["sim"] = package


def _die_with(lifeline: int) -> None:
    """Let the kernel end this process when the other end of the pipe closes, whatever this process is doing.

    SIGIO with its default action needs no Python code to run: a native call that hangs does not keep an orphan alive.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        closed = os.read(lifeline, 1) == b""
    except BlockingIOError:
        closed = False
    if closed:
        sys.exit("the process that started this worker is gone")


def main() -> None:
    """Say what is installed here (`--probe`), or serve one client until it leaves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", action="store_true")
    for name in ("control", "memory", "lifeline"):
        parser.add_argument("--" + name, type=int, default=-1)
    options = parser.parse_args()
    _offer_own_modules()
    if options.probe:
        from sim.isaacgym_worker import installed

        print("\n" + installed.as_json(), flush=True)
        return
    _die_with(options.lifeline)
    from sim.isaacgym_worker import service

    service.serve(options.control, options.memory)


if __name__ == "__main__":
    main()

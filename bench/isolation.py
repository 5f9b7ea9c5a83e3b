"""A stage in a process of its own: what one stage loads cannot harm the next, and a crash is told in words."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from sim.errors import UserError
from sim.processes import end_with_parent

Work = Callable[..., Any]


def isolated(work: Work, *arguments: Any, name: str) -> Any:
    """Return `work(*arguments)`, run in a fresh process; `work` is a module's function, its result picklable.

    A `UserError` in there is raised here. A process that dies (a library's segmentation fault, the kernel's memory
    killer) is told as a `UserError` that names the signal: the same command continues from there. Ctrl-C reaches the
    process too, which is waited for. It does not outlive this process.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, work, arguments), name=name)
    process.start()
    theirs.close()
    try:
        kind, value = ours.recv()
    except EOFError:
        process.join()
        raise UserError(_died(name, process.exitcode)) from None
    except KeyboardInterrupt:
        process.join()
        raise
    process.join()
    if kind == "refused":
        raise UserError(value)
    if kind == "interrupted":
        raise KeyboardInterrupt
    return value


def _serve(connection: Connection, work: Work, arguments: tuple[Any, ...]) -> None:
    """Run the work and send what came of it; any other exception shows its traceback and ends the process."""
    end_with_parent()
    with connection:
        try:
            connection.send(("done", work(*arguments)))
        except UserError as error:
            connection.send(("refused", str(error)))
        except KeyboardInterrupt:
            connection.send(("interrupted", None))


def _died(name: str, code: int | None) -> str:
    """Return what to tell of a process that ended without a result."""
    if code is not None and code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
        why = " Often that is the kernel's answer to full memory." if -code == signal.SIGKILL else ""
    else:
        how, why = f"ended with status {code}; its traceback stands above", ""
    return f"The stage {name!r} {how}.{why} What was finished is kept: run the same command again to continue."

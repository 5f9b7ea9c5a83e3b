"""A server from its start to the signal that ends it."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable

import numpy as np

from policies.serve.command import ServeConfig, ServeResult
from policies.serve.server import Limits, PolicyServer
from sim.episodes import Policy
from sim.errors import UserError


async def run_until_stopped(
    config: ServeConfig, policy: Policy, key: str | None, *, ready: Callable[[str], None]
) -> ServeResult:
    """Serve until SIGINT or SIGTERM; `ready` is called with the address once the port is open."""
    limits = Limits(config.max_clients, config.max_batch, int(config.max_message_mb * 1e6))
    server, stopped = PolicyServer(policy, key=key, limits=limits), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with server.listening(config.host, config.port) as port:
            address = f"ws://{f'[{config.host}]' if ':' in config.host else config.host}:{port}"
            ready(address)
            await stopped.wait()
    except OSError as error:
        raise _cannot_listen(config, error) from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    tally, seconds = server.tally, np.array(server.tally.seconds)
    return ServeResult(
        address=address,
        clients=tally.clients,
        requests=tally.requests,
        inferences=tally.inferences,
        errors=tally.errors,
        seconds_p50=float(np.quantile(seconds, 0.5)) if len(seconds) else None,
        seconds_p95=float(np.quantile(seconds, 0.95)) if len(seconds) else None,
    )


def _cannot_listen(config: ServeConfig, error: OSError) -> UserError:
    taken = (
        " Another program has it: choose another port, or 0 for a free one." if error.errno == errno.EADDRINUSE else ""
    )
    return UserError(f"Port {config.port} of {config.host} cannot be opened: {error.strerror or error}.{taken}")

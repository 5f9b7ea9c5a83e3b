"""`demomill serve POLICY`: a policy over a network, until Ctrl-C."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sim.episodes import Policy
from sim.errors import UserError
from sim.ranges import Numbers, require

KEY_VARIABLE = "DEMOMILL_API_KEY"
"""Environment variable that holds the API key, for servers and for clients."""


@dataclass(frozen=True)
class ServeConfig:
    """One policy server."""

    # expert:TASK, a checkpoint's folder, module:attribute, random; options stand behind it (docs/policies.md).
    policy: str
    # Address to listen on. Anything but this machine itself needs an API key, or `open`.
    host: str = "127.0.0.1"
    # TCP port; 0 takes a free one.
    port: int = 8000
    # File whose first line is the API key that clients must send; the variable DEMOMILL_API_KEY does the same.
    api_key_file: Path | None = None
    # Serve other machines without an API key: whoever reaches the port may use the policy.
    open: bool = False
    # Clients at once.
    max_clients: int = 64
    # Requests that one inference answers.
    max_batch: int = 64
    # Megabytes (10^6 bytes) of the largest message.
    max_message_mb: float = 16.0

    def __post_init__(self) -> None:
        limits = {"max_clients": Numbers(1, 100_000), "max_batch": Numbers(1, 100_000)}
        require(self, limits | {"port": Numbers(0, 65_535), "max_message_mb": Numbers(0, 4096, above=True)})


@dataclass(frozen=True)
class ServeResult:
    """What a server did until it was stopped."""

    address: str
    clients: int
    requests: int
    inferences: int
    errors: int
    # Median and 95th percentile of the seconds of one inference; None when there was none.
    seconds_p50: float | None
    seconds_p95: float | None


def serve(config: ServeConfig, *, policy: Policy) -> ServeResult:
    """Serve `policy` until Ctrl-C or SIGTERM and return what was done; the port is said when it is open."""
    import asyncio

    from policies.serve.running import run_until_stopped

    key = api_key(config.api_key_file)
    _check(config, key)
    return asyncio.run(run_until_stopped(config, policy, key, ready=_say))


def _say(address: str) -> None:
    print(f"serving at {address}; Ctrl-C ends it", file=sys.stderr, flush=True)


def api_key(file: Path | None) -> str | None:
    """Return the API key in `file`, else that of the environment, else None; an empty or unprintable one is refused."""
    if file is None:
        key = os.environ.get(KEY_VARIABLE)
        source = f"The variable {KEY_VARIABLE}"
        if key is None:
            return None
    else:
        source = f"The file {file}"
        try:
            lines = file.read_text().splitlines()
        except OSError as error:
            raise UserError(f"The API key file {file} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError:
            lines = []
        key = lines[0].strip() if lines else ""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{source} holds no API key. A key is one line of printable ASCII without spaces.")
    return key


def _check(config: ServeConfig, key: str | None) -> None:
    """Refuse an address that others reach without a key."""
    if not _loopback(config.host) and key is None and not config.open:
        raise UserError(
            f"host = {config.host} lets other machines use the policy, and there is no API key. Set one "
            f"({KEY_VARIABLE}=..., or --api-key-file FILE), or say --open to serve whoever reaches the port."
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Load test of the policy server: N clients that ask as fast as they are answered, p50 and p95 of what they wait.

Type ``python benchmarks/serve.py [POLICY]``; without a policy an untrained network of the quickstart's size is taken,
which costs the same. A server is started as `demomill serve` would be typed, once as it is and once with --max-batch 1,
which answers one request per inference. The clients are openpi's own; the two servers take turns, round by round, so
that whatever else the machine does falls on both. What batching is worth is the ratio of answers per second.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    """Print one line per number of clients and server, then the median ratio of each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", nargs="?", help="POLICY to serve")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="numbers of clients")
    parser.add_argument("--requests", type=int, default=20, help="requests of each client in a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each number of clients and server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        policy = options.policy or str(_untrained(Path(scratch)))
        with _served(policy, 64) as batching, _served(policy, 1) as single:
            for count in options.clients:
                _measure({"batching": batching, "one by one": single}, count, options.requests, options.rounds)


def _untrained(folder: Path) -> Path:
    from benchmarks.latency import untrained

    return untrained(folder, "cpu_minutes")


@contextlib.contextmanager
def _served(policy: str, most: int) -> Iterator[str]:
    """Yield the address of `demomill serve POLICY --max-batch MOST` in a process of its own."""
    command = [sys.executable, str(ROOT / "demomill.py"), "serve", policy, "--port", "0", "--max-batch", str(most)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.startswith("serving at "):
                    yield line.removeprefix("serving at ").split(";")[0]
                    break
            else:
                raise SystemExit("the server ended before it served; type the command alone to see why")
        finally:
            process.terminate()
            process.stderr.close()


def _measure(servers: dict[str, str], count: int, requests: int, rounds: int) -> None:
    """Let `count` clients ask each server in turns; print latencies, answers per second, and the ratio of the two."""
    from bench.latency import quantile

    waited: dict[str, list[float]] = {name: [] for name in servers}
    speeds: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(rounds + 1):
        for name, address in servers.items():
            found, seconds = _round(address, count, requests if turn else 2)
            if turn:  # The first round warms both up.
                waited[name] += found
                speeds[name].append(len(found) / seconds)
    for name, found in waited.items():
        p50, p95 = (quantile(found, q) for q in (0.5, 0.95))
        print(
            f"{count:3} clients, {name:10} p50 {p50.estimate:7.1f} ms [{p50.low:.1f}, {p50.high:.1f}]   "
            f"p95 {p95.estimate:7.1f} ms [{p95.low:.1f}, {p95.high:.1f}]   {np.median(speeds[name]):6.1f} answers/s"
        )
    ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
    print(f"{count:3} clients: batching answers {np.median(ratios):.2f} times as many per second (median of {rounds})")


def _round(address: str, count: int, requests: int) -> tuple[list[float], float]:
    """Return what every request waited, ms, and the seconds that all of them took."""
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    clients = [WebsocketClientPolicy(address) for _ in range(count)]
    size = int(clients[0].get_server_metadata()["convention"]["image_size"])
    waited: list[list[float]] = [[] for _ in clients]
    start = threading.Barrier(count + 1)

    def ask(number: int) -> None:
        seen = _observation(number, size)
        start.wait()
        for _ in range(requests):
            began = time.perf_counter()
            clients[number].infer(seen)
            waited[number].append(1e3 * (time.perf_counter() - began))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for client in clients:
        client._ws.close()  # openpi's client has no public way.
    return [value for found in waited for value in found], seconds


def _observation(number: int, size: int) -> dict[str, Any]:
    stream = np.random.default_rng(number)
    return {
        "observation/image": stream.integers(0, 256, (size, size, 3), dtype=np.uint8),
        "observation/state": stream.uniform(-1, 1, 8).astype(np.float32),
        "prompt": "Lift the red cube.",
    }


if __name__ == "__main__":
    main()

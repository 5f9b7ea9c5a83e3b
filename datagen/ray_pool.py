"""Shards written by a Ray cluster: the same work, the same bytes; the shards of a node that dies go to another."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from datagen.pool import IN_FLIGHT, ShardKey
from datagen.render_shards import ShardJob, render_shard
from datagen.rlds_writer import ShardRecord
from sim.errors import UserError

PASSED_ON = ("MUJOCO_GL", "OMP_NUM_THREADS", "LP_NUM_THREADS")
"""Environment variables that the cluster's workers take over."""


RETRIES = 8
"""How often a shard is tried again after the node or the process that wrote it died."""

ARROW = "pyarrow"


def without_arrow() -> None:
    """Hide a pyarrow that cannot be imported from Ray, which then takes it for absent; it wants numpy 2, we have 1."""
    try:
        importlib.import_module(ARROW)
    except ImportError:
        sys.modules[ARROW] = None  # type: ignore[assignment]


def _passed_on() -> dict[str, str]:
    """Return the environment of the cluster's workers: they import these very packages, from the same path."""
    found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    paths = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**found, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


class RayPool:
    """Hands shards to the Ray cluster of RAY_ADDRESS, or to one that it starts here. Every node sees the same folder.

    `workers` shards are written at a time, one core each; None takes the cluster's cores.
    """

    def __init__(self, workers: int | None) -> None:
        """Connect, unless this process is connected already."""
        try:
            import ray
        except ModuleNotFoundError as error:
            raise UserError(
                "executor = 'ray' needs the package ray, which is not installed. Type: pip install 'demomill[ray]'; "
                "or leave the executor local."
            ) from error
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            without_arrow()
            ray.init(
                address=os.environ.get("RAY_ADDRESS"),
                log_to_driver=False,
                runtime_env={
                    "env_vars": _passed_on(),
                    "worker_process_setup_hook": f"{__name__}.{without_arrow.__name__}",
                },
            )
        self._workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._task = ray.remote(render_shard).options(num_cpus=1, max_retries=RETRIES)
        self._running: dict[Any, ShardKey] = {}
        self._done: list[tuple[ShardKey, ShardRecord]] = []

    def submit(self, key: ShardKey, job: ShardJob) -> None:
        """Hand out one shard under `key`; wait first while too many are in flight."""
        while len(self._running) >= IN_FLIGHT * self._workers:
            self._collect(timeout=None)
        self._running[self._task.remote(job)] = key

    def finished(self, *, all_of_them: bool = False) -> Iterator[tuple[ShardKey, ShardRecord]]:
        """Yield key and record of the shards finished since the last call; wait for all of them if asked to."""
        self._collect(timeout=0)
        while True:
            while self._done:
                yield self._done.pop(0)
            if not (all_of_them and self._running):
                return
            self._collect(timeout=None)

    def _collect(self, *, timeout: float | None) -> None:
        """Take over what is finished: everything with a timeout of 0, at least one shard without a timeout."""
        if not self._running:
            return
        count = len(self._running) if timeout == 0 else 1
        ready, _ = self._ray.wait(list(self._running), num_returns=count, timeout=timeout)
        for reference in ready:
            key = self._running.pop(reference)
            try:
                self._done.append((key, self._ray.get(reference)))
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UserError):
                    raise error.cause from error
                raise
            except self._ray.exceptions.RayError as error:
                raise UserError(
                    f"The Ray cluster could not write shard {key[1]} of {key[0]}: {' '.join(str(error).split())[:300]} "
                    "Every finished shard is whole. Run the same command again; it continues where it stopped."
                ) from error

    def __enter__(self) -> RayPool:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what is not finished, and leave the cluster if it was joined here."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._started:
            self._ray.shutdown()

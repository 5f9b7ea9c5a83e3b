"""Shards written by a Ray cluster: the same work, the same bytes; the shards of a node that dies go to another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from datagen.pool import IN_FLIGHT, ShardKey
from datagen.render_shards import ShardJob, render_shard
from datagen.rlds_writer import ShardRecord
from sim.errors import UserError

PASSED_ON = ("MUJOCO_GL", "OMP_NUM_THREADS", "LP_NUM_THREADS")
"""Environment variables that the cluster's workers take over."""


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
            ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False, include_dashboard=False)
        self._workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # A lost node is no fault of the shard's: it is tried again for as long as the cluster has a node.
        self._task = ray.remote(render_shard).options(
            num_cpus=1, max_retries=-1, runtime_env={"env_vars": passed}, name="write a shard"
        )
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

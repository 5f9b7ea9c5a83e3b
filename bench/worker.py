"""A worker process of the benchmark: one host, several policies, one episode after the other, on one thread."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.config import BenchConfig, HostTask, PolicyFactory
from bench.hosts.registry import OWN, make_host
from bench.record import crashed, frame_folder, judged, write_frames
from sim.episodes import Env, Episode, Policy
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout
from tasks.catalogue import load_task

FRAMES = 8
"""About how many frames of an episode a filmstrip shows."""


@dataclass(frozen=True)
class WorkerJob:
    """What one worker process does."""

    config: BenchConfig
    host: HostTask
    # Policy name -> how to build it.
    factories: Mapping[str, PolicyFactory]
    # (policy name, seed, whether frames are kept), in the order they run.
    episodes: Sequence[tuple[str, int, bool]]


def serve(connection: Connection, job: WorkerJob) -> None:
    """Run the job's episodes and tell the other end of `connection` about each.

    Messages: ("begin", policy, seed) and ("episode", record, timing) for each episode; at last ("done",), or
    ("refused", message) for a user's fault, or ("broken", traceback) if host or policy cannot be built. Ctrl-C is left
    to the process at the other end, which then stops this one; if that process is gone, this one ends without a word.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(BrokenPipeError), connection:
        connection.send(_outcome(connection, job))


def _outcome(connection: Connection, job: WorkerJob) -> tuple[str, ...]:
    """Run the job and return the last message."""
    try:
        _Worker(connection, job).run()
    except BrokenPipeError:
        raise
    except UserError as error:
        return "refused", str(error)
    except Exception:
        return "broken", traceback.format_exc()
    return ("done",)


class _Worker:
    """One host that stays open, and the policy that runs in it now."""

    def __init__(self, connection: Connection, job: WorkerJob) -> None:
        self.connection, self.job = connection, job
        self.task = load_task(job.config.task)
        self.env = self._open()

    def _open(self) -> Env:
        config, host = self.job.config, self.job.host
        return make_host(
            host.host,
            host.host_task,
            task=self.task,
            image_size=config.image_size,
            horizon=config.horizon,
            stop_lifted=config.stop_lifted,
        )

    def run(self) -> None:
        """Run every episode; a policy is built when its first episode comes."""
        name, policy = "", None
        for wanted, seed, filmed in self.job.episodes:
            if policy is None or wanted != name:
                name, policy = wanted, self.job.factories[wanted]()
            self.connection.send(("begin", name, seed))
            self._run_one(name, policy, seed, filmed=filmed)
        self.env.close()

    def _run_one(self, name: str, policy: Policy, seed: int, *, filmed: bool) -> None:
        """Run one episode; whatever breaks it is recorded as an error, and the host is built anew."""
        host, config = str(self.job.host), self.job.config
        try:
            episode = next(rollout(self.env, policy, [seed], options=self._options(filmed=filmed)))
            record = judged(host, name, episode, target=self.task.target, execute=policy.spec.execute)
            if filmed and episode.error is None:
                write_frames(frame_folder(config.out, host, name, seed), episode)
        except UserError:
            raise
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
            self.connection.send(("episode", crashed(host, name, seed, reason), {}))
            self.env.close()
            self.env = self._open()
            return
        self.connection.send(("episode", record, _timing(episode)))

    def _options(self, *, filmed: bool) -> RolloutOptions:
        config = self.job.config
        stop = config.stop_lifted if self.job.host.host == OWN else None
        every = max(1, -(-self.env.spec.horizon // FRAMES))
        return RolloutOptions(stop_held=stop, cameras=("image",) if filmed else (), frame_every=every)


def _timing(episode: Episode) -> dict[str, Any]:
    """Return how long the policy thought per call, s: the mean, and every call to the microsecond."""
    calls = episode.latencies
    if not calls:
        return {}
    return {
        "calls": len(calls),
        "seconds_per_call": sum(calls) / len(calls),
        "seconds": [round(value, 6) for value in calls],
    }

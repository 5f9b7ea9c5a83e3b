"""A worker process of the benchmark: one host, several policies, one episode after the other, on one thread."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from bench.config import BenchConfig, HostTask, PolicyFactory
from bench.grounding import acted_on
from bench.hosts.registry import OWN
from bench.record import Record, crashed, frame_folder, judged, write_frames
from bench.variation import NOMINAL, Arm
from bench.variation_env import VariedEnv, open_env
from sim.episodes import Episode, Policy
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout
from tasks.catalogue import load_task

FRAMES = 8
"""About how many frames of an episode a filmstrip shows."""


@dataclass(frozen=True)
class Todo:
    """One episode that is to run."""

    policy: str
    seed: int
    # Whether frames are kept.
    filmed: bool = False
    arm: Arm = NOMINAL
    # What its record says of its cell; nothing in a run without a suite.
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerJob:
    """What one worker process does."""

    config: BenchConfig
    host: HostTask
    # Policy name -> how to build it.
    factories: Mapping[str, PolicyFactory]
    # The episodes in the order they run.
    episodes: Sequence[Todo]
    # The task; by default the config's.
    task: str | None = None


def serve(connection: Connection, job: WorkerJob) -> None:
    """Run the job's episodes and tell the other end of `connection` about each.

    Messages: ("begin", todo) and ("episode", record, timing) for each episode; at last ("done",), or
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
        self.task = load_task(job.task or job.config.task)
        self.env = self._open()

    def _open(self) -> VariedEnv:
        return open_env(self.job.config, self.job.host, self.task)

    def run(self) -> None:
        """Run every episode; a policy is built when its first episode comes."""
        name, policy = "", None
        for todo in self.job.episodes:
            if policy is None or todo.policy != name:
                name, policy = todo.policy, self.job.factories[todo.policy]()
            self.connection.send(("begin", todo))
            self._run_one(policy, todo)
        self.env.close()

    def _run_one(self, policy: Policy, todo: Todo) -> None:
        """Run one episode; whatever breaks it is recorded as an error, and the host is built anew."""
        host, config = str(self.job.host), self.job.config
        try:
            self.env.vary(todo.arm)
            episode = next(rollout(self.env, policy, [todo.seed], options=self._options(filmed=todo.filmed)))
            record = self._judged(todo, episode, execute=policy.spec.execute)
            if todo.filmed and episode.error is None:
                folder = frame_folder(config.out, host, todo.policy, todo.seed, labels=todo.labels)
                write_frames(folder, episode)
        except UserError:
            raise
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
            self.connection.send(("episode", crashed(host, todo.policy, todo.seed, reason) | dict(todo.labels), {}))
            self.env.close()
            self.env = self._open()
            return
        self.connection.send(("episode", record, _timing(episode)))

    def _judged(self, todo: Todo, episode: Episode, *, execute: int) -> Record:
        """Return the episode's record; where the sentence was put to the test, with what the hand went for."""
        record = judged(str(self.job.host), todo.policy, episode, target=self.task.target, execute=execute)
        if "sentence.names" in record["draw"] and episode.error is None:
            record["acted_on"] = acted_on(episode)
        return record | dict(todo.labels)

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

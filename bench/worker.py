"""A worker process of the benchmark: worlds of one host, several policies, several episodes at once, on one thread."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from bench.config import BenchConfig, HostTask, PolicyFactory
from bench.first_look import require_sound
from bench.grounding import acted_on
from bench.hosts.registry import OWN
from bench.meaning import env_json
from bench.record import Record, crashed, frame_folder, judged, write_frames
from bench.variation import NOMINAL, Arm
from bench.variation_env import VariedEnv, open_env
from sim.adapters import adapt_actions
from sim.conventions import CANONICAL
from sim.episodes import Episode, Policy, PolicySpec
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
    # Worlds in the process.
    worlds: int = 1
    # What the host is looked at with before the first step: episode seeds, and the inputs of the policies that will run
    # there. Without seeds it is not.
    seeds: Sequence[int] = ()
    inputs: frozenset[str] = frozenset()


def serve(connection: Connection, job: WorkerJob) -> None:
    """Run the job's episodes and tell the other end of `connection` about each.

    Messages: ("open", what the host says of itself) when it is open; ("begin", todos) before episodes that run side by
    side, ("episode", record, timing) for each of them in order; at last ("done",), or ("refused", message) for a user's
    fault, or ("broken", traceback) if host or policy cannot be built. Ctrl-C is left to the process at the other end,
    which then stops this one; if that process is gone, this one ends without a word.
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
    """Worlds of one host that stay open, and the policy that runs in them now."""

    def __init__(self, connection: Connection, job: WorkerJob) -> None:
        self.connection, self.job = connection, job
        self.task = load_task(job.task or job.config.task)
        self.env = self._open()

    def _open(self) -> VariedEnv:
        return open_env(self.job.config, self.job.host, self.task, n=self.job.worlds)

    def run(self) -> None:
        """Run every episode; a policy is built when its first episode comes."""
        self.connection.send(("open", env_json(self.env.spec)))
        if self.job.seeds:
            require_sound(self.env, self.job.seeds, target=self.task.target, inputs=self.job.inputs)
        name, policy = "", None
        for todos in alike(self.job.episodes):
            if policy is None or todos[0].policy != name:
                name, policy = todos[0].policy, self.job.factories[todos[0].policy]()
            self._run(policy, todos)
        self.env.close()

    def _run(self, policy: Policy, todos: Sequence[Todo]) -> None:
        """Run these episodes side by side. What breaks one breaks all; then each runs alone, to tell which it was.

        An episode that breaks when it runs alone is recorded as an error, and the host is built anew.
        """
        self.connection.send(("begin", list(todos)))
        done = 0
        try:
            self.env.vary(todos[0].arm)
            seeds, options = [todo.seed for todo in todos], self._options(filmed=todos[0].filmed)
            for todo, episode in zip(todos, rollout(self.env, policy, seeds, options=options), strict=True):
                self._told(todo, episode, policy.spec)
                done += 1
        except (UserError, BrokenPipeError):
            raise
        except Exception as error:
            if len(todos) == 1:
                reason = _reason(error)
                record = crashed(str(self.job.host), todos[0].policy, todos[0].seed, reason) | dict(todos[0].labels)
                self.connection.send(("episode", record, {}))
            self.env.close()
            self.env = self._open()
            for todo in todos[done:] if len(todos) > 1 else ():
                self._run(policy, [todo])

    def _told(self, todo: Todo, episode: Episode, spec: PolicySpec) -> None:
        """Judge an episode, write its frames and tell the other end."""
        adapt, _ = adapt_actions(spec.convention, CANONICAL, action_only=True)
        executed = adapt(episode.executed.astype(np.float64)).astype(np.float32)
        record = self._judged(todo, replace(episode, executed=executed), execute=spec.execute)
        if todo.filmed and episode.error is None:
            folder = frame_folder(self.job.config.out, str(self.job.host), todo.policy, todo.seed, labels=todo.labels)
            write_frames(folder, episode)
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


def alike(todos: Sequence[Todo]) -> Iterator[list[Todo]]:
    """Yield runs of episodes that can share a rollout: one policy, one arm, and all filmed or none."""
    for _, run in groupby(todos, key=lambda todo: (todo.policy, todo.arm, todo.filmed)):
        yield list(run)


def _reason(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"


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

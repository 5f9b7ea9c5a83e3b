"""The one loop from an environment and a policy to episodes: evaluation, collecting and benchmarking share it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT, adapt_actions
from sim.episodes import Env, Episode, Images, Observation, Policy, Step
from sim.errors import UserError
from sim.streams import generator


@dataclass(frozen=True)
class RolloutOptions:
    """How episodes are run and what of them is kept."""

    # Stop an episode once success has held for this many steps in a row; None runs to the horizon.
    stop_held: int | None = None
    # Cameras whose frames are kept, and every how many steps; each episode's last frame is kept too.
    cameras: tuple[str, ...] = ()
    frame_every: int = 1
    # Only the first so many episodes keep frames; None keeps all.
    frame_episodes: int | None = None
    # Share of episodes whose executed actions are perturbed while the clean action is recorded (DART, Laskey 2017),
    # and the standard deviation of the perturbation as a share of the action limits.
    perturb_share: float = 0.0
    perturb_std: float = 0.0


@dataclass
class _Recording:
    """What is remembered of the episode that runs in one world."""

    seed: int
    number: int
    instruction: str
    draw: dict[str, Any]
    perturb: np.random.Generator | None
    states: list[NDArray[np.float32]] = field(default_factory=list)
    actions: list[NDArray[np.float64]] = field(default_factory=list)
    executed: list[NDArray[np.float64]] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terms: list[dict[str, float]] = field(default_factory=list)
    success: list[bool] = field(default_factory=list)
    traces: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)
    frame_steps: list[int] = field(default_factory=list)
    frames: dict[str, list[Images]] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    held: int = 0
    plan: list[NDArray[np.float64]] = field(default_factory=list)


def rollout(
    env: Env, policy: Policy, seeds: Sequence[int], *, options: RolloutOptions | None = None
) -> Iterator[Episode]:
    """Yield one episode per seed, in the order of `seeds`, whatever the number of worlds.

    Conventions are compared before the first step; what cannot be adapted is refused. The policy is asked only for the
    worlds whose chunk is used up, and images are rendered only if it reads them.
    """
    if not seeds:
        raise UserError("No episodes were asked for: the list of seeds is empty. Ask for at least one episode.")
    spec = policy.spec
    if not 1 <= spec.execute <= spec.chunk:
        raise UserError(
            f"Policy {spec.name!r} would execute {spec.execute} of {spec.chunk} actions. Allowed: 1 to {spec.chunk}."
        )
    yield from _Loop(env, policy, seeds, options or RolloutOptions()).run()


class _Loop:
    """The state of one rollout: which world runs which episode, and which episodes wait to be yielded."""

    def __init__(self, env: Env, policy: Policy, seeds: Sequence[int], options: RolloutOptions) -> None:
        sees = {"image", "wrist_image", "state"} & policy.spec.inputs
        self.env, self.policy, self.options, self.seeds = env, policy, options, list(seeds)
        self.adapt, _ = adapt_actions(policy.spec.convention, env.spec.convention, action_only=not sees)
        self.running: dict[int, _Recording] = {}
        self.finished: dict[int, Episode] = {}
        self.started = 0

    def run(self) -> Iterator[Episode]:
        """Run all episodes; yield them in order."""
        self._start(np.arange(min(self.env.n, len(self.seeds))))
        for number in range(len(self.seeds)):
            while number not in self.finished:
                self._advance()
            yield self.finished.pop(number)

    def _start(self, worlds: NDArray[np.intp]) -> None:
        """Begin the next episodes in these worlds; worlds without an episode left fall idle."""
        worlds = worlds[: len(self.seeds) - self.started]
        if not len(worlds):
            return
        numbers = range(self.started, self.started + len(worlds))
        self.started += len(worlds)
        chosen = [self.seeds[k] for k in numbers]
        self.env.reset(worlds, chosen)
        self.policy.reset(worlds)
        observation = self.env.observe(worlds)
        for row, (world, number) in enumerate(zip(worlds, numbers, strict=True)):
            self.running[int(world)] = _Recording(
                seed=chosen[row],
                number=number,
                instruction=observation.instructions[row],
                draw=self.env.draw(int(world)),
                perturb=self._perturbation(chosen[row]),
            )
        self._observe(worlds, observation)

    def _perturbation(self, seed: int) -> np.random.Generator | None:
        """Return the noise stream of this episode, or None where it runs clean."""
        stream = generator(seed, "perturb")
        return stream if stream.random() < self.options.perturb_share else None

    def _observe(self, worlds: NDArray[np.intp], observation: Observation) -> None:
        """Record what these worlds show now."""
        snapshot = self.env.snapshot(worlds)
        shown: list[int] = []
        for row, world in enumerate(worlds):
            recording = self.running[int(world)]
            recording.states.append(observation.state[row])
            recording.traces.append({name: np.array(value[row]) for name, value in snapshot.items()})
            if self._wants_frame(recording):
                shown.append(row)
        if shown:
            self._record_frames(worlds, shown)

    def _wants_frame(self, recording: _Recording) -> bool:
        limit = self.options.frame_episodes
        due = len(recording.actions) % self.options.frame_every == 0
        return bool(self.options.cameras) and due and (limit is None or recording.number < limit)

    def _record_frames(self, worlds: NDArray[np.intp], rows: list[int]) -> None:
        """Render and keep the frames of these rows."""
        observation = self.env.observe(worlds[rows])
        for camera in self.options.cameras:
            for world, image in zip(worlds[rows], observation.render(camera), strict=True):
                self.running[int(world)].frames.setdefault(camera, []).append(image)
        for world in worlds[rows]:
            recording = self.running[int(world)]
            recording.frame_steps.append(len(recording.actions))

    def _plan(self) -> None:
        """Ask the policy for the worlds whose chunk is used up."""
        empty = np.array([world for world, rec in self.running.items() if not rec.plan], dtype=np.intp)
        if not len(empty):
            return
        began = time.perf_counter()
        answer = np.asarray(self.policy.act(self.env.observe(empty)), dtype=np.float64)
        seconds = (time.perf_counter() - began) / len(empty)
        chunks = answer[:, None] if answer.ndim == 2 else answer
        if chunks.shape != (len(empty), self.policy.spec.chunk, 7):
            raise UserError(
                f"Policy {self.policy.spec.name!r} returned actions of shape {answer.shape} for {len(empty)} worlds; "
                f"expected ({len(empty)}, {self.policy.spec.chunk}, 7) as its spec says."
            )
        if not np.isfinite(chunks).all():
            raise UserError(
                f"Policy {self.policy.spec.name!r} returned actions that are not finite (NaN or infinity). "
                "Its weights or its normalization statistics are damaged; train or export it again."
            )
        for world, chunk in zip(empty, chunks, strict=True):
            recording = self.running[int(world)]
            recording.plan = list(chunk[: self.policy.spec.execute])
            recording.latencies.append(seconds)

    def _advance(self) -> None:
        """One control step of all running worlds."""
        self._plan()
        actions = np.zeros((self.env.n, 7))
        for world, recording in self.running.items():
            clean = recording.plan.pop(0)
            recording.actions.append(clean)
            recording.executed.append(self._executed(clean, recording.perturb))
            actions[world] = self.adapt(recording.executed[-1])
        step = self.env.step(actions)
        for world, recording in self.running.items():
            _record_step(recording, step, world)
        worlds = np.array(sorted(self.running), dtype=np.intp)
        self._observe(worlds, self.env.observe(worlds))
        self._finish(step)

    def _executed(self, clean: NDArray[np.float64], stream: np.random.Generator | None) -> NDArray[np.float64]:
        """Return the clean action, or the clean action with noise on the arm."""
        if stream is None:
            return clean
        convention = self.policy.spec.convention
        limits = np.zeros(7)
        limits[:3] = POSITION_LIMIT / convention.position_unit
        limits[3:6] = ROTATION_LIMIT / convention.rotation_unit
        return clean + self.options.perturb_std * limits * stream.standard_normal(7)

    def _finish(self, step: Step) -> None:
        """Close the episodes that ended and begin new ones in their worlds."""
        free: list[int] = []
        for world, recording in list(self.running.items()):
            recording.held = recording.held + 1 if recording.success[-1] else 0
            held = self.options.stop_held is not None and recording.held >= self.options.stop_held
            terminated = bool(step.terminated[world])
            if held or terminated or step.truncated[world] or world in step.errors:
                if recording.frame_steps and recording.frame_steps[-1] < len(recording.actions):
                    self._record_frames(np.array([world], dtype=np.intp), [0])
                episode = _episode(self.env, recording, terminated=terminated, error=step.errors.get(world))
                self.finished[recording.number] = episode
                del self.running[world]
                free.append(world)
        self._start(np.array(sorted(free), dtype=np.intp))


def _record_step(recording: _Recording, step: Step, world: int) -> None:
    recording.rewards.append(float(step.reward[world]))
    recording.terms.append({name: float(values[world]) for name, values in step.terms.items()})
    recording.success.append(bool(step.success[world]))


def _episode(env: Env, recording: _Recording, *, terminated: bool, error: str | None) -> Episode:
    """Return the finished recording as arrays."""
    return Episode(
        spec=env.spec,
        seed=recording.seed,
        draw=recording.draw,
        instruction=recording.instruction,
        states=np.array(recording.states, dtype=np.float32),
        actions=np.array(recording.actions, dtype=np.float32),
        executed=np.array(recording.executed, dtype=np.float32),
        rewards=np.array(recording.rewards, dtype=np.float32),
        terms={k: np.array([t[k] for t in recording.terms], dtype=np.float32) for k in recording.terms[0]},
        success=np.array(recording.success, dtype=np.bool_),
        traces={k: np.array([t[k] for t in recording.traces]) for k in recording.traces[0]},
        frame_steps=tuple(recording.frame_steps),
        frames={camera: np.array(images) for camera, images in recording.frames.items()},
        terminated=terminated,
        error=error,
        latencies=tuple(recording.latencies),
    )

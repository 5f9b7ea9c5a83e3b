"""The one loop from an environment and a policy to episodes: evaluation, collecting and benchmarking share it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.compatibility import agree
from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Env, Episode, Ids, Observation, Policy, PolicySpec, Resting, Step
from sim.errors import UserError
from sim.recording import Board, Film, Recording, episode
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
class _Course:
    """Which episode runs in a world."""

    number: int
    seed: int
    instruction: str
    draw: dict[str, Any]
    film: Film


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
        self.env, self.policy, self.options, self.seeds = env, policy, options, list(seeds)
        self.agreement = agree(policy.spec, env.spec)
        size, self.env_size = _sizes(policy, env, options)
        self.courses: dict[int, _Course] = {}
        self.worlds = np.zeros(0, dtype=np.intp)
        self.finished: dict[int, Episode] = {}
        self.started = 0
        self.recording, self.board = Recording(env.n, env.spec.horizon, action_size=size), Board(env)
        # Actions that each world has still to execute: its plan (n, execute, a), and how many of it are left.
        self.plan = np.zeros((env.n, policy.spec.execute, size))
        self.left = np.zeros(env.n, dtype=np.intp)
        self.perturbed = np.zeros(env.n, dtype=np.bool_)
        self.noise = np.zeros((env.n, env.spec.horizon, size))

    def run(self) -> Iterator[Episode]:
        """Run all episodes; yield them in order."""
        self._start(np.arange(min(self.env.n, len(self.seeds))))
        for number in range(len(self.seeds)):
            while number not in self.finished:
                self._advance()
            yield self.finished.pop(number)

    def _start(self, worlds: Ids) -> None:
        """Begin the next episodes in these worlds; worlds without an episode left fall idle."""
        worlds, idle = np.split(worlds, [len(self.seeds) - self.started])
        if len(idle) and isinstance(self.env, Resting):
            self.env.rest(idle)
        if len(worlds):
            numbers = range(self.started, self.started + len(worlds))
            self.started += len(worlds)
            chosen = [self.seeds[k] for k in numbers]
            self.env.reset(worlds, chosen)
            self.policy.reset(worlds)
            self.recording.begin(worlds)
            self.left[worlds] = 0
            observation = self.env.observe(worlds)
            for row, (world, number) in enumerate(zip(worlds.tolist(), numbers, strict=True)):
                self.courses[world] = _Course(
                    number, chosen[row], observation.instructions[row], self.env.draw(world), Film([], {})
                )
                self._draw_perturbation(world, chosen[row])
        self.worlds = np.array(sorted(self.courses), dtype=np.intp)
        if len(worlds):
            self._observe(worlds, observation)

    def _draw_perturbation(self, world: int, seed: int) -> None:
        """Draw whether this episode is perturbed, and the noise of all its steps."""
        self.perturbed[world] = False
        if self.options.perturb_share > 0:
            stream = generator(seed, "perturb")
            if stream.random() < self.options.perturb_share:
                self.perturbed[world] = True
                self.noise[world] = stream.standard_normal(self.noise.shape[1:])

    def _observe(self, worlds: Ids, observation: Observation) -> None:
        """Record what these worlds show now."""
        self.board.put(observation)
        self.recording.observed(worlds, observation, self.env.snapshot(worlds))
        if self.options.cameras:
            self._record_frames(worlds[self.recording.length[worlds] % self.options.frame_every == 0])

    def _record_frames(self, worlds: Ids) -> None:
        """Render and keep the frames of those of these worlds whose episodes keep frames."""
        limit = self.options.frame_episodes
        kept = [world for world in worlds.tolist() if limit is None or self.courses[world].number < limit]
        if kept:
            observation = self.env.observe(np.array(kept, dtype=np.intp))
            shown = {camera: observation.render(camera) for camera in self.options.cameras}
            for row, world in enumerate(kept):
                images = {camera: frames[row] for camera, frames in shown.items()}
                self.courses[world].film.add(int(self.recording.length[world]), images)

    def _plan(self) -> None:
        """Ask the policy for the worlds whose chunk is used up."""
        empty = self.worlds[self.left[self.worlds] == 0]
        if not len(empty):
            return
        shown = self.agreement.observation(self.board.take(empty))
        began = time.perf_counter()
        answer = np.asarray(self.policy.act(shown), dtype=np.float64)
        self.recording.planned(empty, (time.perf_counter() - began) / len(empty))
        self.plan[empty] = _checked(answer, len(empty), self.policy.spec)[:, : self.policy.spec.execute]
        self.left[empty] = self.policy.spec.execute

    def _advance(self) -> None:
        """One control step of all running worlds."""
        self._plan()
        worlds = self.worlds
        clean = self.plan[worlds, self.policy.spec.execute - self.left[worlds]]
        self.left[worlds] -= 1
        executed = self._executed(worlds, clean)
        actions = np.zeros((self.env.n, self.env_size))
        actions[worlds] = self.agreement.actions(executed)
        step = self.env.step(actions)
        self.recording.stepped(worlds, clean, executed, step)
        self._observe(worlds, self.env.observe(worlds))
        self._finish(step)

    def _executed(self, worlds: Ids, clean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the clean actions (k, a), with noise on the arm where the episode is perturbed."""
        if not self.perturbed[worlds].any():
            return clean
        convention = self.policy.spec.convention
        limits = np.zeros(clean.shape[1])
        limits[:3] = POSITION_LIMIT / convention.position_unit
        limits[3:6] = ROTATION_LIMIT / convention.rotation_unit
        noise = self.options.perturb_std * limits * self.noise[worlds, self.recording.length[worlds]]
        return np.where(self.perturbed[worlds, None], clean + noise, clean)

    def _finish(self, step: Step) -> None:
        """Close the episodes that ended and begin new ones in their worlds."""
        worlds, length = self.worlds, self.recording.length[self.worlds]
        ended = step.terminated[worlds] | step.truncated[worlds] | (length >= self.env.spec.horizon)
        if self.options.stop_held is not None:
            ended |= self.recording.held[worlds] >= self.options.stop_held
        if step.errors:
            ended |= np.isin(worlds, list(step.errors))
        free = worlds[ended]
        if not len(free):
            return
        if self.options.cameras:
            lasts = [(self.courses[world].film.steps or [-1])[-1] for world in free.tolist()]
            self._record_frames(free[np.array(lasts) < self.recording.length[free]])
        for world in free.tolist():
            course = self.courses.pop(world)
            self.finished[course.number] = episode(
                self.env,
                self.recording.cut(world),
                course.film,
                seed=course.seed,
                draw=course.draw,
                instruction=course.instruction,
                terminated=bool(step.terminated[world]),
                error=step.errors.get(world),
            )
        self._start(free)


def _sizes(policy: Policy, env: Env, options: RolloutOptions) -> tuple[int, int]:
    """Return how many numbers an action of the policy and of the environment has."""
    ours, theirs = (convention.action_size or 7 for convention in (policy.spec.convention, env.spec.convention))
    if options.perturb_share > 0 and ours != 7:
        raise UserError(
            f"Actions of {policy.spec.name!r} have {ours} numbers ({policy.spec.convention.rotation}); only actions "
            "whose rotation is three angles can be perturbed. Leave the perturbation out."
        )
    return ours, theirs


def _checked(answer: NDArray[np.float64], count: int, spec: PolicySpec) -> NDArray[np.float64]:
    """Return a policy's answer as chunks (k, chunk, a); a wrong shape and numbers that are not finite are refused."""
    chunks, size = answer[:, None] if answer.ndim == 2 else answer, spec.convention.action_size or 7
    if chunks.shape != (count, spec.chunk, size):
        raise UserError(
            f"Policy {spec.name!r} returned actions of shape {answer.shape} for {count} worlds; "
            f"expected ({count}, {spec.chunk}, {size}) as its spec says."
        )
    if not np.isfinite(chunks).all():
        raise UserError(
            f"Policy {spec.name!r} returned actions that are not finite (NaN or infinity). "
            "Its weights or its normalization statistics are damaged; train or export it again."
        )
    return chunks

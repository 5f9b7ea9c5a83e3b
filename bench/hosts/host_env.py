"""The `Env` of the hosts: n worlds of another simulator, judged by the host, described in the terms of our task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.hosts.world import World
from sim.conventions import CANONICAL
from sim.episodes import EnvSpec, Ids, Images, Observation, Step
from sim.errors import UserError, unknown
from sim.state import State
from tasks.env import canonical_state
from tasks.task import Task

CAMERAS = ("image",)

START = np.array([0.0] * 6 + [1.0])
"""The action that counts as the one before the first: at rest, gripper open."""


@dataclass
class _Course:
    """What is remembered of the episode that runs in one world."""

    seed: int
    steps: int = 0
    lifted_for: int = 0
    ended: bool = False


class HostEnv:
    """n worlds of one host environment behind the batched `Env` protocol. Every world is an environment of its own."""

    def __init__(
        self, worlds: Sequence[World], task: Task, *, host: str, host_task: str, horizon: int, stop_lifted: int | None
    ) -> None:
        """Take over `worlds`. With `stop_lifted`, an episode ends once our task held for so many steps."""
        self.n, self.task, self._worlds, self._stop = len(worlds), task, list(worlds), stop_lifted
        self._spec = EnvSpec(
            task=task.id,
            host=host,
            host_task=host_task,
            convention=CANONICAL,
            horizon=horizon,
            engine=worlds[0].engine,
            adapters=worlds[0].adapters,
        )
        self._courses = [_Course(seed=0, ended=True) for _ in worlds]
        self._states = [world.state() for world in worlds]
        self._previous = np.zeros((self.n, 7))

    @property
    def spec(self) -> EnvSpec:
        """What it is."""
        return self._spec

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin the host's episode of `seeds[k]` in world `ids[k]`."""
        for world, seed in zip(ids, seeds, strict=True):
            self._worlds[world].reset(seed)
            self._courses[world] = _Course(seed=seed)
            self._states[world] = self._worlds[world].state()
            self._previous[world] = START

    def state(self, ids: Ids) -> State:
        """Return the state of these worlds (k) in our terms."""
        return stacked([self._states[world] for world in ids])

    def observe(self, ids: Ids) -> Observation:
        """Return what these worlds show; frames are rendered when asked for, of the worlds as they are then."""
        state, courses = self.state(ids), [self._courses[world] for world in ids]
        return Observation(
            ids=np.asarray(ids, dtype=np.intp),
            seeds=tuple(course.seed for course in courses),
            steps=np.array([course.steps for course in courses], dtype=np.intp),
            state=canonical_state(state),
            privileged=np.asarray(self.task.privileged(state), dtype=np.float32),
            instructions=tuple(self._instruction(course.seed)[0] for course in courses),
            render=lambda camera: self._render(ids, camera),
        )

    def _instruction(self, seed: int) -> tuple[str, str]:
        return self.task.instruction(seed, color="red")

    def _render(self, ids: Ids, camera: str) -> Images:
        if camera not in CAMERAS:
            raise unknown("camera", camera, CAMERAS, hint=f"{self._spec.host} shows no other view here.")
        return np.stack([self._worlds[world].image(camera) for world in ids])

    def step(self, actions: NDArray[np.float64]) -> Step:
        """Execute canonical actions (n, 7); worlds whose episode has ended stand still."""
        errors: dict[int, str] = {}
        for world, course in enumerate(self._courses):
            if not course.ended:
                self._advance(world, course, actions[world], errors)
        state = self.state(np.arange(self.n))
        terms = {name: np.asarray(v, dtype=np.float64) for name, v in self._terms(state, actions).items()}
        reward = np.asarray(sum(weight * terms[name] for name, weight in self.task.weights.items()), dtype=np.float64)
        self._previous = np.array(actions, dtype=np.float64)
        lifted = terms["lifted"] > 0
        return Step(
            terms=terms,
            reward=np.broadcast_to(reward, (self.n,)),
            success=np.array([world.success() for world in self._worlds]),
            terminated=self._terminated(lifted),
            truncated=np.array([course.steps >= self._spec.horizon for course in self._courses]),
            errors=errors,
        )

    def _advance(self, world: int, course: _Course, action: NDArray[np.float64], errors: dict[int, str]) -> None:
        """One control step of one world; a state that cannot be trusted is an error and ends the episode."""
        if not np.isfinite(action).all():
            raise UserError(f"The policy's action for world {world} is not finite: {action.tolist()}.")
        self._worlds[world].step(action)
        course.steps += 1
        state = self._worlds[world].state()
        fault = self._worlds[world].fault() or _not_finite(state)
        if fault is None:
            self._states[world] = state
        else:
            errors[world], course.ended = fault, True

    def _terms(self, state: State, actions: NDArray[np.float64]) -> dict[str, Any]:
        """Return the task's terms and "lifted", our task's own success: the measure that all hosts have in common."""
        terms = dict(self.task.terms(state, actions, self._previous))
        return terms | {"lifted": self.task.success(state)}

    def _terminated(self, lifted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        for course, up in zip(self._courses, lifted, strict=True):
            course.lifted_for = course.lifted_for + 1 if up else 0
        return np.array([self._stop is not None and course.lifted_for >= self._stop for course in self._courses])

    def draw(self, world: int) -> dict[str, Any]:
        """Return what the episode in `world` drew, measured after the reset, as JSON."""
        state, target = self._states[world], self.task.target
        return {
            "instruction.template": self._instruction(self._courses[world].seed)[1],
            f"{target}.pose": [float(x) for x in state.poses[target][0]],
            f"{target}.half_size": [float(x) for x in state.half_sizes[target][0]],
            "robot.q": [float(x) for x in state.q[0]],
            "table.height": float(state.table[0]),
            **self._worlds[world].extras(),
        }

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        """Return "tcp" poses (k, 7), "joints" (k, 7), "contact" (k,), "table" (k,) and "object/<name>" poses (k, 7)."""
        state = self.state(ids)
        return {
            "tcp": state.tcp,
            "joints": state.q,
            "contact": state.contact,
            "table": state.table,
            **{f"object/{name}": pose for name, pose in state.poses.items()},
        }

    def close(self) -> None:
        """Free every world."""
        for world in self._worlds:
            world.close()


def stacked(states: Sequence[State]) -> State:
    """Return the states of several worlds as one batch."""
    joined: dict[str, Any] = {}
    for entry in fields(State):
        values = [getattr(state, entry.name) for state in states]
        if isinstance(values[0], dict):
            joined[entry.name] = {name: np.concatenate([value[name] for value in values]) for name in values[0]}
        elif values[0] is not None:  # What this host does not tell keeps its default.
            joined[entry.name] = np.concatenate(values)
    return State(**joined)


def _not_finite(state: State) -> str | None:
    arrays = (state.q, state.qd, state.tcp, *state.poses.values())
    return None if all(np.isfinite(array).all() for array in arrays) else "the simulated state is not finite"

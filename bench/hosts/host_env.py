"""The `Env` of the hosts: n worlds of another simulator, judged by the host, described in the terms of our task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.hosts.states import PARTS, measured_draw, not_finite, renamed, stacked, with_absent, without_others
from bench.hosts.world import World
from bench.variation import Changes, drawn_changes
from sim.appearance import CAMERAS
from sim.conventions import CANONICAL
from sim.episodes import SHOWN, EnvSpec, Ids, Images, Observation, Step
from sim.errors import UserError, unknown
from sim.state import State
from tasks.noise import START
from tasks.proprioception import canonical_state
from tasks.randomization import Knob
from tasks.targets import grasped
from tasks.task import Task

TARGET = "target"
"""The role that worlds call the task's target by; some tasks call its slot otherwise."""


@dataclass
class _Course:
    """What is remembered of the episode that runs in one world."""

    seed: int
    # The sentence, and the id of its template.
    sentence: tuple[str, str] = ("", "")
    steps: int = 0
    held_for: int = 0
    ended: bool = False


class HostEnv:
    """n worlds of one host environment behind the batched `Env` protocol. Every world is an environment of its own."""

    def __init__(
        self,
        worlds: Sequence[World],
        task: Task,
        *,
        host: str,
        host_task: str,
        horizon: int,
        stop_lifted: int | None,
        image_size: int,
    ) -> None:
        """Take over `worlds`, whose frames are `image_size` pixels wide and high.

        With `stop_lifted`, an episode ends once our task held for so many steps.
        """
        self.n, self.task, self._worlds, self._stop = len(worlds), task, list(worlds), stop_lifted
        self._spec = EnvSpec(
            task=task.id,
            host=host,
            host_task=host_task,
            convention=replace(CANONICAL, image_size=image_size),
            horizon=horizon,
            engine=worlds[0].engine,
            adapters=worlds[0].adapters,
            offers=SHOWN | set(CAMERAS),
        )
        self._laws: tuple[Knob, ...] = ()
        self._courses = [_Course(seed=0, ended=True) for _ in worlds]
        self._states = [self._read(world) for world in worlds]
        self._previous = np.zeros((self.n, 7))

    @property
    def spec(self) -> EnvSpec:
        """What it is."""
        return self._spec

    @property
    def knobs(self) -> frozenset[str]:
        """Paths that `vary` takes, with "target" for the task's target."""
        return self._worlds[0].knobs

    def vary(self, laws: Sequence[Knob]) -> None:
        """Let every episode from the next reset on draw these laws; none: the host as it is.

        A law applies to the value that the host itself gives in the episode. One of a path that this host cannot
        change is refused.
        """
        for law in laws:
            if self._role(law.path) not in self.knobs:
                hint = f"{self._spec.host}:{self._spec.host_task} can change no other."
                raise unknown("path of a variation", law.path, self.knobs, hint=hint)
        self._laws = tuple(replace(law, path=self._role(law.path)) for law in laws)
        self._states = [self._read(world) for world in self._worlds]

    def _role(self, path: str) -> str:
        """Return a path of the task as worlds call it: "cube.color" is "target.color" where the target is the cube."""
        owner, _, rest = path.partition(".")
        return f"{TARGET}.{rest}" if owner == self.task.target and f"{TARGET}.{rest}" in self.knobs else path

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin the host's episode of `seeds[k]` in world `ids[k]`."""
        for world, seed in zip(ids, seeds, strict=True):
            changes: Changes = drawn_changes(self._laws, seed)
            self._worlds[world].reset(seed, changes)
            self._states[world] = self._read(self._worlds[world])
            self._courses[world] = _Course(seed, self.task.host_sentence(seed, self._worlds[world].things()))
            self._previous[world] = START

    def _read(self, world: World) -> State:
        """Return the state of a world with the target under the task's own name for it.

        Where the number of other objects is drawn, all have a place in the state, so that worlds can be one batch.
        """
        drawn = any(law.path == "others.count" for law in self._laws)
        state = (with_absent if drawn else without_others)(world.state())
        if self.task.target == TARGET or TARGET not in state.poses:
            return state
        return replace(state, **{part: self._named(getattr(state, part)) for part in PARTS})

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.task.target if name == TARGET else name: value for name, value in values.items()}

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
            instructions=tuple(course.sentence[0] for course in courses),
            render=lambda camera: self._render(ids, camera),
        )

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
        return Step(
            terms=terms,
            reward=np.broadcast_to(reward, (self.n,)),
            success=np.array([world.success() for world in self._worlds]),
            terminated=self._terminated(terms["task_success"] > 0),
            truncated=np.array([course.steps >= self._spec.horizon for course in self._courses]),
            errors=errors,
        )

    def _advance(self, world: int, course: _Course, action: NDArray[np.float64], errors: dict[int, str]) -> None:
        """One control step of one world; a state that cannot be trusted is an error and ends the episode."""
        if not np.isfinite(action).all():
            raise UserError(f"The policy's action for world {world} is not finite: {action.tolist()}.")
        self._worlds[world].step(action)
        course.steps += 1
        state = self._read(self._worlds[world])
        fault = self._worlds[world].fault() or not_finite(state)
        if fault is None:
            self._states[world] = state
        else:
            errors[world], course.ended = fault, True

    def _terms(self, state: State, actions: NDArray[np.float64]) -> dict[str, Any]:
        """Return the task's terms and "task_success", our task's own rule: the measure that all hosts have in common.

        Of a lift it is "lifted" too, the name that logs of lifts have had from the beginning.
        """
        own = self.task.success(state)
        found = dict(self.task.terms(state, actions, self._previous)) | {"task_success": own}
        return found | ({"lifted": own} if self.task.id.startswith("lift_") else {})

    def _terminated(self, succeeded: NDArray[np.bool_]) -> NDArray[np.bool_]:
        for course, now in zip(self._courses, succeeded, strict=True):
            course.held_for = course.held_for + 1 if now else 0
        return np.array([self._stop is not None and course.held_for >= self._stop for course in self._courses])

    def rest(self, ids: Ids) -> None:
        """Let these worlds stand still until their next reset."""
        for world in ids:
            self._courses[world].ended = True

    def draw(self, world: int) -> dict[str, Any]:
        """Return what the episode in `world` drew, measured after the reset, and the changes made to it, as JSON."""
        state, simulated = self._states[world], self._worlds[world]
        named = {TARGET: self.task.target} if self.task.target in state.poses else {}
        return {
            "instruction.template": self._courses[world].sentence[1],
            **measured_draw(state),
            **renamed({f"{thing.name}.color": thing.color for thing in simulated.things() if thing.color}, named),
            **simulated.extras(),
            **renamed(simulated.changed(), named),
        }

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        """Return "tcp", "object/<name>" and "fixture/<name>" poses (k, 7), "joints" (k, 7) and (k,) of all the rest."""
        state = self.state(ids)
        return {
            "tcp": state.tcp,
            "joints": state.q,
            "contact": state.contact,
            "table": state.table,
            **{f"object/{name}": pose for name, pose in state.poses.items()},
            **{f"fixture/{name}": pose for name, pose in state.fixtures.items()},
            **{f"joint/{name}": position for name, position in state.joints.items()},
        }

    def points(self, ids: Ids, *, camera: str = "image") -> NDArray[np.float64]:
        """Return where the target and the TCP lie in the frame, (k, 2, 2): x right, y down, as shares of the frame.

        Of a target that is a fixture it is the place where it is grasped. The order is that of datasets' "points".
        """
        state = self.state(ids)
        pairs = np.stack([grasped(self.task, state), state.tcp[:, :3]], axis=1)
        cameras = [self._worlds[world].pinhole(camera) for world in ids]
        return np.stack([seen.project(pair) for seen, pair in zip(cameras, pairs, strict=True)])

    def close(self) -> None:
        """Free every world."""
        for world in self._worlds:
            world.close()

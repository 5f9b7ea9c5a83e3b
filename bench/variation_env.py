"""What an arm varies around any environment: late and noisy actions, noisy sensors, worse images, another sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config import BenchConfig, HostTask
from bench.hosts.registry import OWN, make_host
from bench.variation import NOMINAL, WRAPPED, Arm, Varying, applied, drawn_changes
from bench.variation_sentence import Said, said
from bench.variation_task import OwnEnv
from sim.episodes import Env, EnvSpec, Ids, Images, Observation, Resting, Step
from sim.errors import UserError
from sim.image_effects import EFFECTS, apply_effects
from sim.rotations import canonical_sign, from_axis_angle, multiply, wxyz_to_xyzw, xyzw_to_wxyz
from sim.streams import frame_seed, generator
from tasks.noise import NOISY, START
from tasks.task import Task

NEUTRAL: Mapping[str, float | str] = {
    # Control steps by which actions come late.
    "action.latency": 0.0,
    # Standard deviation of the arm's actions, as a share of their limits.
    "action.noise": 0.0,
    # Standard deviations of the measured TCP position, m, and orientation, rad, and of privileged values, m.
    "state.position_noise": 0.0,
    "state.rotation_noise": 0.0,
    "privileged.noise": 0.0,
    # See `sim.image_effects`.
    "image.exposure": 1.0,
    "image.noise": 0.0,
    "image.blur": 0.0,
    "image.jpeg": 0.0,
    # See `bench.variation_sentence`.
    "sentence.form": "right",
}
"""What leaves an environment as it is."""


@dataclass
class _Course:
    """The episode that runs in one world: its seed, how it is varied, and the actions that are still on their way."""

    seed: int = 0
    steps: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    said: Said | None = None
    sent: list[NDArray[np.float64]] = field(default_factory=list)


class VariedEnv:
    """An environment with an arm laid over its episodes; under the nominal arm it is the environment itself."""

    def __init__(self, env: Env, task: Task) -> None:
        """Take over `env`, which speaks of `task`."""
        self.env, self.task, self.n, self.arm = env, task, env.n, NOMINAL
        self._courses = [_Course() for _ in range(env.n)]

    @property
    def spec(self) -> EnvSpec:
        """What the environment is."""
        return self.env.spec

    @property
    def knobs(self) -> frozenset[str]:
        """Paths that can be turned here."""
        return WRAPPED | (self.env.knobs if isinstance(self.env, Varying) else frozenset())

    def vary(self, arm: Arm) -> None:
        """Lay `arm` over every episode from the next reset on; a law that cannot be turned here is refused."""
        missing = sorted({law.path for law in arm.laws} - self.knobs)
        if missing:
            raise UserError(
                f"{self.spec.host}:{self.spec.host_task} cannot turn {', '.join(missing)}, so the axis {arm.axis} is "
                "not available here. Leave it out: name the others with --axes."
            )
        self.arm = arm
        if isinstance(self.env, Varying):
            self.env.vary(arm.hosted)

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin the episode of `seeds[k]` in world `ids[k]`, varied as the arm's laws and the seed say."""
        self.env.reset(ids, seeds)
        for world, seed in zip(ids, seeds, strict=True):
            changes = drawn_changes(self.arm.wrapped, seed)
            values = {path: applied(change, NEUTRAL[path], path=path) for path, change in changes.items()}
            late = int(float(str(values.get("action.latency", 0.0))))
            self._courses[world] = _Course(seed, values=values, sent=[START.copy()] * late)

    def observe(self, ids: Ids) -> Observation:
        """Return what these worlds show, as the arm lets it be seen."""
        shown = self.env.observe(ids)
        if not self.arm.wrapped:
            return shown
        courses = [self._courses[world] for world in ids]
        for world, course, sentence in zip(ids, courses, shown.instructions, strict=True):
            if course.said is None:
                course.said = self._said(int(world), course, sentence)
        return replace(
            shown,
            state=np.stack([_state(row, course) for row, course in zip(shown.state, courses, strict=True)]),
            privileged=np.stack([_privileged(r, course) for r, course in zip(shown.privileged, courses, strict=True)]),
            instructions=tuple(course.said.text for course in courses if course.said is not None),
            render=lambda camera: _images(shown.render(camera), courses),
        )

    def _said(self, world: int, course: _Course, sentence: str) -> Said:
        form = course.values.get("sentence.form")
        if form is None:
            return Said(sentence, self.task.target)
        things = self.env.things(world) if isinstance(self.env, OwnEnv) else ()
        return said(self.task, sentence, form, course.seed, things=things)

    def step(self, actions: NDArray[np.float64]) -> Step:
        """Execute actions (n, 7), late and noisy where the arm says so."""
        if not self.arm.wrapped:
            return self.env.step(actions)
        executed = np.array(actions, dtype=np.float64)
        for world, course in enumerate(self._courses):
            course.sent.append(executed[world].copy())
            executed[world] = course.sent.pop(0)
            amount = course.values.get("action.noise", 0.0)
            if amount:
                stream = generator(course.seed, "axis", "action.noise", course.steps)
                executed[world] += amount * NOISY * stream.standard_normal(7)
            course.steps += 1
        return self.env.step(executed)

    def rest(self, ids: Ids) -> None:
        """Let these worlds stand still, where the environment can."""
        if isinstance(self.env, Resting):
            self.env.rest(ids)

    def draw(self, world: int) -> dict[str, Any]:
        """Return what the episode in `world` drew, and what the arm drew around it."""
        course, drawn = self._courses[world], self.env.draw(world)
        if "sentence.form" in course.values:
            if course.said is None:
                self.observe(np.array([world], dtype=np.intp))
            assert course.said is not None
            return {**drawn, **course.values, "sentence.names": course.said.names}
        return {**drawn, **course.values}

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        """Return the true measurements of these worlds, without any noise."""
        return self.env.snapshot(ids)

    def close(self) -> None:
        """Free the environment."""
        self.env.close()


def _state(row: NDArray[np.float32], course: _Course) -> NDArray[np.float32]:
    """Return the measured canonical state (8,) of a true one."""
    move, turn = (course.values.get(f"state.{name}_noise", 0.0) for name in ("position", "rotation"))
    if not move and not turn:
        return row
    noise = generator(course.seed, "axis", "state.noise", course.steps).standard_normal(6)
    measured = np.array(row, dtype=np.float64)
    measured[:3] += move * noise[:3]
    turned = multiply(from_axis_angle(turn * noise[3:]), xyzw_to_wxyz(measured[3:7]))
    measured[3:7] = canonical_sign(wxyz_to_xyzw(turned))
    return measured.astype(np.float32)


def _privileged(row: NDArray[np.float32], course: _Course) -> NDArray[np.float32]:
    """Return the measured privileged observation (p,) of a true one."""
    amount = course.values.get("privileged.noise", 0.0)
    if not amount:
        return row
    noise = generator(course.seed, "axis", "privileged.noise", course.steps).standard_normal(len(row))
    return np.asarray(row + amount * noise, dtype=np.float32)


def _images(frames: Images, courses: Sequence[_Course]) -> Images:
    """Return the frames (k, h, w, 3) as a worse camera shows them."""
    effects = {f"image.{name}": name for name in EFFECTS}
    return np.stack(
        [
            apply_effects(
                frame,
                **{name: float(course.values[path]) for path, name in effects.items() if path in course.values},
                seed=frame_seed(course.seed, course.steps),
            )
            for frame, course in zip(frames, courses, strict=True)
        ]
    )


def open_env(config: BenchConfig, host: HostTask, task: Task, *, n: int = 1) -> VariedEnv:
    """Return `n` worlds of a host for arms to be laid over.

    In a run of a suite our own engine draws by itself as little as the hosts do; else it is the held-out one.
    """
    if config.suite is not None and host.host == OWN:
        return VariedEnv(OwnEnv(task, n=n, image_size=config.image_size), task)
    made = make_host(
        host.host,
        host.host_task,
        task=task,
        n=n,
        image_size=config.image_size,
        horizon=config.horizon,
        stop_lifted=config.stop_lifted,
    )
    return VariedEnv(made, task)

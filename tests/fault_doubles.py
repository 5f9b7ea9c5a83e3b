"""An environment that counts its steps and may lie, policies that speak other conventions, and one that only sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from bench.picture_look import middle_of
from sim.adapters import adapt_actions
from sim.conventions import CANONICAL, POSITION_LIMIT, Convention
from sim.episodes import Env, EnvSpec, Observation, Policy, PolicySpec, Step
from sim.state_layouts import convert_state, parse_layout
from sim.streams import episode_seed
from tasks.env import TaskEnv, make_env

PRESET = "train[cube.position, cube.yaw, robot.q]"
SEEDS = tuple(episode_seed("benchmark", 3, i) for i in range(6))
STEPS = 12


@cache
def worlds(n: int = 1) -> TaskEnv:
    return make_env("lift_cube", n=n, preset=PRESET)


class Spy:
    """An environment that counts its steps, and tells and does other things than it says if asked to."""

    def __init__(
        self,
        env: Env | None = None,
        *,
        shows: Callable[[Observation], Observation] = lambda shown: shown,
        seeds: Callable[[Sequence[int]], Sequence[int]] = lambda seeds: seeds,
        acts: Callable[[np.ndarray], np.ndarray] = lambda actions: actions,
        **says: Any,
    ) -> None:
        self.env = env or worlds()
        self.n, self.steps = self.env.n, 0
        self._shows, self._seeds, self._acts = shows, seeds, acts
        convention = replace(CANONICAL, **{k: v for k, v in says.items() if k in Convention.__dataclass_fields__})
        spec = {name: value for name, value in says.items() if name in EnvSpec.__dataclass_fields__}
        self.spec = replace(self.env.spec, **{"convention": convention, "horizon": STEPS, **spec})

    def reset(self, ids: np.ndarray, seeds: Sequence[int]) -> None:
        self.env.reset(ids, self._seeds(seeds))

    def observe(self, ids: np.ndarray) -> Observation:
        return self._shows(self.env.observe(ids))

    def step(self, actions: np.ndarray) -> Step:
        self.steps += 1
        return self.env.step(self._acts(actions))

    def draw(self, world: int) -> dict[str, Any]:
        return self.env.draw(world)

    def snapshot(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        return self.env.snapshot(ids)

    def close(self) -> None:
        """The worlds are shared."""


class Speaking:
    """A good policy in another convention: it turns what it sees into its inner one's terms, and its actions back."""

    def __init__(self, inner: Policy, convention: Convention, **changes: Any) -> None:
        self.inner = inner
        self.spec = replace(inner.spec, convention=convention, **changes)
        self._say, _ = adapt_actions(CANONICAL, convention, action_only=True)

    def reset(self, ids: np.ndarray) -> None:
        self.inner.reset(ids)

    def act(self, observation: Observation) -> np.ndarray:
        ours, there = self.spec.convention, parse_layout(self.spec.convention.state)
        shown = observation
        if "state" in self.spec.inputs:
            shown = replace(shown, state=convert_state(shown.state, there, parse_layout(CANONICAL.state)))

        def render(camera: str) -> np.ndarray:
            frames = observation.render(camera)
            frames = frames[..., ::-1] if ours.channels == "bgr" else frames
            frames = frames[:, ::-1] if ours.first_row == "bottom" else frames
            frames = frames[:, :, ::-1] if ours.first_column == "right" else frames
            rim = (CANONICAL.image_size - frames.shape[1]) // 2
            return np.pad(frames, ((0, 0), (rim, rim), (rim, rim), (0, 0)))

        return self._say(np.asarray(self.inner.act(replace(shown, render=render)), dtype=np.float64))


class Seeing:
    """A policy that knows its state and the frame alone: it finds the red cube and goes above it.

    Where in the frame a place of the table appears is fitted to a few starts, as a calibration would be.
    """

    spec = PolicySpec("seeing", CANONICAL, frozenset({"image", "state", "instruction"}))

    def __init__(self, env: Env, *, starts: int = 10) -> None:
        one, rows, places = np.zeros(1, np.intp), [], []
        for i in range(starts):
            env.reset(one, [episode_seed("train", 0, i)])
            middle = middle_of(env.observe(one).render("image")[0], "red")
            if middle is not None:
                rows.append([*middle, 1.0])
                places.append(env.snapshot(one)["object/cube"][0, :2])
        self._fit = np.linalg.lstsq(np.array(rows), np.array(places), rcond=None)[0]

    def reset(self, ids: np.ndarray) -> None:
        """It remembers nothing."""

    def act(self, observation: Observation) -> np.ndarray:
        actions = np.zeros((len(observation.ids), 7))
        for row, frame in enumerate(observation.render("image")):
            middle = middle_of(frame, "red")
            state = observation.state[row].astype(np.float64)
            goal = state[:2] if middle is None else np.append(middle, 1.0) @ self._fit
            actions[row, :2] = goal - state[:2]
            actions[row, 2] = 0.08 - state[2] if middle is not None else 0.05
            actions[row, 3:6] = -0.5 * state[4] * np.array([0.0, 0.0, 1.0])
            actions[row, 6] = state[7] > 0.5
        limit = POSITION_LIMIT
        actions[:, :3] = np.clip(actions[:, :3], -limit, limit)
        return actions


@cache
def seeing() -> Seeing:
    return Seeing(worlds())

"""What happens in n worlds, written into arrays step by step and cut into episodes when they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.episodes import Env, Episode, Ids, Images, Observation, Step

Cut = Mapping[str, Any]
"""The arrays of one episode, by the names that `Episode` gives them."""


class Recording:
    """The running episode of each of n worlds: arrays (n, horizon, ...) that the worlds fill each at its own step."""

    def __init__(self, n: int, horizon: int, *, action_size: int = 7) -> None:
        """Make room for `horizon` steps in each of `n` worlds, with actions of so many numbers."""
        self._n, self._horizon = n, horizon
        # Steps taken since each episode began, (n,).
        self.length = np.zeros(n, dtype=np.intp)
        # Steps in a row, up to now, at which success held, (n,).
        self.held = np.zeros(n, dtype=np.intp)
        self._states = np.zeros((n, horizon + 1, 8), dtype=np.float32)
        self._actions = np.zeros((n, horizon, action_size), dtype=np.float32)
        self._executed = np.zeros((n, horizon, action_size), dtype=np.float32)
        self._rewards = np.zeros((n, horizon), dtype=np.float32)
        self._success = np.zeros((n, horizon), dtype=np.bool_)
        self._latencies = np.zeros((n, horizon))
        self._calls = np.zeros(n, dtype=np.intp)
        self._terms: dict[str, NDArray[np.float32]] = {}
        self._traces: dict[str, NDArray[Any]] = {}

    def begin(self, worlds: Ids) -> None:
        """New episodes begin in these worlds."""
        self.length[worlds] = self.held[worlds] = self._calls[worlds] = 0

    def observed(self, worlds: Ids, observation: Observation, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Note what these worlds show now: rows of `observation` and `snapshot` in the order of `worlds`."""
        now = self.length[worlds]
        self._states[worlds, now] = observation.state
        for name, values in snapshot.items():
            if name not in self._traces:
                shape = (self._n, self._horizon + 1, *values.shape[1:])
                self._traces[name] = np.zeros(shape, dtype=values.dtype)
            self._traces[name][worlds, now] = values

    def planned(self, worlds: Ids, seconds: float) -> None:
        """Note that a call of the policy, `seconds` per world, decided what these worlds do next."""
        self._latencies[worlds, self._calls[worlds]] = seconds
        self._calls[worlds] += 1

    def stepped(self, worlds: Ids, clean: NDArray[np.float64], executed: NDArray[np.float64], step: Step) -> None:
        """Note the clean and the executed actions (k, a) of these worlds, and what they brought."""
        now = self.length[worlds]
        self._actions[worlds, now] = clean
        self._executed[worlds, now] = executed
        self._rewards[worlds, now] = step.reward[worlds]
        self._success[worlds, now] = step.success[worlds]
        for name, values in step.terms.items():
            if name not in self._terms:
                self._terms[name] = np.zeros((self._n, self._horizon), dtype=np.float32)
            self._terms[name][worlds, now] = values[worlds]
        self.held[worlds] = np.where(step.success[worlds], self.held[worlds] + 1, 0)
        self.length[worlds] += 1

    def cut(self, world: int) -> Cut:
        """Return copies of the arrays of the episode in `world`."""
        steps = self.length[world]
        return {
            "states": self._states[world, : steps + 1].copy(),
            "actions": self._actions[world, :steps].copy(),
            "executed": self._executed[world, :steps].copy(),
            "rewards": self._rewards[world, :steps].copy(),
            "terms": {name: values[world, :steps].copy() for name, values in self._terms.items()},
            "success": self._success[world, :steps].copy(),
            "traces": {name: values[world, : steps + 1].copy() for name, values in self._traces.items()},
            "latencies": tuple(self._latencies[world, : self._calls[world]].tolist()),
        }


class Board:
    """What n worlds show now: each observation replaces the rows of its worlds, and any rows can be read."""

    def __init__(self, env: Env) -> None:
        """Start empty."""
        self._env = env
        self._seeds, self._sentences = [0] * env.n, [""] * env.n
        self._steps = np.zeros(env.n, dtype=np.intp)
        self._state = np.zeros((env.n, 8), dtype=np.float32)
        self._privileged: NDArray[np.float32] | None = None

    def put(self, observation: Observation) -> None:
        """Take over the rows of an observation."""
        ids = observation.ids
        if self._privileged is None:
            self._privileged = np.zeros((len(self._seeds), observation.privileged.shape[1]), dtype=np.float32)
        self._steps[ids], self._state[ids] = observation.steps, observation.state
        self._privileged[ids] = observation.privileged
        for world, seed, sentence in zip(ids.tolist(), observation.seeds, observation.instructions, strict=True):
            self._seeds[world], self._sentences[world] = seed, sentence

    def take(self, ids: Ids) -> Observation:
        """Return what these worlds show; frames are rendered if asked for."""
        assert self._privileged is not None
        worlds = ids.tolist()
        return Observation(
            ids=ids,
            seeds=tuple([self._seeds[world] for world in worlds]),
            steps=self._steps[ids],
            state=self._state[ids],
            privileged=self._privileged[ids],
            instructions=tuple([self._sentences[world] for world in worlds]),
            render=self._renderer(ids),
        )

    def _renderer(self, ids: Ids) -> Callable[[str], Images]:
        return lambda camera: self._env.observe(ids).render(camera)


@dataclass
class Film:
    """The frames of one episode, by camera, and the steps at which they were taken."""

    steps: list[int]
    frames: dict[str, list[Images]]

    def add(self, step: int, shown: Mapping[str, Images]) -> None:
        """Keep one frame per camera."""
        self.steps.append(step)
        for camera, image in shown.items():
            self.frames.setdefault(camera, []).append(image)


def episode(env: Env, cut: Cut, film: Film, **about: Any) -> Episode:
    """Return the finished episode; `about` gives seed, draw, instruction, how it ended."""
    frames = {camera: np.array(images) for camera, images in film.frames.items()}
    return Episode(spec=env.spec, frame_steps=tuple(film.steps), frames=frames, **cut, **about)

"""A task in an engine whose arrays live on a device: observations, rewards and ends never leave it. For training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from sim.conventions import CANONICAL
from sim.engine import Engine, make_engine
from sim.episodes import EnvSpec, Ids, Step
from sim.host_engine import on_host
from sim.soundness import faults
from sim.state import Array
from tasks import parts
from tasks.catalogue import load_task
from tasks.env import TaskEnv
from tasks.noise import MAX_LATENCY, START, episode_noise, finger_speed, latency, toward
from tasks.task import Task


class TensorEnv:
    """n worlds of one task; what an episode draws is what TaskEnv draws for the same seed."""

    def __init__(self, task: Task, engine: Engine, *, preset: str = "train") -> None:
        """Wrap `engine`, whose scene must be the task's."""
        self.task, self.engine, self.n, self._preset = task, engine, engine.n, preset
        made = engine.capabilities
        self.spec = EnvSpec(
            task.id, "demomill", task.id, CANONICAL, horizon=task.horizon, engine=f"{made.name} {made.version}"
        )
        self._nominal = task.scene.nominal()
        self._state = engine.state()
        self._xp, self._device = array_namespace(self._state.q), device(self._state.q)
        width = task.privileged(self._state).shape[1]
        zeros = np.zeros((self.n, task.horizon + 1, width))
        self._observation_noise, self._noise = self._put(zeros), self._put(np.zeros((self.n, task.horizon, 7)))
        self._previous = self._put(np.tile(START, (self.n, 1)))
        self._sent = self._put(np.tile(START, (MAX_LATENCY + 1, self.n, 1)))
        self._worlds = self._xp.arange(self.n, device=self._device)
        self._latency = self._xp.zeros_like(self._worlds)
        self._fingers, self._speed = self._put(np.ones(self.n)), self._put(np.ones(self.n))
        self._steps = self._xp.zeros_like(self._worlds)

    def _put(self, values: NDArray[np.float64]) -> Array:
        """Return numbers as an array on the device, of the state's precision."""
        return self._xp.asarray(values, dtype=self._state.q.dtype, device=self._device)

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin the episode of `seeds[k]` in world `ids[k]`."""
        values = [self._nominal | self.task.draw(seed, preset=self._preset, visual=False) for seed in seeds]
        self.engine.reset(np.asarray(ids, dtype=np.intp), values)
        index = self._xp.asarray(np.asarray(ids, dtype=np.int64), device=self._device)
        late = [latency(drawn["action.latency"]) for drawn in values]
        self._latency[index] = self._xp.asarray(np.array(late, dtype=np.int64), device=self._device)
        self._speed[index] = self._put(np.array([finger_speed(drawn["gripper.speed"]) for drawn in values]))
        self._fingers[index] = self._put(np.array([drawn["gripper.opening"] for drawn in values], dtype=np.float64))
        for path, noise in (("action.noise", self._noise), ("observation.noise", self._observation_noise)):
            rows = [
                episode_noise(path, drawn, task=self.task.id, seed=seed, shape=tuple(noise.shape[1:]))
                for drawn, seed in zip(values, seeds, strict=True)
            ]
            noise[index] = self._put(np.stack(rows))
        self._steps[index] = 0
        start = self._put(START)
        self._previous[index] = start
        self._sent[:, index] = start
        self._state = self.engine.state()

    def privileged(self) -> Array:
        """Return the privileged observation of all worlds (n, p), float32, with the episode's observation noise."""
        row = self._xp.clip(self._steps, 0, self.task.horizon)
        seen = self.task.privileged(self._state) + self._observation_noise[self._worlds, row]
        return self._xp.astype(seen, self._xp.float32)

    def step(self, actions: Array) -> Step:
        """Execute canonical actions (n, 7), an array on the device; so are the arrays of the answer."""
        xp = self._xp
        actions = xp.astype(actions, self._state.q.dtype)
        self._sent = xp.concat([actions[None], self._sent[:-1]], axis=0)
        row = xp.clip(self._steps, 0, self.task.horizon - 1)
        command = self._sent[self._latency, self._worlds] + self._noise[self._worlds, row]
        self._fingers = command[:, 6] = toward(self._fingers, command[:, 6], self._speed)
        self._state = self.engine.step(command)
        self._steps = self._steps + 1
        terms = self.task.terms(self._state, actions, self._previous)
        self._previous = actions
        return Step(
            terms=terms,
            reward=sum(self.task.weights[name] * values for name, values in terms.items()),
            success=self.task.success(self._state),
            terminated=parts.thrown(self._state),
            truncated=self._steps >= self.task.horizon,
            errors=self._errors(),
        )

    def _errors(self) -> dict[int, str]:
        """Return which worlds cannot be trusted any more; one look at the device tells whether there are any."""
        xp = self._xp
        wrong = xp.asarray(self.engine.diverged(), device=self._device)
        for _, where in faults(self._state):
            wrong = wrong | where
        if not bool(xp.any(wrong)):
            return {}
        return {int(world): "the simulation cannot be trusted" for world in self._worlds[wrong]}

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()


def make_training_env(
    name: str, *, n: int, engine: str = "mujoco", preset: str = "train", device: str | None = None
) -> TaskEnv | TensorEnv:
    """Return `n` worlds of the task `name` for training: on the engine's device where its arrays live on one."""
    task = load_task(name)
    worlds = make_engine(engine, task.scene, n=n, device=device)
    if worlds.capabilities.arrays == "torch":
        return TensorEnv(task, worlds, preset=preset)
    return TaskEnv(task, on_host(worlds), preset=preset)

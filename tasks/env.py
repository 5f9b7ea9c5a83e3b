"""A task in our own engine, as the batched environment that experts, collectors and benchmarks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.conventions import CANONICAL
from sim.engine import Drawing, Engine, Keeping, Values, make_engine
from sim.episodes import SHOWN, EnvSpec, Ids, Images, Observation, Resting, Step
from sim.host_engine import on_host
from sim.scene import Value
from sim.soundness import faults
from sim.streams import episode_seed, frame_seed
from tasks import parts
from tasks.catalogue import load_task
from tasks.noise import MAX_LATENCY, START, episode_noise, finger_speed, latency, toward
from tasks.proprioception import canonical_state as canonical_state
from tasks.targets import TARGET, grasped
from tasks.task import Task

if TYPE_CHECKING:
    from sim.renderer import Renderer


class TaskEnv:
    """n worlds of one task in one engine; each episode depends on its seed alone."""

    def __init__(self, task: Task, engine: Engine, *, preset: str = "train", image_size: int = 256) -> None:
        """Wrap `engine`, whose scene must be the task's; frames are `image_size` pixels wide and high."""
        self.task, self.engine, self.n = task, engine, engine.n
        self._preset, self._size = preset, image_size
        self._renderer: Renderer | None = None
        capabilities = engine.capabilities
        self.spec = EnvSpec(
            task=task.id,
            host="demomill",
            host_task=task.id,
            convention=replace(CANONICAL, image_size=image_size),
            horizon=task.horizon,
            engine=f"{capabilities.name} {capabilities.version}",
            offers=SHOWN | {"wrist_image"},
            placement="random" if _differs(task, preset) else "fixed",
        )
        self._nominal = task.scene.nominal()
        self._seeds = [0] * self.n
        self._sentences: list[str | None] = [None] * self.n
        self._steps = np.zeros(self.n, dtype=np.intp)
        self._previous = np.zeros((self.n, 7))
        # The last actions, newest first (MAX_LATENCY + 1, n, 7), and how many steps old the executed one is (n,).
        self._sent = np.zeros((MAX_LATENCY + 1, self.n, 7))
        self._latency = np.zeros(self.n, dtype=np.intp)
        # Set points of the fingers, 0 closed to 1 open, and how fast they move, (n,).
        self._fingers, self._speed = np.ones(self.n), np.ones(self.n)
        self._noise = np.zeros((self.n, task.horizon, 7))
        self._state = engine.state()
        width = task.privileged(self._state).shape[1]
        self._observation_noise = np.zeros((self.n, task.horizon + 1, width))
        if isinstance(engine, Keeping):  # It hears what episodes may ask for, from those of a seed of its own.
            engine.stock([self._drawn(episode_seed("train", 1023, i)) for i in range(1024)])
        self.last_errors: dict[int, str] = {}

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin the episode of `seeds[k]` in world `ids[k]`."""
        values = []
        for world, seed in zip(ids, seeds, strict=True):
            drawn = (wanted := self._drawn(seed)) | self._fixed(int(world), wanted)
            values.append(drawn)
            self._seeds[world], self._sentences[world] = seed, None
            self._latency[world] = latency(drawn["action.latency"])
            self._speed[world] = finger_speed(drawn["gripper.speed"])
            self._fingers[world] = drawn["gripper.opening"]
            self._draw_noise(int(world), seed, drawn)
        self.engine.reset(np.asarray(ids, dtype=np.intp), values)
        self._steps[ids] = 0
        self._previous[ids] = START
        self._sent[:, ids] = START
        self._state = self.engine.state()

    def _drawn(self, seed: int) -> dict[str, Value]:
        """Return every physical value of an episode, as it is drawn."""
        return self._nominal | self.task.draw(seed, preset=self._preset, visual=False)

    def _fixed(self, world: int, values: Values) -> dict[str, Value]:
        """Return what `world` has in the place of some drawn values; nothing in most engines."""
        return dict(self.engine.fixed_values(world, values)) if isinstance(self.engine, Keeping) else {}

    def _draw_noise(self, world: int, seed: int, drawn: Values) -> None:
        """Draw the whole episode's actuation and observation noise at once, each from its own stream."""
        for path, noise in (("action.noise", self._noise), ("observation.noise", self._observation_noise)):
            noise[world] = episode_noise(path, drawn, task=self.task.id, seed=seed, shape=noise.shape[1:])

    def rest(self, ids: Ids) -> None:
        """Let these worlds stand still until their next reset, where the engine can."""
        if isinstance(self.engine, Resting):
            self.engine.rest(ids)

    def privileged(self) -> NDArray[np.float32]:
        """Return the privileged observation of all worlds (n, p), with the episode's observation noise."""
        noise = self._observation_noise[np.arange(self.n), np.minimum(self._steps, self.task.horizon)]
        return np.asarray(self.task.privileged(self._state) + noise, dtype=np.float32)

    def observe(self, ids: Ids) -> Observation:
        """Return what these worlds show."""
        return Observation(
            ids=ids,
            seeds=tuple(self._seeds[i] for i in ids),
            steps=self._steps[ids].copy(),
            state=canonical_state(self._state)[ids],
            privileged=self.privileged()[ids],
            instructions=tuple(self._instruction(int(i)) for i in ids),
            render=lambda camera: self._render(ids, camera),
        )

    def _instruction(self, world: int) -> str:
        """Return the sentence of the episode in `world`, drawn when it is first asked for."""
        sentence = self._sentences[world]
        if sentence is None:
            sentence = self.task.sentence(self._seeds[world], preset=self._preset)[0]
            self._sentences[world] = sentence
        return sentence

    def _render(self, ids: Ids, camera: str) -> Images:
        """Render these worlds as their episodes look, in the engine if it was made with cameras."""
        looks = [self._nominal | self.draw(int(i)) for i in ids]
        if self.engine.capabilities.renders and isinstance(self.engine, Drawing):
            return self.engine.render(ids, looks, camera=camera)
        if self._renderer is None:
            from sim.renderer import Renderer

            self._renderer = Renderer(self.task.scene, size=self._size)
        positions = self.engine.positions()
        frames = [
            self._renderer.render(
                positions[i],
                look,
                camera=camera,
                noise_seed=frame_seed(self._seeds[i], int(self._steps[i])),
            )
            for i, look in zip(ids, looks, strict=True)
        ]
        return np.stack(frames)

    def step(self, actions: NDArray[np.float64]) -> Step:
        """Execute canonical actions (n, 7)."""
        worlds, row = np.arange(self.n), np.minimum(self._steps, self.task.horizon - 1)
        self._sent = np.concatenate([np.asarray(actions, dtype=np.float64)[None], self._sent[:-1]])
        command = self._sent[self._latency, worlds] + self._noise[worlds, row]
        self._fingers = command[:, 6] = toward(self._fingers, command[:, 6], self._speed)
        self._state = self.engine.step(command)
        self._steps += 1
        terms = {k: np.asarray(v) for k, v in self.task.terms(self._state, actions, self._previous).items()}
        self._previous = np.array(actions)
        reward = sum(self.task.weights[name] * values for name, values in terms.items())
        self.last_errors = self._errors()
        return Step(
            terms=terms,
            reward=np.asarray(reward, dtype=np.float64),
            success=np.asarray(self.task.success(self._state)),
            terminated=np.asarray(parts.thrown(self._state)),
            truncated=self._steps >= self.task.horizon,
            errors=self.last_errors,
        )

    def _errors(self) -> dict[int, str]:
        """Return why worlds cannot be trusted any more; the first reason found stands."""
        found: dict[int, str] = {}
        for why, where in [("the physics diverged", self.engine.diverged()), *faults(self._state)]:
            for world in np.flatnonzero(np.asarray(where)).tolist():
                found.setdefault(world, f"{why} at step {self._steps[world]} (seed {self._seeds[world]})")
        return found

    def draw(self, world: int) -> dict[str, Any]:
        """Return every value that the episode in `world` drew, visual ones included."""
        drawn = self.task.draw(self._seeds[world], preset=self._preset)
        return drawn | self._fixed(world, self._nominal | drawn)

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        """Return measurements of these worlds: TCP pose, joints, positions, contact force, objects' positions."""
        state = self._state
        return {
            "tcp": np.asarray(state.tcp)[ids],
            "joints": np.asarray(state.q)[ids],
            "contact": np.asarray(state.contact)[ids],
            "table": np.asarray(state.table)[ids],
            "positions": self.engine.positions()[ids],
            **{f"object/{name}": np.asarray(pose)[ids] for name, pose in state.poses.items()},
            **({} if self.task.target in state.poses else {TARGET: grasped(self.task, state)[ids]}),
        }

    def close(self) -> None:
        """Free engine and renderer."""
        self.engine.close()
        if self._renderer is not None:
            self._renderer.close()


def _differs(task: Task, preset: str) -> bool:
    """Return whether two episodes of the preset start differently."""
    first, second = (task.draw(seed, preset=preset, visual=False) for seed in (0, 1))
    return first != second


def make_env(
    name: str,
    *,
    n: int,
    engine: str = "mujoco",
    preset: str = "train",
    threads: int | None = None,
    image_size: int = 256,
    device: str | None = None,
) -> TaskEnv:
    """Return `n` worlds of the task `name` under a randomization preset."""
    task = load_task(name)
    worlds = make_engine(engine, task.scene, n=n, threads=threads, device=device)
    return TaskEnv(task, on_host(worlds), preset=preset, image_size=image_size)

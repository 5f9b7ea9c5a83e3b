"""n worlds of a task in Gymnasium's terms: spaces, seeds, infos. The environment classes are made of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from sim.conventions import scaled
from sim.episodes import Ids, Images, Step
from sim.errors import unknown
from sim.streams import EPISODES_PER_SEED, SPLIT_SEEDS
from tasks.catalogue import load_task
from tasks.env import make_env

OBSERVATIONS = ("privileged", "pixels")
RENDER_MODES = ("rgb_array",)
TRAIN_EPISODES = EPISODES_PER_SEED * SPLIT_SEEDS["train"]

Info = dict[str, Any]


class Worlds:
    """n worlds of a task in Gymnasium's terms: what both environment classes are made of."""

    def __init__(
        self,
        task: str,
        *,
        n: int,
        preset: str = "train",
        observation: str = "privileged",
        image_size: int = 256,
        engine: str = "mujoco",
        threads: int | None = None,
    ) -> None:
        """Build the worlds. `observation` is "privileged", a vector, or "pixels", an image and the robot's state."""
        if observation not in OBSERVATIONS:
            raise unknown("observation", observation, OBSERVATIONS)
        load_task(task).selection(preset)
        self.env = make_env(task, n=n, engine=engine, preset=preset, threads=threads, image_size=image_size)
        self.horizon, self._pixels = self.env.spec.horizon, observation == "pixels"
        self._generators: list[np.random.Generator | None] = [None] * n
        self.action_space = spaces.Box(-1.0, 1.0, (7,), dtype=np.float32)
        self.observation_space = self._observation_space(image_size)

    def _observation_space(self, size: int) -> spaces.Space[Any]:
        """Return the space of one world's observation."""
        if not self._pixels:
            return spaces.Box(-np.inf, np.inf, self.env.privileged().shape[1:], dtype=np.float32)
        image = spaces.Box(0, 255, (size, size, 3), dtype=np.uint8)
        return spaces.Dict({"image": image, "state": spaces.Box(-np.inf, np.inf, (8,), dtype=np.float32)})

    def seed(self, world: int, seed: int | None) -> None:
        """Seed the generator that gives `world` its episodes; None leaves one that there is."""
        if seed is not None or self._generators[world] is None:
            self._generators[world] = seeding.np_random(seed)[0]

    def begin(self, ids: Ids, episode: int | None = None) -> list[Info]:
        """Begin new episodes of the train split, or the given one, and return what is to be said of each."""
        seeds = []
        for world in ids.tolist():
            generator = self._generators[world]
            assert generator is not None
            seeds.append(int(generator.integers(TRAIN_EPISODES)) if episode is None else episode)
        self.env.reset(ids, seeds)
        sentences = self.env.observe(ids).instructions
        return [
            {"success": False, "instruction": sentence, "episode_seed": seed}
            for sentence, seed in zip(sentences, seeds, strict=True)
        ]

    def step(self, actions: NDArray[Any]) -> Step:
        """Execute actions (n, 7) in [-1, 1]; an error ends the episode like any other end."""
        step = self.env.step(scaled(actions))
        step.terminated[list(step.errors)] = True
        return step

    def observe(self) -> Any:
        """Return the observations of all worlds."""
        if not self._pixels:
            return self.env.privileged()
        shown = self.env.observe(np.arange(self.env.n))
        return {"image": shown.render("image"), "state": shown.state}

    def render(self) -> Images:
        """Return a frame (n, h, w, 3) of each world."""
        return self.env.observe(np.arange(self.env.n)).render("image")


def step_infos(step: Step, mask: NDArray[np.bool_]) -> Info:
    """Return the infos of the worlds in `mask` (n,) that took a step, in the form of Gymnasium's vector infos."""
    terms: Info = {name: values.astype(np.float64) for name, values in step.terms.items()}
    terms |= {f"_{name}": mask for name in step.terms}
    return only({"success": step.success, "_success": mask, "terms": terms, "_terms": mask}, mask)


def only(infos: Info, mask: NDArray[np.bool_]) -> Info:
    """Return what vector infos say of the worlds in `mask` (n,), as copies."""
    kept: Info = {}
    for name in [name for name in infos if not name.startswith("_")]:
        value, told = infos[name], infos[f"_{name}"] & mask
        if told.any():
            kept[name] = only(value, mask) if isinstance(value, dict) else _blanked(value, told)
            kept[f"_{name}"] = told
    return kept


def _blanked(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return values (n, ...) with those outside `mask` (n,) zero, or None."""
    blank = np.full_like(values, None) if values.dtype == object else np.zeros_like(values)
    blank[mask] = values[mask]
    return blank


def checked_mode(render_mode: str | None) -> str | None:
    """Return a render mode that there is."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise unknown("render_mode", render_mode, RENDER_MODES)
    return render_mode


def checked_options(options: dict[str, Any] | None, allowed: Iterable[str]) -> dict[str, Any]:
    """Return the options of a reset; one that is not known is refused."""
    for name in options or {}:
        if name not in set(allowed):
            raise unknown("reset option", name, allowed)
    return options or {}

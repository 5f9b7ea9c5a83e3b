"""Every task of the catalogue as a Gymnasium environment, single and vectorized, under "demomill/<task id>".

``import tasks.gymnasium_envs`` registers them, and so does the prefix in
``gymnasium.make("tasks.gymnasium_envs:demomill/lift_cube-v1")``: Gymnasium 1 finds no environments by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sim.conventions import CANONICAL
from sim.episodes import Ids, Images
from sim.errors import UserError
from tasks.catalogue import TASKS, load_task
from tasks.gymnasium_worlds import RENDER_MODES, Info, Worlds, checked_mode, checked_options, only, step_infos

NAMESPACE = "demomill"


class TaskGymEnv(gymnasium.Env):
    """One world of a task. Actions in [-1, 1]: TCP displacement, rotation, gripper (above 0 is open)."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": int(CANONICAL.rate)}  # noqa: RUF012

    def __init__(self, task: str, *, render_mode: str | None = None, **options: Any) -> None:
        """Build the world; `options` are those of `Worlds`."""
        self.render_mode = checked_mode(render_mode)
        self._worlds = Worlds(task, n=1, threads=1, **options)
        self.action_space, self.observation_space = self._worlds.action_space, self._worlds.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """Begin an episode; ``options={"episode_seed": k}`` asks for a certain one."""
        super().reset(seed=seed)
        chosen = checked_options(options, ("episode_seed",)).get("episode_seed")
        self._worlds.seed(0, seed)
        (info,) = self._worlds.begin(np.arange(1), chosen)
        return self._first(), info

    def step(self, action: NDArray[Any]) -> tuple[Any, float, bool, bool, Info]:
        """Execute one action (7,)."""
        step = self._worlds.step(np.asarray(action)[None])
        info: Info = {"success": bool(step.success[0]), "terms": {k: float(v[0]) for k, v in step.terms.items()}}
        if 0 in step.errors:
            info["error"] = step.errors[0]
        return self._first(), float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), info

    def _first(self) -> Any:
        shown = self._worlds.observe()
        return {name: part[0] for name, part in shown.items()} if isinstance(shown, dict) else shown[0]

    def render(self) -> Images | None:
        """Return the frame that the policy would see, (h, w, 3)."""
        return None if self.render_mode is None else self._worlds.render()[0]

    def close(self) -> None:
        """Free the world."""
        self._worlds.env.close()


class TaskVectorEnv(VectorEnv):
    """n worlds of a task, stepped together. Worlds reset by themselves as `autoreset_mode` says."""

    def __init__(
        self,
        task: str,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **options: Any,
    ) -> None:
        """Build the worlds; `options` are those of `Worlds`."""
        self.render_mode, self.num_envs = checked_mode(render_mode), num_envs
        self._worlds = Worlds(task, n=num_envs, **options)
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {**TaskGymEnv.metadata, "autoreset_mode": self._mode}
        self.single_action_space = self._worlds.action_space
        self.single_observation_space = self._worlds.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._limit = min(max_episode_steps or self._worlds.horizon, self._worlds.horizon)
        self._steps = np.zeros(num_envs, dtype=np.intp)
        self._ended = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Begin episodes in all worlds, or in those of ``options["reset_mask"]`` (n,) bool."""
        mask = checked_options(options, ("reset_mask",)).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        seeds = self._seeds(seed)
        ids = np.flatnonzero(mask)
        for world in ids.tolist():
            self._worlds.seed(world, seeds[world])
        infos: Info = {}
        self._begin(ids, infos)
        return self._worlds.observe(), infos

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None or isinstance(seed, int):
            return [None if seed is None else seed + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UserError(f"There are {self.num_envs} worlds, but {len(seed)} seeds. Give one seed for each, or one.")
        return seed

    def _begin(self, ids: Ids, infos: Info) -> None:
        """Begin new episodes in these worlds and note what is said of them in `infos`."""
        if len(ids):
            self._steps[ids], self._ended[ids] = 0, False
            for world, info in zip(ids.tolist(), self._worlds.begin(ids), strict=True):
                self._add_info(infos, info, world)

    def step(self, actions: NDArray[Any]) -> tuple[Any, NDArray[np.float64], NDArray[Any], NDArray[Any], Info]:
        """Execute actions (n, 7); a world whose episode had ended begins its next one instead, in NEXT_STEP mode."""
        waiting = self._ended.copy()
        if waiting.any() and self._mode is AutoresetMode.DISABLED:
            raise UserError("An episode has ended, and autoreset_mode is DISABLED. Call reset with a reset_mask first.")
        step = self._worlds.step(np.asarray(actions))
        self._steps += 1
        terminated = step.terminated & ~waiting
        truncated = (step.truncated | (self._steps >= self._limit)) & ~waiting
        infos = step_infos(step, ~waiting)
        for world in sorted(set(step.errors) - set(np.flatnonzero(waiting).tolist())):
            self._add_info(infos, {"error": step.errors[world]}, world)
        self._begin(np.flatnonzero(waiting), infos)
        self._ended = terminated | truncated
        ended = np.flatnonzero(self._ended)
        if self._mode is AutoresetMode.SAME_STEP and len(ended):
            infos = self._replaced(ended, infos)
        else:
            self._worlds.env.rest(ended)
        return self._worlds.observe(), np.where(waiting, 0.0, step.reward), terminated, truncated, infos

    def _replaced(self, ended: Ids, infos: Info) -> Info:
        """Begin the next episodes at once, and keep the last observations and infos of those that ended."""
        shown, kept = self._worlds.observe(), only(infos, self._ended)
        rest = only(infos, ~self._ended)
        rest |= {"final_info": kept, "_final_info": self._ended.copy(), "_final_obs": self._ended.copy()}
        rest["final_obs"] = np.full(self.num_envs, None, dtype=object)
        for world in ended.tolist():
            last = {k: v[world].copy() for k, v in shown.items()} if isinstance(shown, dict) else shown[world].copy()
            rest["final_obs"][world] = last
        self._begin(ended, rest)
        return rest

    def render(self) -> tuple[Images, ...] | None:
        """Return one frame (h, w, 3) per world."""
        return None if self.render_mode is None else tuple(self._worlds.render())

    def close_extras(self, **_: Any) -> None:
        """Free the worlds."""
        self._worlds.env.close()


def register_all() -> None:
    """Register every task of the catalogue, once."""
    for name in TASKS:
        full = f"{NAMESPACE}/{name}"
        if full not in gymnasium.registry:
            gymnasium.register(
                full,
                entry_point="tasks.gymnasium_envs:TaskGymEnv",
                vector_entry_point="tasks.gymnasium_envs:TaskVectorEnv",
                max_episode_steps=load_task(name).horizon,
                kwargs={"task": name},
            )


register_all()

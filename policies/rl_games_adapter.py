"""Everything demomill knows about rl_games 1.6: its vector environment, its configuration, its observer, its seeds.

rl_games takes seed 0 for "no seed", compiles the network unless told not to, prints to standard output, and logs no
success; all of that is met here and nowhere else.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

# TensorBoard's writer loads all of TensorFlow, where that is installed, to open a file; this module's presence tells it
# not to. TensorFlow and Mesa's software renderer crash in one process.
sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))

from rl_games.common import env_configurations, vecenv
from rl_games.common.algo_observer import AlgoObserver
from rl_games.common.ivecenv import IVecEnv
from rl_games.torch_runner import Runner

from policies.curves import Progress, Tally
from policies.rl_games_settings import ENV_NAME, GAMMA, PACES, REWARD_SCALE, Pace, network_params
from policies.rl_games_state import Keeper, put_back, taken
from policies.training_state import TrainingState
from policies.warm_start import warm_start
from sim.conventions import scaled
from sim.state import State
from sim.streams import episode_seed, generator
from tasks.env import TaskEnv
from tasks.scripted import Script
from tasks.tensor_env import TensorEnv


class TaskVecEnv(IVecEnv):  # type: ignore[misc]
    """A batched task as rl_games wants it: tensors in and out, worlds reset by themselves, time-outs told apart.

    The tensors are on the environment's device: a TensorEnv's never leave it, a TaskEnv's share memory with numpy.
    """

    def __init__(self, env: TaskEnv | TensorEnv, *, seed: int, begun: int = 0) -> None:
        """Wrap `env`; the k-th episode begun has the train seed (seed, k), counted from `begun`."""
        self._env, self._seed, self.begun, self.n = env, seed, begun, env.n
        shown = torch.as_tensor(env.privileged())
        self.device = shown.device
        self._info = {
            "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, (shown.shape[1],), dtype=np.float32),
            "action_space": gymnasium.spaces.Box(-1.0, 1.0, (7,), dtype=np.float32),
        }
        # The first episodes end at staggered times, so that resets spread over the steps.
        limits = generator(seed, "stagger").integers(1, env.spec.horizon + 1, size=env.n)
        self._limits = torch.as_tensor(limits, device=self.device)
        self._age = torch.zeros_like(self._limits)
        self.tally = Tally()

    def get_env_info(self) -> dict[str, Any]:
        """Return the spaces."""
        return self._info

    def state(self) -> State:
        """Return the state of all worlds."""
        return self._env.engine.state()

    def reset(self) -> torch.Tensor:
        """Begin an episode in every world and return observations (n, p)."""
        self._begin(np.arange(self._env.n))
        return torch.as_tensor(self._env.privileged())

    def _begin(self, worlds: NDArray[np.intp]) -> None:
        seeds = [episode_seed("train", self._seed, self.begun + i) for i in range(len(worlds))]
        self.begun += len(worlds)
        self._age[torch.as_tensor(worlds, device=self.device)] = 0
        self._env.reset(worlds, seeds)

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Step all worlds; a world that ended shows the first observation of its next episode."""
        stays = isinstance(self._env, TensorEnv)
        step = self._env.step(scaled(actions if stays else actions.numpy()))
        self._age += 1
        broken = torch.zeros(self._env.n, dtype=torch.bool, device=self.device)
        broken[list(step.errors)] = True
        early = self._age >= self._limits
        terminated, truncated = torch.as_tensor(step.terminated) | broken, torch.as_tensor(step.truncated) | early
        done = terminated | truncated
        self._count(torch.as_tensor(step.success), step.terms, full=done & ~early)
        worlds = torch.nonzero(done)[:, 0]
        if len(worlds):
            self._limits[worlds] = self._env.spec.horizon + 1
            self._begin(worlds.cpu().numpy())
        reward = torch.as_tensor(step.reward).to(torch.float32)
        return torch.as_tensor(self._env.privileged()), reward, done, {"time_outs": truncated & ~terminated}

    def _count(self, success: torch.Tensor, terms: Mapping[str, Any], *, full: torch.Tensor) -> None:
        """Add this step to the tally; episodes that were cut short at the start do not count.

        The sums of the terms stay on the device until somebody reads them.
        """
        self.tally.episodes += int(full.sum())
        self.tally.successes += int((success & full).sum())
        self.tally.steps += 1
        for name, values in terms.items():
            self.tally.terms[name] = self.tally.terms.get(name, 0.0) + values.mean()


class _Observer(AlgoObserver):  # type: ignore[misc]
    """Reports success after every epoch, keeps the training's state, and ends the training when told to."""

    def __init__(
        self,
        env: TaskVecEnv,
        report: Callable[[Progress], bool],
        keeper: Keeper | None,
        state: TrainingState | None,
    ) -> None:
        """Go on from `state`, where there is one."""
        super().__init__()
        self._env, self._report, self._keeper, self._began = env, report, keeper, time.perf_counter()
        self._state = state
        self._before: Progress | None = None
        self.algo: Any = None

    def after_init(self, algo: Any) -> None:
        """Keep the agent; where a state was kept, put it back into it."""
        self.algo = algo
        if self._state is not None:
            put_back(algo, self._state)
            self._before = self._state.curve[-1] if self._state.curve else None

    def close(self) -> None:
        """End the thread of the agent's event writer, which rl_games leaves running."""
        if self.algo is not None:
            self.algo.writer.close()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Report the epochs since the last report, once enough episodes have finished to speak of a rate."""
        tally = self._env.tally
        if tally.episodes < self.algo.num_actors // 2:
            return
        self._env.tally = Tally()
        before = self._before
        progress = tally.progress(
            steps=self.algo.frame + (before.steps if before else 0),
            seconds=time.perf_counter() - self._began + (before.seconds if before else 0.0),
        )
        if self._keeper is not None:
            self._keeper.note(progress, lambda: taken(self.algo), begun=self._env.begun)
        if self._report(progress):
            self.algo.max_epochs = epoch_num


def train(
    env: TaskEnv | TensorEnv,
    *,
    seed: int,
    max_steps: int,
    report: Callable[[Progress], bool],
    tensorboard: Path | None = None,
    keeper: Keeper | None = None,
    script: Script | None = None,
    pace: str = "gentle",
    copied: Callable[[dict[str, NDArray[np.float32]]], None] = lambda weights: None,
) -> dict[str, NDArray[np.float32]]:
    """Train PPO until `report` returns True or `max_steps` environment steps are done; return the actor's weights.

    With a `script`, PPO begins with a copy of it (policies/warm_start.py), whose steps count too, and goes on at a
    `pace` of `PACES`; `copied` is told its weights.

    The weights: "mean" and "std" (p,) of the observation, then "0.weight", "0.bias" ... of the layers in order.
    With a `keeper` whose state is of an unfinished training, that training goes on.
    """
    state = None if keeper is None else keeper.state
    done = state.curve[-1].steps if state is not None and state.curve else 0
    vec_env = TaskVecEnv(env, seed=seed, begun=0 if state is None else state.begun)
    env_configurations.register(ENV_NAME, {"vecenv_type": ENV_NAME, "env_creator": lambda **_: vec_env})
    vecenv.register(ENV_NAME, lambda name, actors, **_: vec_env)
    if state is None and script is not None:
        state = _copy(vec_env, script, seed=seed, pace=PACES[pace], report=report)
        done = state.curve[-1].steps
        copied(_actor_weights(state.model))
    observer = _Observer(vec_env, report, keeper, state)
    steps = max(1, (max_steps - done) // (16 * env.n))
    _run(observer, vec_env, seed=seed, epochs=steps, folder=tensorboard, pace=PACES[pace] if script else None)
    if keeper is not None:
        keeper.keep(lambda: taken(observer.algo), begun=vec_env.begun)
    return _actor_weights(taken(observer.algo)[0])


def _run(
    observer: _Observer, env: TaskVecEnv, *, seed: int, epochs: int, folder: Path | None, pace: Pace | None
) -> None:
    """Let rl_games train; what it prints goes nowhere, its event files into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        params = network_params(
            worlds=env.n,
            seed=seed,
            max_epochs=epochs,
            folder=folder or Path(scratch),
            device=str(env.device),
            pace=pace,
        )
        runner = Runner(algo_observer=observer)
        with (Path(scratch) / "rl_games.log").open("w") as log, contextlib.redirect_stdout(log):
            runner.load({"params": params})
            try:
                runner.run_train({"train": True})
            finally:
                observer.close()


def _copy(
    env: TaskVecEnv, script: Script, *, seed: int, pace: Pace, report: Callable[[Progress], bool]
) -> TrainingState:
    """Return the state of a training whose network copies `script`; every round with finished episodes is reported."""
    began, curve = time.perf_counter(), list[Progress]()

    def count(steps: int, loss: float) -> None:
        tally, env.tally = env.tally, Tally()
        if tally.episodes:
            curve.append(tally.progress(steps=steps, seconds=time.perf_counter() - began))
            report(curve[-1])

    made = warm_start(env, script, seed=seed, gamma=GAMMA, reward_scale=REWARD_SCALE, pace=pace, report=count)
    return TrainingState("", made.model, {}, pace.rate, env.begun, tuple(curve))


def _actor_weights(model: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """Return the deterministic actor of an rl_games network's state as plain arrays."""
    variance = model["running_mean_std.running_var"].astype(np.float64)
    weights = {"mean": model["running_mean_std.running_mean"], "std": np.sqrt(variance + 1e-5)}
    layers = sorted({int(n.split(".")[2]) for n in model if n.startswith("a2c_network.actor_mlp.")})
    for i, layer in enumerate(layers):
        for part in ("weight", "bias"):
            weights[f"{i}.{part}"] = model[f"a2c_network.actor_mlp.{layer}.{part}"]
    for part in ("weight", "bias"):
        weights[f"{len(layers)}.{part}"] = model[f"a2c_network.mu.{part}"]
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}

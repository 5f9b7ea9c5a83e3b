"""An expert's training that begins as a copy of its script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from policies import warm_start as module
from policies.expert_settings import TrainExpertConfig
from policies.rl_games_adapter import TaskVecEnv, train
from policies.rl_games_settings import GAMMA, PACES, REWARD_SCALE
from policies.train_expert import train_expert
from policies.warm_start import WarmStart, warm_start
from sim.errors import UserError
from tasks.scripted import load_script
from tasks.tensor_env import make_training_env

TASK = "lift_cube-v2"


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUNDS", 3)
    monkeypatch.setattr(module, "STEPS", 24)
    monkeypatch.setattr(module, "UPDATES", 60)
    monkeypatch.setattr(module, "LAST", 60)
    torch.set_num_threads(1)


def _copied() -> tuple[WarmStart, list[float], TaskVecEnv]:
    env = TaskVecEnv(make_training_env(TASK, n=128, engine="mujoco", preset="physical", device=None), seed=0)
    script, losses = load_script(TASK), list[float]()
    assert script is not None
    made = warm_start(
        env,
        script,
        seed=0,
        gamma=GAMMA,
        reward_scale=REWARD_SCALE,
        pace=PACES["gentle"],
        report=lambda _, loss: losses.append(loss),
    )
    return made, losses, env


def test_the_copy_does_what_the_script_does_and_the_same_seed_makes_the_same_copy() -> None:
    made, losses, env = _copied()
    assert made.steps == 3 * 24 * 128
    assert losses[-1] < 0.12
    script = load_script(TASK)
    assert script is not None
    seen, wanted = env.reset(), script(env.state())
    x = np.clip((seen.numpy() - made.model["running_mean_std.running_mean"]) / _deviation(made), -5, 5)
    for layer in (0, 2, 4):
        x = x @ _part(made, f"actor_mlp.{layer}.weight").T + _part(made, f"actor_mlp.{layer}.bias")
        x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    chosen = x @ _part(made, "mu.weight").T + _part(made, "mu.bias")
    alike = np.sum(chosen[:, :3] * wanted[:, :3], axis=1) / np.linalg.norm(chosen[:, :3], axis=1)
    assert np.median(alike / np.linalg.norm(wanted[:, :3], axis=1)) > 0.9
    assert np.mean((chosen[:, 6] > 0) == (wanted[:, 6] > 0.5)) > 0.95
    again, _, _ = _copied()
    for name, value in made.model.items():
        np.testing.assert_array_equal(value, again.model[name], err_msg=name)


def _deviation(made: WarmStart) -> np.ndarray:
    return np.sqrt(np.asarray(made.model["running_mean_std.running_var"], dtype=np.float64) + 1e-5)


def _part(made: WarmStart, name: str) -> np.ndarray:
    return np.asarray(made.model[f"a2c_network.{name}"], dtype=np.float64)


def test_rl_games_goes_on_from_the_copy() -> None:
    env = make_training_env(TASK, n=128, engine="mujoco", preset="physical", device=None)
    reports = []
    weights = train(
        env,
        seed=0,
        max_steps=3 * 24 * 128 + 4 * 16 * 128,
        report=lambda progress: bool(reports.append(progress)),
        script=load_script(TASK),
    )
    env.close()
    made, _, _ = _copied()
    before, after = _part(made, "actor_mlp.0.weight"), weights["0.weight"]
    moved = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert 0 < moved < 0.1
    steps = [progress.steps for progress in reports]
    assert steps == sorted(steps)
    assert steps[-1] > 3 * 24 * 128


def test_an_unknown_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="start"):
        train_expert(TrainExpertConfig(TASK, out=tmp_path / "x", start="scrip"))

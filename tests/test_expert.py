"""Experts: what ships, how it is stored and refused, and a training small enough to run twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from policies.evaluate_expert import EvaluateExpertConfig, evaluate_expert
from policies.expert import RECORD, SHIPPED, WEIGHTS, ExpertPolicy, draft_spec, load_expert
from policies.expert_settings import TrainExpertConfig, identity_of
from policies.rl_games_adapter import TaskVecEnv, train
from policies.train_expert import train_expert
from policies.training_state import RESUME, load_state
from sim.conventions import scaled
from sim.episodes import Observation
from sim.errors import UserError
from sim.streams import generator
from tasks.catalogue import TASKS, load_task
from tasks.env import make_env

TASK = "lift_cube-v1"


def observation(rows: np.ndarray) -> Observation:
    count = len(rows)
    return Observation(
        ids=np.arange(count),
        seeds=(0,) * count,
        steps=np.zeros(count, dtype=np.intp),
        state=np.zeros((count, 8), dtype=np.float32),
        privileged=rows.astype(np.float32),
        instructions=("",) * count,
        render=lambda camera: pytest.fail("an expert looked at an image"),
    )


@pytest.fixture
def copied(tmp_path):
    folder = tmp_path / "expert"
    shutil.copytree(SHIPPED / TASK, folder)
    return folder


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_shipped_expert_has_its_record(task):
    folder = SHIPPED / task
    if not folder.is_dir():
        pytest.skip("no expert of this task has reached the bar yet")
    record = json.loads((folder / RECORD).read_text())
    assert record["task"] == task
    assert record["task_digest"] == load_task(task).digest()
    assert record["command"].startswith(f"demomill train-expert {task}")
    assert record["score"]["success"]["n"] + record["score"]["errors"] >= 1000
    assert record["score"]["success"]["low"] >= 0.95
    assert record["curve"][-1]["success"] > record["curve"][0]["success"]
    assert (folder / WEIGHTS).stat().st_size < 2e6
    assert (folder / "curve.png").is_file()


@pytest.mark.parametrize("task", sorted(path.name for path in SHIPPED.iterdir()))
def test_a_shipped_expert_does_what_its_record_says(task):
    score = evaluate_expert(EvaluateExpertConfig(task, episodes=160, seed=3))
    assert score.errors == 0
    assert score.success.value >= 0.93
    assert score.success.low < score.success.value <= score.success.high


def test_an_action_does_not_depend_on_the_other_worlds():
    expert = load_expert(TASK)
    rows = generator(0, "rows").normal(size=(150, len(expert._mean)))
    whole = expert.act(observation(rows))
    alone = np.concatenate([expert.act(observation(rows[i : i + 1])) for i in range(len(rows))])
    assert whole.tobytes() == alone.tobytes()
    assert expert.act(observation(rows[::-1]))[::-1].tobytes() == whole.tobytes()


def test_actions_are_canonical():
    actions = scaled(np.array([[9, -9, 0.5, 9, -9, 0.5, -0.1], [0, 0, 0, 0, 0, 0, 0.1]], dtype=np.float32))
    np.testing.assert_allclose(actions[0], [0.05, -0.05, 0.025, 0.25, -0.25, 0.125, 0.0])
    assert actions[1, 6] == 1.0


def test_weights_that_are_not_those_of_the_record_are_refused(copied):
    data = bytearray((copied / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (copied / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(UserError, match="not the file that its record describes"):
        load_expert(str(copied))


def test_another_kind_of_checkpoint_is_refused(copied):
    record = json.loads((copied / RECORD).read_text())
    (copied / RECORD).write_text(json.dumps(record | {"kind": "vla"}))
    with pytest.raises(UserError, match="kind 'vla', not an expert"):
        load_expert(str(copied))


def test_a_checkpoint_in_another_convention_is_refused_before_the_first_step(copied):
    from sim.rollouts import rollout

    record = json.loads((copied / RECORD).read_text())
    record["convention"]["rate"] = 10.0
    (copied / RECORD).write_text(json.dumps(record))
    env = make_env(TASK, n=1)
    with pytest.raises(UserError, match=r"rate: policy 10.0, environment 20.0"):
        next(iter(rollout(env, load_expert(str(copied)), [0])))
    env.close()


def test_an_observation_of_another_width_is_refused():
    with pytest.raises(UserError, match="reads 20 privileged values"):
        load_expert(TASK).act(observation(np.zeros((2, 7))))


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'lift_cube-v"):
        load_expert("lift_cubes")


def trained(seed: int, steps: int) -> dict[str, np.ndarray]:
    env = make_env(TASK, n=128, preset="physical", threads=2)
    weights = train(env, seed=seed, max_steps=steps, report=lambda progress: False)
    env.close()
    return weights


def test_training_is_a_function_of_its_seed():
    first, again, other = trained(0, 4096), trained(0, 4096), trained(1, 4096)
    assert {name: w.tobytes() for name, w in first.items()} == {name: w.tobytes() for name, w in again.items()}
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)
    policy = ExpertPolicy(first, spec=draft_spec(TASK), task=TASK)
    assert np.isfinite(policy.act(observation(np.zeros((3, 20))))).all()


def test_a_training_leaves_a_record_and_is_not_repeated(tmp_path):
    config = TrainExpertConfig(TASK, out=tmp_path / "e", worlds=128, max_steps=20_480, episodes=8, start="nothing")
    made = train_expert(config)
    record = json.loads((tmp_path / "e" / RECORD).read_text())
    assert record["steps"] == made.steps <= 20_480
    assert record["score"]["success"] == asdict(made.score.success)
    assert record["curve"][0]["terms"].keys() == load_task(TASK).weights.keys()
    stamp = (tmp_path / "e" / WEIGHTS).stat().st_mtime_ns
    assert train_expert(config).score == made.score
    assert (tmp_path / "e" / WEIGHTS).stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="already holds an expert"):
        train_expert(
            TrainExpertConfig(
                TASK, out=tmp_path / "e", worlds=128, max_steps=20_480, episodes=8, seed=1, start="nothing"
            )
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"worlds": 100}, "multiple of 128"),
        ({"episodes": 0}, "episodes = 0 is not allowed"),
        ({"engine": "mujoko"}, "Did you mean 'mujoco'"),
        ({"seed": 5000}, "out of range"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_built(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        train_expert(TrainExpertConfig(TASK, out=tmp_path / "e", **change))
    assert not (tmp_path / "e").exists()


def test_time_outs_are_told_apart_from_ends():
    import torch

    env = make_env(TASK, n=128, preset="physical")
    vec_env = TaskVecEnv(env, seed=0)
    vec_env.reset()
    dones, time_outs = 0, 0
    for _ in range(env.spec.horizon):
        _, reward, done, infos = vec_env.step(torch.zeros(128, 7))
        dones += int(done.sum())
        time_outs += int(infos["time_outs"].sum())
        assert not (infos["time_outs"] & ~done).any()
        assert torch.isfinite(reward).all()
    env.close()
    assert dones == time_outs >= 128


def test_an_interrupted_training_goes_on_where_it_was(tmp_path, monkeypatch):
    import policies.rl_games_state as states

    config = TrainExpertConfig(TASK, out=tmp_path / "e", worlds=128, max_steps=40_960, episodes=8, start="nothing")
    monkeypatch.setattr(states.Keeper, "note", _interrupted_after(states.Keeper.note, 2))
    with pytest.raises(KeyboardInterrupt):
        train_expert(config)
    assert (tmp_path / "e" / RESUME).is_file()
    with pytest.raises(UserError, match="unfinished training of something else"):
        train_expert(replace(config, seed=1))
    monkeypatch.undo()
    state = load_state(tmp_path / "e", identity=identity_of(config, TASK))
    made = train_expert(config)
    record = json.loads((tmp_path / "e" / RECORD).read_text())
    steps = [point["steps"] for point in record["curve"]]
    assert steps[: len(state.curve)] == [progress.steps for progress in state.curve]
    assert steps == sorted(set(steps))
    assert made.steps <= 40_960
    longer = train_expert(replace(config, max_steps=61_440))
    assert made.steps < longer.steps <= 61_440
    assert json.loads((tmp_path / "e" / RECORD).read_text())["curve"][: len(steps)] == record["curve"]


def _interrupted_after(note, count):
    """Return a `Keeper.note` that is interrupted, as by Ctrl-C, after so many reports."""
    calls = []

    def interrupted(self, *arguments, **options):
        self._every = 0.0
        note(self, *arguments, **options)
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt

    return interrupted

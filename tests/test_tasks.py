"""One conformance test over all tasks: rewards in range, observations as declared, everything named, seeded."""

from __future__ import annotations

import numpy as np
import pytest

from sim.streams import episode_seed, generator
from tasks.catalogue import TASKS, load_task
from tasks.env import TaskEnv, make_env
from tasks.randomization import is_visual


@pytest.fixture(params=sorted(TASKS), scope="module")
def env(request):
    env = make_env(request.param, n=6)
    yield env
    env.close()


def start(env: TaskEnv, base: int = 0) -> None:
    env.reset(np.arange(env.n), [episode_seed("train", 1, base + i) for i in range(env.n)])


def random_actions(env: TaskEnv, step: int) -> np.ndarray:
    stream = generator(3, "actions", step)
    return np.concatenate(
        [
            stream.uniform(-0.05, 0.05, (env.n, 3)),
            stream.uniform(-0.25, 0.25, (env.n, 3)),
            stream.integers(0, 2, (env.n, 1)),
        ],
        axis=1,
    )


def test_reward_terms_stay_in_range_and_each_has_a_weight(env):
    start(env)
    for step in range(env.spec.horizon):
        result = env.step(random_actions(env, step))
        assert set(result.terms) == set(env.task.weights)
        for name, values in result.terms.items():
            assert values.shape == (env.n,)
            assert ((values >= 0) & (values <= 1)).all(), name
        assert np.isfinite(result.reward).all()
    assert result.truncated.all()
    assert not result.errors


def test_observations_are_finite_and_in_the_canonical_layout(env):
    start(env)
    for step in range(10):
        env.step(random_actions(env, step))
    observation = env.observe(np.arange(env.n))
    assert observation.state.shape == (env.n, 8)
    assert observation.state.dtype == np.float32
    assert np.isfinite(observation.privileged).all()
    np.testing.assert_allclose(np.linalg.norm(observation.state[:, 3:7], axis=1), 1.0, atol=1e-5)
    largest = np.take_along_axis(
        observation.state[:, 3:7], np.abs(observation.state[:, 3:7]).argmax(axis=1)[:, None], axis=1
    )
    assert (largest > 0).all()
    assert ((observation.state[:, 7] >= 0) & (observation.state[:, 7] <= 1)).all()


def test_the_same_seed_gives_the_same_episode(env):
    rows = []
    for _ in range(2):
        start(env, base=40)
        for step in range(8):
            result = env.step(random_actions(env, step))
        rows.append((env.observe(np.arange(env.n)).privileged.tobytes(), result.reward.tobytes(), env.draw(0)))
        start(env, base=60)
    assert rows[0] == rows[1]


def test_nothing_succeeds_at_the_start_and_every_draw_is_in_reach(env):
    for base in range(0, 60, 6):
        start(env, base=base)
        hold = np.zeros((env.n, 7))
        hold[:, 6] = 1.0
        result = env.step(hold)
        assert not result.success.any()
        assert not result.terminated.any()


def test_every_knob_names_a_parameter_and_presets_are_nested(env):
    nominal = env.task.scene.nominal()
    for chosen in env.task.presets.values():
        assert {knob.path for knob in chosen} <= set(nominal)
    assert env.task.presets["none"] == ()
    physical = env.task.draw(episode_seed("train", 0, 1), preset="train", visual=False)
    assert not any(is_visual(path) for path in physical)
    full = env.task.draw(episode_seed("train", 0, 1), preset="train")
    assert {path: full[path] for path in physical} == physical


def test_sentences_are_filled_in_and_held_out_ones_stay_apart(env):
    train = {env.task.sentence(s)[0] for s in range(300)}
    held = {env.task.sentence(s, preset="held_out")[0] for s in range(300)}
    assert train
    assert held
    assert not train & held
    assert not any("{" in sentence for sentence in train | held)
    start(env)
    observed = env.observe(np.arange(env.n)).instructions
    assert observed == tuple(env.task.sentence(episode_seed("train", 1, i))[0] for i in range(env.n))


def test_a_host_that_shows_one_red_object_gets_a_sentence(env):
    text, template = env.task.instruction(5, color="red")
    assert template in env.task.templates
    assert "{" not in text
    assert env.task.instruction(5, color="red", held_out=True)[1].startswith("held_out")


def test_a_lifted_target_counts_and_a_resting_one_does_not(env):
    if not env.task.id.startswith("lift_cube"):
        pytest.skip("only lifting tasks judge by height")
    start(env)
    state = env.engine.state()
    assert not env.task.success(state).any()
    state.poses[env.task.target][:, 2] += 0.06
    assert env.task.success(state).all()


def test_digest_changes_with_the_data(env):
    from dataclasses import replace

    assert env.task.digest() == load_task(env.task.id).digest()
    assert replace(env.task, horizon=env.task.horizon + 1).digest() != env.task.digest()

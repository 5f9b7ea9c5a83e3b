"""Every task can be done: a script solves its nominal scene, and the reward rises on the way."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.env import make_env
from tests.scripted_tasks import SCRIPTS


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_solves_the_nominal_scene(name: str) -> None:
    env = make_env(name, n=1, preset="none")
    env.reset(np.arange(1), [0])
    act, rewards = SCRIPTS[name](), []
    for _ in range(env.spec.horizon):
        step = env.step(act(env.engine.state()))
        rewards.append(float(step.reward[0]))
    env.close()
    assert not step.errors
    assert step.success[0]
    assert np.mean(rewards[-5:]) > 1.5 * np.mean(rewards[:5])

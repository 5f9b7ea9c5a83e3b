"""Experts that are kept from pressing on the table."""

import numpy as np
import pytest

from policies.guard import HEIGHT, GuardedPolicy, Z
from policies.loading import load_policy
from sim.baselines import RandomPolicy
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.env import make_env

SEEDS = [episode_seed("validation", 31, i) for i in range(8)]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_tells_the_height_at_the_same_place(task):
    env = make_env(task, n=4, preset="physical[-observation]")
    env.reset(np.arange(4), SEEDS[:4])
    state = env.engine.state()
    told = np.asarray(load_task(task).privileged(state))[:, HEIGHT]
    assert np.allclose(told, state.tcp[:, 2] - state.table, atol=1e-6)
    env.close()


def test_it_asks_for_nothing_lower_and_changes_nothing_else():
    plain, guarded = load_policy("expert:lift_cube"), load_policy("expert:lift_cube?floor=0.02")
    assert isinstance(guarded, GuardedPolicy)
    assert guarded.spec.name == "expert:lift_cube-v1?floor=0.02"
    assert guarded.spec.digest == plain.spec.digest
    env, ids, low = make_env("lift_cube", n=8, preset="physical"), np.arange(8), 0
    env.reset(ids, SEEDS)
    for _ in range(25):
        shown = env.observe(ids)
        free, kept = plain.act(shown), guarded.act(shown)
        height = np.asarray(shown.privileged, np.float64)[:, HEIGHT]
        assert (np.delete(free, Z, axis=1) == np.delete(kept, Z, axis=1)).all()
        assert (height + kept[:, Z] >= 0.02 - 1e-9).all()
        assert (kept[:, Z] == np.maximum(free[:, Z], 0.02 - height)).all()
        low += int((kept[:, Z] > free[:, Z]).sum())
        env.step(free)
    env.close()
    assert low > 10  # The shipped expert does press.


def test_a_guarded_expert_succeeds():
    env = make_env("lift_cube", n=8, preset="physical")
    done = rollout(env, load_policy("expert:lift_cube?floor=0.015"), SEEDS, options=RolloutOptions())
    assert sum(episode.succeeded for episode in done) >= 7
    env.close()


@pytest.mark.parametrize("text", ["random?floor=0.02", "expert:lift_cube?floor=0.5", "expert:lift_cube?floor=-1"])
def test_what_cannot_be_guarded_is_refused(text):
    with pytest.raises(UserError, match="floor"):
        load_policy(text)


def test_a_policy_that_sees_no_heights_is_refused():
    with pytest.raises(UserError, match="random does not"):
        GuardedPolicy(RandomPolicy(0), floor=0.01)

"""An episode is the same bytes for any number of worlds, any order of seeds and any number of threads."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from policies.expert import load_expert
from sim.baselines import RandomPolicy
from sim.episodes import Episode, Policy
from sim.rollouts import RolloutOptions, rollout
from sim.streams import episode_seed, generator
from tasks.catalogue import TASKS
from tasks.env import make_env

SEEDS = [episode_seed("train", 21, i) for i in range(70)]
WATCHED = 4
"""Episodes that are compared; the others fill the worlds around them."""


def digest(episode: Episode) -> str:
    """Return the digest of everything that the simulation and the policy made of an episode."""
    found = hashlib.sha256()
    arrays = {
        "states": episode.states,
        "actions": episode.actions,
        "executed": episode.executed,
        "rewards": episode.rewards,
        "success": episode.success,
        **episode.terms,
        **episode.traces,
    }
    for name, array in sorted(arrays.items()):
        found.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def digests(task: str, policy: Policy, seeds: list[int], *, n: int, threads: int, stop: int | None) -> dict[int, str]:
    env = make_env(task, n=n, preset="physical", threads=threads)
    options = RolloutOptions(stop_held=stop, perturb_share=0.5, perturb_std=0.3)
    found = {e.seed: digest(e) for e in rollout(env, policy, seeds, options=options)}
    env.close()
    return {seed: found[seed] for seed in SEEDS[:WATCHED]}


@pytest.fixture(scope="module")
def alone() -> dict[int, str]:
    return digests("lift_cube-v1", load_expert("lift_cube-v1"), SEEDS[:WATCHED], n=1, threads=1, stop=5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [2, 8, 64])
def test_an_experts_episode_does_not_depend_on_its_neighbours(alone: dict[int, str], n: int, threads: int) -> None:
    """Worlds that end early rest or take the next seed, so the neighbours change all the time."""
    seeds = SEEDS[: max(n + 6, WATCHED)]
    shuffled = [seeds[k] for k in generator(n, "order", threads).permutation(len(seeds))]
    found = digests("lift_cube-v1", load_expert("lift_cube-v1"), shuffled, n=n, threads=threads, stop=5)
    assert found == alone


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_tasks_episodes_do_not_depend_on_their_neighbours(name: str) -> None:
    single = digests(name, RandomPolicy(4), SEEDS[:WATCHED], n=1, threads=1, stop=None)
    assert digests(name, RandomPolicy(4), SEEDS[:8][::-1], n=8, threads=2, stop=None) == single

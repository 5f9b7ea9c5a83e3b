"""Worlds that cannot be trusted are told, end as errors with seed and draw, and harm no neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.conventions import CANONICAL
from sim.episodes import Episode, Observation, PolicySpec, Step
from sim.rollouts import rollout
from sim.soundness import DEPTH, OBJECT_BOX, OBJECT_SPEED, REACH, faults
from sim.state import State
from sim.streams import episode_seed
from tasks.env import TaskEnv, make_env

SEEDS = [episode_seed("train", 11, i) for i in range(4)]


@pytest.fixture
def state() -> State:
    env = make_env("lift_cube-v1", n=3, threads=1)
    env.reset(np.arange(3), SEEDS[:3])
    found = env.engine.state()
    env.close()
    return found


def found(state: State) -> dict[str, list[int]]:
    return {why: np.flatnonzero(where).tolist() for why, where in faults(state) if where.any()}


def test_a_sound_state_has_no_faults(state: State) -> None:
    assert found(state) == {}


def test_each_fault_names_its_worlds(state: State) -> None:
    state.tcp[0, 2] = REACH + 0.1
    state.poses["cube"][1, 1] = -OBJECT_BOX - 0.1
    state.twists["cube"][2, 0] = OBJECT_SPEED + 1
    state.depth[1] = DEPTH + 0.001
    assert found(state) == {
        "the TCP is more than 1.6 m from the base": [0],
        "cube is more than 5 m away": [1],
        "cube is faster than 20 m/s": [2],
        "two shapes overlap by more than 20 mm": [1],
    }


@pytest.mark.parametrize("part", ["q", "qd", "tcp"])
def test_a_state_with_a_nan_is_not_finite(state: State, part: str) -> None:
    getattr(state, part)[1, 0] = np.nan
    assert found(state)["the state is not finite"] == [1]


def test_an_engine_that_does_not_tell_depths_is_not_asked(state: State) -> None:
    assert found(replace(state, depth=None)) == {}


class Hold:
    """Stands still."""

    spec = PolicySpec("hold", CANONICAL, inputs=frozenset({"privileged"}))

    def reset(self, ids: np.ndarray) -> None:
        """Forget nothing."""

    def act(self, observation: Observation) -> np.ndarray:
        actions = np.zeros((len(observation.ids), 7))
        actions[:, 6] = 1.0
        return actions


class Poisoned(TaskEnv):
    """The world of one seed breaks after its second step."""

    def __init__(self, env: TaskEnv, seed: int, breakage: str) -> None:
        super().__init__(env.task, env.engine)
        self._seed, self._breakage = seed, breakage

    def step(self, actions: np.ndarray) -> Step:
        for world in range(self.n):
            if self._seeds[world] == self._seed and self._steps[world] == 2:
                row = self.engine._state[world]
                if self._breakage == "buried":
                    row[1 + 9 + 2] -= 0.03  # The cube deep in the table.
                elif self._breakage == "shot":
                    row[1 + 16 + 9] = 200.0  # The cube at 200 m/s.
                else:
                    row[1] = np.nan
        return super().step(actions)


def episodes(n: int, breakage: str | None) -> dict[int, Episode]:
    env = make_env("lift_cube-v1", n=n, threads=1)
    used = env if breakage is None else Poisoned(env, SEEDS[1], breakage)
    done = {episode.seed: episode for episode in rollout(used, Hold(), SEEDS)}
    env.close()
    return done


@pytest.mark.parametrize(
    ("breakage", "told"), [("buried", "overlap by more than 20 mm"), ("shot", "away at step"), ("nan", "diverged")]
)
def test_a_broken_world_is_an_error_with_seed_and_draw_and_harms_no_neighbour(breakage: str, told: str) -> None:
    clean, broken = episodes(3, None), episodes(3, breakage)
    lost = broken[SEEDS[1]]
    assert lost.error is not None
    assert told in lost.error
    assert f"seed {SEEDS[1]}" in lost.error
    assert lost.draw == clean[SEEDS[1]].draw
    assert not lost.succeeded
    assert lost.length == 3
    for seed in (SEEDS[0], SEEDS[2], SEEDS[3]):
        assert broken[seed].error is None
        assert broken[seed].states.tobytes() == clean[seed].states.tobytes()

"""The one loop: episodes in the order of their seeds, every step recorded, nothing mixed between worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.conventions import CANONICAL, Convention
from sim.episodes import EnvSpec, Episode, Ids, Images, Observation, PolicySpec, Step
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout


class CountingEnv:
    """Each world counts steps and adds up what it is told; how an episode ends is written in its seed.

    seed % 10: 0 to 6 terminate after so many steps and one; 7 has an error after 2 steps; 8 and 9 run to the horizon.
    """

    def __init__(self, n: int, *, convention: Convention = CANONICAL, horizon: int = 9) -> None:
        self.n, self.rendered, self.closed = n, 0, False
        self._spec = EnvSpec("count-v1", "test", "count", convention, horizon, "none")
        self.seeds = np.zeros(n, dtype=np.int64)
        self.steps = np.zeros(n, dtype=np.intp)
        self.sums = np.zeros((n, 7))

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        self.seeds[ids], self.steps[ids], self.sums[ids] = seeds, 0, 0

    def observe(self, ids: Ids) -> Observation:
        state = np.zeros((len(ids), 8), dtype=np.float32)
        state[:, 0], state[:, 1] = self.seeds[ids], self.steps[ids]
        seeds = tuple(int(seed) for seed in self.seeds[ids])
        sentences = tuple(f"count {seed}" for seed in seeds)
        return Observation(ids, seeds, self.steps[ids].copy(), state, state[:, :2], sentences, self._renderer(ids))

    def _renderer(self, ids: Ids) -> Callable[[str], Images]:
        def render(camera: str) -> Images:
            self.rendered += len(ids)
            return np.stack([np.full((2, 2, 3), self.steps[i], dtype=np.uint8) for i in ids])

        return render

    def step(self, actions: NDArray[np.float64]) -> Step:
        self.steps += 1
        self.sums += actions
        kind = self.seeds % 10
        ended = (kind <= 6) & (self.steps == kind + 1)
        errors = {int(i): "the physics broke" for i in np.flatnonzero((kind == 7) & (self.steps == 2))}
        ones = np.ones(self.n)
        success = (self.steps >= 3) & (self.steps != 5)
        truncated = self.steps >= self._spec.horizon
        return Step({"part": ones / 2}, ones * self.steps, success, ended, truncated, errors)

    def draw(self, world: int) -> dict[str, Any]:
        return {"seed": int(self.seeds[world])}

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        return {"sum": self.sums[ids].copy()}

    def close(self) -> None:
        self.closed = True


class SeedPolicy:
    """Says (seed, step, position in the chunk) in its first three numbers; remembers when it was asked."""

    def __init__(self, **spec: Any) -> None:
        wanted = {"name": "seed", "convention": CANONICAL, "inputs": frozenset({"privileged"})} | spec
        self._spec = PolicySpec(**wanted)
        self.asked: list[tuple[int, int]] = []
        self.resets: list[int] = []

    @property
    def spec(self) -> PolicySpec:
        return self._spec

    def reset(self, ids: Ids) -> None:
        self.resets.extend(int(i) for i in ids)

    def act(self, observation: Observation) -> NDArray[np.float64]:
        if "image" in self._spec.inputs:
            observation.render("image")
        self.asked.extend(zip(observation.seeds, observation.steps.tolist(), strict=True))
        answer = np.zeros((len(observation.ids), self._spec.chunk, 7))
        answer[..., 0] = np.array(observation.seeds)[:, None]
        answer[..., 1] = observation.steps[:, None]
        answer[..., 2] = np.arange(self._spec.chunk)
        return answer[:, 0] if self._spec.chunk == 1 else answer


SEEDS = [18, 0, 3, 21, 8, 7, 44, 2, 16, 9]
LENGTHS = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 2, 8: 9, 9: 9}


def run(n: int = 3, seeds: Sequence[int] = SEEDS, **options: Any) -> list[Episode]:
    return list(rollout(CountingEnv(n), SeedPolicy(), seeds, options=RolloutOptions(**options)))


@pytest.mark.parametrize("n", [1, 3, 4, 32])
def test_episodes_come_in_the_order_of_their_seeds(n: int) -> None:
    episodes = run(n)
    assert [episode.seed for episode in episodes] == SEEDS
    assert [episode.length for episode in episodes] == [LENGTHS[seed % 10] for seed in SEEDS]


def test_every_episode_is_recorded_whole_and_unmixed() -> None:
    for episode in run():
        assert episode.states.shape == (episode.length + 1, 8)
        assert (episode.states[:, 0] == episode.seed).all()
        assert episode.states[:, 1].tolist() == list(range(episode.length + 1))
        assert (episode.actions[:, 0] == episode.seed).all()
        assert episode.actions[:, 1].tolist() == list(range(episode.length))
        assert episode.rewards.tolist() == list(range(1, episode.length + 1))
        assert episode.terms["part"].tolist() == [0.5] * episode.length
        assert episode.traces["sum"][-1, 0] == episode.seed * episode.length
        assert episode.draw == {"seed": episode.seed}
        assert episode.instruction == f"count {episode.seed}"


def test_the_number_of_worlds_changes_nothing() -> None:
    for one, many in zip(run(1), run(5), strict=True):
        for name in ("states", "actions", "executed", "rewards", "success"):
            assert np.array_equal(getattr(one, name), getattr(many, name)), name


def test_ends_are_kept_apart() -> None:
    by_kind = {episode.seed % 10: episode for episode in run()}
    assert by_kind[3].terminated
    assert not by_kind[8].terminated
    assert by_kind[8].length == 9
    assert by_kind[7].error == "the physics broke"
    assert by_kind[3].error is None


def test_success_at_the_end_and_success_once() -> None:
    by_kind = {episode.seed % 10: episode for episode in run(seeds=[0, 3, 4, 7, 8])}
    assert not by_kind[0].succeeded_once
    assert by_kind[3].succeeded
    assert by_kind[4].succeeded_once, "it was there at steps 3 and 4"
    assert not by_kind[4].succeeded, "and gone at step 5"
    assert not by_kind[7].succeeded_once, "an error is no success"
    assert by_kind[8].succeeded


def test_an_episode_can_end_when_success_has_held() -> None:
    assert [episode.length for episode in run(seeds=[8, 9], stop_held=2)] == [4, 4]
    assert [episode.length for episode in run(seeds=[8, 9], stop_held=3)] == [8, 8], "a gap begins the count anew"


def test_chunks_are_executed_before_the_policy_is_asked_again() -> None:
    policy = SeedPolicy(chunk=4, execute=3)
    (episode,) = rollout(CountingEnv(1), policy, [8])
    assert [step for _, step in policy.asked] == [0, 3, 6]
    assert episode.actions[:, 2].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert len(episode.latencies) == 3


def test_a_new_episode_begins_with_a_new_chunk() -> None:
    policy = SeedPolicy(chunk=4, execute=4)
    episodes = list(rollout(CountingEnv(1), policy, [2, 8]))
    assert episodes[1].actions[0].tolist()[:3] == [8, 0, 0]
    assert policy.resets == [0, 0]


def test_frames_are_taken_when_asked_for() -> None:
    episodes = run(n=2, seeds=[8, 6, 9], cameras=("image",), frame_every=4, frame_episodes=2)
    assert episodes[0].frame_steps == (0, 4, 8, 9), "every fourth, and the last"
    assert episodes[1].frame_steps == (0, 4, 7)
    assert episodes[0].frames["image"][:, 0, 0, 0].tolist() == [0, 4, 8, 9]
    assert episodes[2].frames == {}


def test_the_last_frame_is_not_taken_twice() -> None:
    (episode,) = run(n=1, seeds=[3], cameras=("image",), frame_every=2)
    assert episode.frame_steps == (0, 2, 4)


def test_nothing_is_rendered_unless_someone_looks() -> None:
    env = CountingEnv(2)
    list(rollout(env, SeedPolicy(), SEEDS))
    assert env.rendered == 0
    list(rollout(env, SeedPolicy(inputs=frozenset({"image"}), chunk=3, execute=3), [8]))
    assert env.rendered == 3


def test_perturbed_episodes_keep_the_clean_action() -> None:
    episodes = run(n=4, seeds=[10 * k + 8 for k in range(40)], perturb_share=0.5, perturb_std=0.5)
    noisy = [e for e in episodes if not np.array_equal(e.actions, e.executed)]
    assert 10 <= len(noisy) <= 30
    for episode in noisy:
        assert (episode.actions[:, 0] == episode.seed).all()
        assert np.array_equal(episode.executed[:, 6], episode.actions[:, 6]), "the gripper is never perturbed"
    noise = np.concatenate([e.executed - e.actions for e in noisy])
    assert noise[:, 1:3].std() == pytest.approx(0.5 * 0.05, rel=0.15)
    assert noise[:, 3:6].std() == pytest.approx(0.5 * 0.25, rel=0.15)


def test_perturbations_do_not_depend_on_the_worlds() -> None:
    seeds = [18, 28, 38, 2, 48]
    one, many = (run(n, seeds, perturb_share=1.0, perturb_std=0.3) for n in (1, 4))
    for a, b in zip(one, many, strict=True):
        assert np.array_equal(a.executed, b.executed)
        assert not np.array_equal(a.executed, a.actions)


def test_actions_are_adapted_to_the_environment() -> None:
    env = CountingEnv(1, convention=replace(CANONICAL, position_unit=0.5))
    (episode,) = rollout(env, SeedPolicy(), [8])
    assert episode.traces["sum"][-1, 0] == pytest.approx(8 * 9 / 0.5)
    assert (episode.executed[:, 0] == 8).all(), "what is recorded is in the policy's terms"


def test_a_convention_that_cannot_be_adapted_is_refused_before_the_first_step() -> None:
    env, policy = CountingEnv(1, convention=replace(CANONICAL, rate=10.0)), SeedPolicy()
    with pytest.raises(UserError, match=r"rate: policy 20\.0, environment 10\.0"):
        list(rollout(env, policy, [8]))
    assert not policy.asked


@pytest.mark.parametrize(("sees", "refused"), [({"privileged"}, False), ({"state"}, True), ({"image"}, False)])
def test_who_looks_must_agree_on_what_is_seen(sees: set[str], refused: bool) -> None:
    env = CountingEnv(1, convention=replace(CANONICAL, state="joint angles 7, opening 1"))
    policy = SeedPolicy(inputs=frozenset(sees))
    if refused:
        with pytest.raises(UserError, match="state: policy"):
            list(rollout(env, policy, [8]))
    else:
        assert len(list(rollout(env, policy, [8]))) == 1


class WrongPolicy(SeedPolicy):
    """Returns `answer` whatever it sees."""

    def __init__(self, answer: NDArray[np.float64]) -> None:
        super().__init__(chunk=2, execute=1)
        self.answer = answer

    def act(self, observation: Observation) -> NDArray[np.float64]:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.zeros((1, 7)), r"returned actions of shape \(1, 7\)"),
        (np.zeros((1, 2, 6)), r"expected \(1, 2, 7\)"),
        (np.full((1, 2, 7), np.nan), "not finite"),
    ],
)
def test_what_a_policy_may_not_return(answer: NDArray[np.float64], told: str) -> None:
    with pytest.raises(UserError, match=told):
        list(rollout(CountingEnv(1), WrongPolicy(answer), [8]))


@pytest.mark.parametrize("execute", [0, 3])
def test_a_policy_cannot_execute_what_it_does_not_plan(execute: int) -> None:
    with pytest.raises(UserError, match="Allowed: 1 to 2"):
        list(rollout(CountingEnv(1), SeedPolicy(chunk=2, execute=execute), [8]))


def test_no_episodes_is_an_error() -> None:
    with pytest.raises(UserError, match="at least one episode"):
        list(rollout(CountingEnv(1), SeedPolicy(), []))

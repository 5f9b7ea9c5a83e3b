"""Random streams depend on (seed, names) alone, and the three splits never meet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import UserError
from sim.streams import EPISODES_PER_SEED, SPLIT_SEEDS, Split, episode_seed, generator, split_of, uniforms

SPLITS: tuple[Split, ...] = ("train", "validation", "benchmark")


def test_the_same_names_give_the_same_numbers() -> None:
    assert np.array_equal(generator(7, "a", 1).random(5), generator(7, "a", 1).random(5))


def test_numbers_of_a_stream_never_change() -> None:
    """Datasets are regenerated from their seeds: these values are part of the format."""
    assert generator(0, "cube.mass").random(2).tolist() == STREAM
    assert list(uniforms(0, "cube.mass", count=2)) == UNIFORMS


STREAM = [0.24930781526302215, 0.9572669066334409]
UNIFORMS = [0.39126745042320277, 0.7122067674207879]


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), st.text(max_size=5), st.text(max_size=5))
def test_other_seeds_or_names_give_other_numbers(seed: int, other: int, name: str, second: str) -> None:
    if (seed, name) != (other, second):
        assert generator(seed, name).random() != generator(other, second).random()
        assert uniforms(seed, name, count=1) != uniforms(other, second, count=1)


def test_names_do_not_run_together() -> None:
    assert generator(1, "ab", "c").random() != generator(1, "a", "bc").random()
    assert generator(1, "2").random() != generator(12).random()


def test_streams_are_uniform_and_uncorrelated() -> None:
    drawn = np.array([uniforms(seed, "a", count=2) for seed in range(4000)])
    assert abs(drawn.mean() - 0.5) < 0.02
    assert abs(drawn.var() - 1 / 12) < 0.005
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.05


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    generator(0, "a").random(10)
    uniforms(0, "a", count=8)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


@given(st.sampled_from(SPLITS), st.data())
def test_every_episode_belongs_to_its_split(split: Split, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, SPLIT_SEEDS[split] - 1))
    episode = data.draw(st.integers(0, EPISODES_PER_SEED - 1))
    value = episode_seed(split, seed, episode)
    assert 0 <= value < 2**31
    assert split_of(value) == split


def test_ranges_touch_and_do_not_overlap() -> None:
    edges = [(episode_seed(s, 0, 0), episode_seed(s, SPLIT_SEEDS[s] - 1, EPISODES_PER_SEED - 1)) for s in SPLITS]
    for (_, last), (first, _) in itertools.pairwise(edges):
        assert first == last + 1
    assert edges[-1][1] == 2**31 - 1


def test_neighbouring_seeds_share_no_episode() -> None:
    assert episode_seed("train", 1, 0) == episode_seed("train", 0, EPISODES_PER_SEED - 1) + 1


@pytest.mark.parametrize(("seed", "episode"), [(-1, 0), (1024, 0), (0, -1), (0, EPISODES_PER_SEED)])
def test_out_of_range(seed: int, episode: int) -> None:
    with pytest.raises(UserError, match="out of range"):
        episode_seed("train", seed, episode)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_of_no_split(seed: int) -> None:
    with pytest.raises(UserError, match="belongs to no split"):
        split_of(seed)

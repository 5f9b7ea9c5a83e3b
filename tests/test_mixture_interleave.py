import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.interleave import PERIOD, Mixture, Stream, quotas, sample_numbers, schedule, shares
from sim.errors import UserError


def streams(weights, steps=57):
    return [Stream(f"s{k}", weight, (steps + k, 3)) for k, weight in enumerate(weights)]


WEIGHTS = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, st.integers(0, 3 * PERIOD))
def test_any_10000_samples_hold_the_shares_within_a_tenth_of_a_percent(weights, start):
    mixture = Mixture(streams(weights))
    source = mixture.locate(np.arange(start, start + 10_000)).source
    realized = np.bincount(source, minlength=len(weights)) / 10_000
    assert np.abs(realized - mixture.shares).max() <= 0.001


@settings(max_examples=20, deadline=None)
@given(WEIGHTS)
def test_no_source_is_ever_more_than_its_number_of_sources_behind_its_share(weights):
    quota = quotas(np.array(weights) / np.sum(weights), [str(k) for k in range(len(weights))])
    order = schedule(quota)
    counts = np.cumsum(order[:, None] == np.arange(len(quota)), axis=0)
    wanted = np.arange(1, PERIOD + 1)[:, None] * np.array(quota) / PERIOD
    assert np.abs(counts - wanted).max() <= len(quota)


def test_two_sources_at_90_to_10_alternate_evenly():
    source = Mixture(streams([90, 10])).locate(np.arange(100)).source
    assert np.diff(np.flatnonzero(source == 1)).tolist() == [10] * 9


def test_a_sample_is_a_pure_function_of_its_number():
    whole = Mixture(streams([3, 1]), seed=5).locate(np.arange(1000))
    resumed = Mixture(streams([3, 1]), seed=5)
    for start in (990, 400, 3):
        part = resumed.locate(np.arange(start, start + 10))
        assert (part.source == whole.source[start : start + 10]).all()
        assert (part.row == whole.row[start : start + 10]).all()


def test_each_epoch_of_a_source_holds_every_row_once_in_a_new_order():
    mixture = Mixture(streams([2, 1]), seed=1)
    where = mixture.locate(np.arange(1000))
    rows = where.row[where.source == 0]
    steps = mixture.streams[0].steps
    first, second = rows[:steps], rows[steps : 2 * steps]
    assert sorted(first) == sorted(second) == list(range(steps))
    assert (first != second).any()


def test_seed_and_name_decide_the_order_and_other_sources_do_not():
    alone = Mixture([Stream("a", 1.0, (50,))], seed=3).locate(np.arange(50)).row
    both = Mixture([Stream("a", 1.0, (50,)), Stream("b", 1.0, (7,))], seed=3).locate(np.arange(100))
    assert (both.row[both.source == 0] == alone).all()
    assert (Mixture([Stream("a", 1.0, (50,))], seed=4).locate(np.arange(50)).row != alone).any()


def test_counts_are_exact():
    mixture = Mixture(streams([0.7, 0.2, 0.1]))
    for samples in (1, 999, 10_000, 23_456):
        source = mixture.locate(np.arange(samples)).source
        assert mixture.counts(samples) == tuple(np.bincount(source, minlength=3))


def test_weights_per_episode_count_episodes():
    long, short = Stream("long", 1.0, (40, 40)), Stream("short", 1.0, (10,) * 5)
    assert shares([long, short], per="step") == (0.5, 0.5)
    assert shares([long, short], per="episode") == pytest.approx((0.8, 0.2))


def test_order_does_not_depend_on_the_process():
    code = (
        "import numpy as np; from datagen.interleave import *;"
        "print(Mixture([Stream('a', .9, (100,)), Stream('b', .1, (30,))], seed=2).locate(np.arange(300)).row.sum())"
    )
    here = Mixture([Stream("a", 0.9, (100,)), Stream("b", 0.1, (30,))], seed=2).locate(np.arange(300)).row.sum()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said) == here


@pytest.mark.parametrize(
    ("given_streams", "word"),
    [
        ([], "no source"),
        ([Stream("a", 1.0, ()), Stream("b", 1.0, (3,))], "no step"),
        ([Stream("a", 1.0, (3,)), Stream("a", 1.0, (3,))], "called 'a'"),
        ([Stream("a", -1.0, (3,))], "weight"),
        ([Stream("a", float("nan"), (3,))], "weight"),
        ([Stream("a", 1e-6, (3,)), Stream("b", 1.0, (3,))], "1 in 10,000"),
    ],
)
def test_impossible_mixtures_are_refused_in_words(given_streams, word):
    with pytest.raises(UserError, match=word):
        Mixture(given_streams)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 4, 6, 12]), min_size=1, max_size=8))
def test_processes_share_each_batch_and_their_number_may_change_in_the_middle_of_an_epoch(worlds):
    mixture = Mixture(streams([0.9, 0.1]), seed=3)
    together = []
    for step, ranks in enumerate(worlds):
        parts = [sample_numbers(step, 12, rank=rank, ranks=ranks) for rank in range(ranks)]
        assert {len(part) for part in parts} == {12 // ranks}
        together.append(np.sort(np.concatenate(parts)))
    drawn = np.concatenate(together)
    assert (drawn == np.arange(12 * len(worlds))).all()
    alone = np.concatenate([sample_numbers(step, 12) for step in range(len(worlds))])
    there, here = mixture.locate(drawn), mixture.locate(alone)
    assert (there.row == here.row).all()
    assert (there.source == here.source).all()


def test_every_process_draws_from_every_source_as_its_share_says():
    mixture = Mixture(streams([0.9, 0.1]), seed=3)
    for rank in range(4):
        numbers = np.concatenate([sample_numbers(step, 32, rank=rank, ranks=4) for step in range(1250)])
        realized = (mixture.locate(numbers).source == 1).mean()
        assert abs(realized - 0.1) <= 0.001


@pytest.mark.parametrize(("rank", "ranks"), [(0, 5), (2, 2), (-1, 2)])
def test_a_batch_that_cannot_be_dealt_is_refused(rank, ranks):
    with pytest.raises(UserError, match="cannot be dealt"):
        sample_numbers(0, 12, rank=rank, ranks=ranks)

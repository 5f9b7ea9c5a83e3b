"""10,000 simulated studies: intervals hold what they promise, and looking after every pair raises no false alarm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.intervals import bootstrap_mean
from bench.paired import difference
from bench.sequential import SequentialComparison, log_e_value, log_evidence_against
from sim.rates import wilson_bounds
from sim.streams import generator

pytestmark = pytest.mark.slow

STUDIES, PAIRS, ALPHA = 10_000, 200, 0.05

NULLS = [(0.1, 0.1), (0.3, 0.3), (0.02, 0.02)]
"""Probability that only the first, and that only the second, succeeds: equally good policies."""


def _discordant(p_first, p_second, *, pairs=PAIRS, name="studies"):
    """Cumulative counts (STUDIES, pairs) of the pairs that only the first, and only the second, won."""
    u = generator(0, name, f"{p_first} {p_second}").random((STUDIES, pairs))
    first, second = u < p_first, (u >= p_first) & (u < p_first + p_second)
    return np.cumsum(first, axis=1), np.cumsum(second, axis=1)


def _reached(won, lost, level):
    """Whether the evidence for `won` reached `level` at each look."""
    size = int(max(won.max(), lost.max())) + 1
    table = np.array([[log_e_value(a, b) for b in range(size)] for a in range(size)])
    return table[won, lost] >= math.log(level)


@pytest.mark.parametrize(("p_first", "p_second"), NULLS)
def test_equal_policies_are_called_unequal_in_at_most_one_study_of_twenty_when_one_looks_after_every_pair(
    p_first, p_second
):
    first, second = _discordant(p_first, p_second)
    called = _reached(first, second, 2 / ALPHA) | _reached(second, first, 2 / ALPHA)
    assert called.any(axis=1).mean() <= ALPHA


def test_a_fixed_test_looked_at_after_every_pair_would_have_failed():
    """The reason for all of this: McNemar's test, read after every pair, calls many equal policies unequal."""
    first, second = _discordant(0.3, 0.3)
    n = first + second
    smaller = np.minimum(first, second)
    z = (n - 2.0 * smaller - 1) / np.sqrt(np.maximum(n, 1))
    assert ((z > 1.96) & (n >= 6)).any(axis=1).mean() > 0.15


@pytest.mark.parametrize(("p_first", "p_second"), [*NULLS, (0.3, 0.1), (0.6, 0.05)])
def test_the_running_interval_holds_the_truth_at_all_looks_together(p_first, p_second):
    first, second = (counts.astype(float) for counts in _discordant(p_first, p_second))
    n = np.broadcast_to(np.arange(1.0, PAIRS + 1), first.shape)
    looks = np.r_[0:20, 20:PAIRS:5]
    against = log_evidence_against(np.array(p_first - p_second), first[:, looks], second[:, looks], n[:, looks])
    assert (against < math.log(1 / ALPHA)).all(axis=1).mean() >= 1 - ALPHA


def test_a_worse_policy_is_hardly_ever_called_better():
    first, second = _discordant(0.1, 0.2)
    assert _reached(first, second, 2 / ALPHA).any(axis=1).mean() <= ALPHA / 2


def test_a_clear_difference_is_found_and_mostly_early():
    first, second = _discordant(0.35, 0.1)
    found = _reached(first, second, 2 / ALPHA)
    assert found.any(axis=1).mean() >= 0.95
    when = np.argmax(found, axis=1)[found.any(axis=1)] + 1
    assert np.median(when) <= 80


def test_the_class_says_what_the_counts_say():
    first, second = _discordant(0.3, 0.15)
    both_ways = _reached(first, second, 2 / ALPHA) | _reached(second, first, 2 / ALPHA)
    for k in range(20):
        running = SequentialComparison(alpha=ALPHA)
        for a, b in zip(np.diff(first[k], prepend=0) > 0, np.diff(second[k], prepend=0) > 0, strict=True):
            running.update(success_a=bool(a), success_b=bool(b))
        wanted = int(np.argmax(both_ways[k])) + 1 if both_ways[k].any() else None
        assert running.look().stopped_at == wanted


@pytest.mark.parametrize(("p_first", "p_second"), [(0.1, 0.1), (0.3, 0.1), (0.02, 0.0)])
def test_the_exact_interval_of_a_difference_covers(p_first, p_second):
    first, second = (counts[:, -1] for counts in _discordant(p_first, p_second, pairs=30))
    outcomes, times = np.unique(np.stack([first, second]), axis=1, return_counts=True)
    found = [difference(int(b), int(c), 30) for b, c in outcomes.T]
    held = np.array([each.low <= p_first - p_second <= each.high for each in found])
    assert (held * times).sum() / STUDIES >= 0.95


def test_wilsons_interval_covers_on_average_over_all_rates():
    stream = generator(0, "wilson")
    rates = stream.random(STUDIES)
    for n in (20, 50):
        successes = stream.binomial(n, rates)
        bounds = np.array([wilson_bounds(k, n, level=0.95) for k in range(n + 1)])[successes]
        assert ((bounds[:, 0] <= rates) & (rates <= bounds[:, 1])).mean() >= 0.95


def test_the_bootstrap_of_a_mean_covers_within_a_point():
    held = 0
    for k in range(STUDIES // 10):
        values = generator(0, "bootstrap study", k).normal(1.0, 1.0, 25)
        found = bootstrap_mean(values, name=str(k))
        held += found.low <= 1.0 <= found.high
    assert held / (STUDIES // 10) >= 0.935

"""Paired tests, corrections, clustered intervals and comparisons that may stop early, against other implementations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest, norm, t, ttest_1samp

from bench.intervals import (
    bootstrap_mean,
    bootstrap_quantile,
    cluster_bootstrap,
    cluster_rate,
    mcnemar,
    percentiles,
    resampled,
    wilson,
)
from bench.paired import at_most, difference, sign_flip
from bench.sequential import SequentialComparison, log_e_value, log_evidence_against
from sim.errors import UserError
from sim.rates import holm


def _random(seed):
    return np.random.Generator(np.random.Philox(seed))


@pytest.mark.parametrize(("n", "k"), [(10, 3), (50, 49), (7, 0), (200, 120), (40, -1), (40, 40)])
def test_binomial_tails_equal_those_of_scipy(n, k):
    p = np.linspace(0, 1, 21)
    np.testing.assert_allclose(at_most(k, n, p), binom.cdf(k, n, p), atol=1e-12)


@settings(max_examples=15)
@given(st.integers(1, 40), st.data())
def test_the_interval_of_a_difference_agrees_with_the_exact_test(n, data):
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    found = difference(b, c, n)
    p = binomtest(b, b + c).pvalue if b + c else 1.0
    assert (found.low > 0 or found.high < 0) == (p <= 0.05)
    assert -1 <= found.low <= found.estimate <= found.high <= 1
    mirrored = difference(c, b, n)
    assert (mirrored.low, mirrored.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_a_difference_without_discordant_pairs_has_the_width_of_an_exact_rate():
    found = difference(0, 0, 20)
    assert found.high == pytest.approx(beta.ppf(0.975, 1, 20), abs=1e-6)
    assert found.low == -found.high


def _exact_coverage(n, p10, p01):
    """Probability that the interval holds the truth, over all possible outcomes."""
    total = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            ways = math.comb(n, b) * math.comb(n - b, c)
            chance = ways * p10**b * p01**c * (1 - p10 - p01) ** (n - b - c)
            found = difference(b, c, n)
            total += chance * (found.low <= p10 - p01 <= found.high)
    return total


@pytest.mark.parametrize(("p10", "p01"), [(0.1, 0.1), (0.4, 0.05), (0.02, 0.0), (0.5, 0.5)])
def test_the_interval_of_a_difference_covers_at_least_as_often_as_it_says(p10, p01):
    assert _exact_coverage(16, p10, p01) >= 0.95


def test_sign_flips_are_mcnemars_test_where_every_seed_has_one_episode():
    first = [True] * 6 + [False] * 1 + [True] * 10
    second = [False] * 6 + [True] * 1 + [True] * 10
    sums = [int(a) - int(b) for a, b in zip(first, second, strict=True)]
    assert sign_flip(sums) == pytest.approx(mcnemar(first, second).p)
    assert sign_flip([0, 0]) == 1.0
    assert sign_flip([2, 2, 2, 2]) == pytest.approx(2 / 16)


def test_holm_against_its_published_steps():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_percentiles_reach_as_far_as_students_t():
    for n in (3, 4, 5, 10, 30):
        low, high = percentiles(n, confidence=0.95)
        wanted = -t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1))
        assert norm.ppf(low / 100) == pytest.approx(wanted, rel=0.01)
        assert low + high == pytest.approx(100)


def test_a_p_value_agrees_with_its_interval_and_few_groups_prove_nothing():
    values = _random(4).normal(0.35, 1.0, 30)
    found = resampled(values, name="x")
    assert found.groups == pytest.approx(30)
    assert found.p() == pytest.approx(ttest_1samp(values, 0).pvalue, rel=0.6)
    edge = found.interval(1 - found.p())
    assert min(abs(edge.low), abs(edge.high)) < 0.03
    assert replace(found, means=np.full(2000, 1.0), groups=2.0).p() > 0.2
    assert replace(found, means=np.zeros(2000)).p() == pytest.approx(1.0)


def test_the_number_of_groups_follows_the_factor_that_the_spread_comes_from():
    trainings, episodes = np.repeat(np.arange(3), 40), np.tile(np.arange(40), 3)
    noise = _random(5)
    by_training = noise.normal(0, 1, 3)[trainings] + 0.05 * noise.normal(0, 1, 120)
    by_episode = noise.normal(0, 1, 40)[episodes] + 0.05 * noise.normal(0, 1, 120)
    assert resampled(by_training, trainings, episodes, name="x").groups < 3.5
    assert resampled(by_episode, trainings, episodes, name="x").groups > 35


def test_clusters_widen_an_interval_and_every_draw_repeats_itself():
    noise = _random(1).normal(0, 1, 20)
    values, seeds = np.repeat(noise, 5), np.repeat(np.arange(20), 5)
    alone = bootstrap_mean(values, name="x")
    clustered = cluster_bootstrap(values, seeds, name="x")
    assert clustered.high - clustered.low > 1.8 * (alone.high - alone.low)
    assert clustered == cluster_bootstrap(values, seeds, name="x")
    assert clustered != cluster_bootstrap(values, seeds, name="y")


def test_a_factor_with_one_cluster_changes_nothing():
    values, seeds = _random(6).normal(0, 1, 6), [1, 1, 2, 2, 3, 3]
    one, other = (resampled(values, [task] * 6, seeds, name="x") for task in ("lift", "stack"))
    assert (one.means == other.means).all()
    assert one.groups == pytest.approx(3)


def test_a_clustered_rate_is_wilson_where_there_are_no_clusters_and_wider_where_there_are():
    won = [k % 3 > 0 for k in range(60)]
    free, plain = cluster_rate(won, name="x"), wilson(40, 60)
    assert (free.low, free.high) == (pytest.approx(plain.low, abs=0.02), pytest.approx(plain.high, abs=0.02))
    lumped = cluster_rate([k < 40 for k in range(60)], [k // 10 for k in range(60)], name="x")
    assert lumped.high - lumped.low > 1.5 * (free.high - free.low)
    sure = cluster_rate([True] * 60, [k // 10 for k in range(60)], name="x")
    assert sure.low == pytest.approx(wilson(6, 6).low)


def test_a_quantile_holds_its_estimate():
    groups = [list(_random(k).exponential(1.0, 15)) for k in range(20)]
    found = bootstrap_quantile(groups, 0.95, name="latency")
    assert found.n == 300
    assert found.estimate == pytest.approx(np.quantile(np.concatenate(groups), 0.95))
    assert found.low < found.estimate < found.high


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_evidence_is_the_integral_of_the_likelihood_ratio(won, lost):
    share = (np.arange(4000) + 0.5) / 8000 + 0.5
    integral = np.mean((2 * share) ** won * (2 * (1 - share)) ** lost)
    assert math.exp(log_e_value(won, lost)) == pytest.approx(integral, rel=1e-3)


@given(st.integers(0, 25), st.integers(0, 25))
def test_the_evidence_is_fair_under_a_fair_coin(won, lost):
    """A test martingale: its mean after one more pair is what it is now."""
    now = math.exp(log_e_value(won, lost))
    then = (math.exp(log_e_value(won + 1, lost)) + math.exp(log_e_value(won, lost + 1))) / 2
    assert then == pytest.approx(now)


def test_the_constrained_maximum_is_the_largest_likelihood():
    b, c, n, delta = 7.0, 2.0, 20.0, 0.1
    q = np.linspace(1e-9, (1 - delta) / 2 - 1e-9, 200_001)
    likelihood = b * np.log(q + delta) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - delta)
    arrays = [np.array(x) for x in (b, c, n)]
    counts = [b, c, n - b - c]
    mixture = sum(math.lgamma(k + 0.5) - math.lgamma(0.5) for k in counts) + math.lgamma(1.5) - math.lgamma(n + 1.5)
    assert float(log_evidence_against(np.array(delta), *arrays)) == pytest.approx(mixture - likelihood.max(), abs=1e-6)


def _ran(pairs, **settings):
    running = SequentialComparison(**settings)
    for a, b in pairs:
        running.update(success_a=a, success_b=b)
    return running.look()


def test_a_clear_winner_stops_the_comparison_and_the_verdict_stays():
    look = _ran([(True, False)] * 12 + [(False, True)] * 6)
    assert (look.verdict, look.stopped_at, look.more) == ("first is better", 8, None)
    assert (look.n, look.only_first, look.only_second) == (18, 12, 6)
    assert _ran([(False, True)] * 8).verdict == "second is better"


def test_agreement_goes_on_and_a_margin_ends_it():
    pairs = [(True, True)] * 400
    assert _ran(pairs).verdict == "go on"
    look = _ran(pairs, margin=0.05)
    assert look.verdict == "no difference that matters"
    assert look.difference.high < 0.05


def test_the_forecast_leads_to_a_verdict():
    pairs = [(True, False)] * 6 + [(False, True)] * 2 + [(True, True)] * 12
    look = _ran(pairs)
    assert look.verdict == "go on"
    again = _ran(pairs * (2 + look.more // len(pairs)))
    assert again.verdict == "first is better"
    assert again.stopped_at <= 20 + look.more + 20
    assert _ran([(True, False), (False, True)]).more is None


def test_the_running_interval_holds_the_estimate_and_narrows():
    widths = []
    for n in (10, 100, 1000):
        found = _ran([(True, False)] * (n // 5) + [(True, True)] * (n - n // 5)).difference
        assert found.estimate == pytest.approx(0.2)
        assert found.low < 0.2 < found.high
        widths.append(found.high - found.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_empty_is_an_error():
    for call in (
        lambda: difference(0, 0, 0),
        lambda: sign_flip([]),
        lambda: cluster_bootstrap([], name="x"),
        lambda: cluster_rate([], name="x"),
        lambda: bootstrap_quantile([[]], 0.5, name="x"),
        lambda: SequentialComparison().interval(),
    ):
        with pytest.raises(UserError, match=r"of no|on no"):
            call()
    for wrong in ({"alpha": 0.0}, {"margin": 1.0}):
        with pytest.raises(UserError, match="not allowed"):
            SequentialComparison(**wrong)

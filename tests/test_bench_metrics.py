"""Metrics and intervals against values known from elsewhere."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.intervals import bootstrap_mean, mcnemar, wilson
from bench.metrics import action_change, first_time, jerk, ldlj_v, path_ratio, sparc, tcp_speed
from sim.errors import UserError


def _minimum_jerk(rate, duration=1.0):
    """Speed of the minimum-jerk movement over 1 m (Flash and Hogan 1985)."""
    t = np.arange(0, duration, 1 / rate) / duration
    return 30 * t**2 * (1 - t) ** 2 / duration


def test_ldlj_of_the_minimum_jerk_movement_is_minus_log_204_8():
    assert ldlj_v(_minimum_jerk(2000.0), rate=2000.0) == pytest.approx(-math.log(204.8), abs=0.02)


@given(st.floats(0.2, 5.0), st.floats(0.1, 10.0))
def test_ldlj_has_no_dimension(duration, scale):
    base = ldlj_v(_minimum_jerk(500.0), rate=500.0)
    n = 500
    t = np.arange(n) / n
    stretched = scale * 30 * t**2 * (1 - t) ** 2
    assert ldlj_v(stretched, rate=n / duration) == pytest.approx(base, abs=1e-6)


def _reference_sparc(movement, fs, padlevel=4, fc=10.0, amp_th=0.05):
    """The published reference formula, written out step by step."""
    nfft = int(2 ** (math.ceil(math.log2(len(movement))) + padlevel))
    f = [k * fs / nfft for k in range(nfft)]
    spectrum = [abs(sum(m * np.exp(-2j * np.pi * k * i / nfft) for i, m in enumerate(movement))) for k in range(nfft)]
    top = max(spectrum)
    points = [(a, b / top) for a, b in zip(f, spectrum, strict=True) if a <= fc]
    above = [i for i, (_, m) in enumerate(points) if m >= amp_th]
    points = points[above[0] : above[-1] + 1]
    width = points[-1][0] - points[0][0]
    pairs = itertools.pairwise(points)
    return -sum(math.hypot((b[0] - a[0]) / width, b[1] - a[1]) for a, b in pairs)


def test_sparc_equals_the_published_formula():
    rng = np.random.Generator(np.random.Philox(3))
    speed = np.abs(_minimum_jerk(20.0) + 0.2 * rng.standard_normal(20))
    assert sparc(speed, rate=20.0) == pytest.approx(_reference_sparc(speed, 20.0), abs=1e-9)


def test_sparc_ranks_a_smooth_movement_above_a_jittery_one_and_ignores_scale():
    smooth = _minimum_jerk(20.0)
    jittery = smooth + 0.5 * (np.arange(20) % 2)
    assert -1.8 < sparc(smooth, rate=20.0) < -1.3
    assert sparc(jittery, rate=20.0) < sparc(smooth, rate=20.0) - 0.3
    assert sparc(7 * smooth, rate=20.0) == pytest.approx(sparc(smooth, rate=20.0))


def test_jerk_of_a_cubic_is_constant():
    t = np.arange(0, 2, 0.05)
    positions = np.stack([t**3, np.zeros_like(t), np.zeros_like(t)], axis=1)
    assert jerk(positions, rate=20.0) == (pytest.approx(6.0), pytest.approx(6.0))


def test_jerk_mean_and_rms_differ_where_jerk_does():
    positions = np.zeros((10, 3))
    positions[5:, 0] = 0.01
    mean, rms = jerk(positions, rate=20.0)
    assert rms > mean > 0


def test_speed_is_distance_times_rate():
    np.testing.assert_allclose(tcp_speed(np.array([[0, 0, 0], [0.03, 0.04, 0]]), rate=20.0), [1.0])


def test_action_change_counts_in_units_of_the_limits_and_leaves_the_gripper_out():
    actions = np.zeros((3, 7))
    actions[1, 0], actions[1, 6] = 0.05, 1.0
    assert action_change(actions) == pytest.approx(2 / 12)


def test_path_ratio_is_one_on_the_straight_way():
    way = np.array([[0, 0, 0], [0.5, 0, 0], [1, 0, 0], [1, 0, 0.5]])
    assert path_ratio(way, via=np.array([1.0, 0, 0])) == pytest.approx(1.0)
    assert path_ratio(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]), via=np.array([1.0, 0, 0])) == 3.0


def test_first_time_counts_from_the_start():
    assert first_time(np.array([False, True, True]), rate=20.0) == pytest.approx(0.1)
    assert first_time(np.zeros(4, dtype=bool), rate=20.0) is None


def test_what_did_not_move_has_no_smoothness():
    assert sparc(np.zeros(20), rate=20.0) is None
    assert ldlj_v(np.zeros(20), rate=20.0) is None
    assert sparc(np.ones(3), rate=20.0) is None
    assert jerk(np.zeros((3, 3)), rate=20.0) == (None, None)
    assert action_change(np.zeros((1, 7))) is None
    assert path_ratio(np.zeros((5, 3)), via=np.zeros(3)) is None


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (47, 50, 0.8378, 0.9794)],
)
def test_wilson_against_published_values(successes, n, low, high):
    """81 of 263 is Newcombe's example (Statistics in Medicine 17:857, 1998)."""
    found = wilson(successes, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))
    assert found.estimate == successes / n


@given(st.integers(1, 500), st.data())
def test_wilson_holds_its_estimate(n, data):
    successes = data.draw(st.integers(0, n))
    found = wilson(successes, n)
    assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_bootstrap_covers_the_mean_and_repeats_itself():
    values = np.random.Generator(np.random.Philox(1)).normal(3.0, 1.0, 200)
    first, again = bootstrap_mean(values, name="x"), bootstrap_mean(values, name="x")
    assert first == again
    assert first.low < values.mean() < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.2)
    assert bootstrap_mean(values, name="x", seed=1) != first


def test_mcnemar_against_the_binomial():
    first = [True] * 6 + [False] * 1 + [True] * 10
    second = [False] * 6 + [True] * 1 + [True] * 10
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second, found.n) == (6, 1, 17)
    assert found.p == pytest.approx(2 * (1 + 7) / 128)
    assert mcnemar([True], [True]).p == 1.0


def test_empty_is_an_error_not_zero():
    with pytest.raises(UserError, match="no episodes"):
        wilson(0, 0)
    with pytest.raises(UserError, match="no values"):
        bootstrap_mean([], name="jerk_rms")
    with pytest.raises(UserError, match="no common episodes"):
        mcnemar([], [])

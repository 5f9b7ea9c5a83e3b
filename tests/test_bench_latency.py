import numpy as np
import pytest

from bench.latency import latency, quantile
from sim.errors import UserError


def test_quantiles_of_latencies_have_intervals_that_hold_them():
    stream = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        found = quantile(stream.exponential(1.0, 200), 0.95)
        assert found.low <= found.estimate <= found.high
        inside += found.low <= -np.log(0.05) <= found.high
    assert 0.91 <= inside / 400 <= 0.99


def test_nothing_called_has_no_latency_and_no_quantile():
    assert latency([]) is None
    with pytest.raises(UserError, match="no values"):
        quantile([], 0.5)


def test_a_single_call_is_its_own_interval():
    assert latency([0.25]) == {name: {"estimate": 0.25, "low": 0.25, "high": 0.25, "n": 1} for name in ("p50", "p95")}

"""The parts that inspection is made of: running statistics, reservoirs, draws in batches, small charts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.bins import bin_edges, count_into
from datagen.inspection import draws as draws_module
from datagen.inspection.draws import Draws
from datagen.inspection.findings import LISTED, Finding, Findings
from datagen.inspection.outliers import robust_scale
from datagen.inspection.picks import pick
from datagen.inspection.samples import Moments, Reservoir, quantiles
from sim.plots import Histogram, histogram, path_chart


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=9), min_size=1, max_size=6))
def test_moments_of_parts_are_those_of_the_whole(parts: list[list[float]]) -> None:
    moments = Moments(1)
    for part in parts:
        moments.add(np.array(part, dtype=np.float64).reshape(-1, 1))
    values = np.array([value for part in parts for value in part])
    assert moments.count[0] == len(values)
    if len(values):
        scale = max(np.abs(values).max(), 1.0)
        assert moments.mean[0] == pytest.approx(values.mean(), abs=1e-9 * scale)
        assert moments.std[0] == pytest.approx(values.std(), abs=1e-7 * scale)
        assert (moments.low[0], moments.high[0]) == (values.min(), values.max())


def test_moments_leave_out_what_is_not_finite() -> None:
    moments = Moments(2)
    moments.add(np.array([[1.0, np.nan], [3.0, np.inf]]))
    assert moments.count.tolist() == [2, 0]
    assert moments.mean.tolist() == [2.0, 0.0]


def test_a_reservoir_is_bounded_and_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    keys, rows = rng.random(1000), np.arange(1000.0)[:, None]
    one, other = Reservoir(1, size=50), Reservoir(1, size=50)
    for start in range(0, 1000, 7):
        one.add(keys[start : start + 7], rows[start : start + 7])
        assert sum(map(len, one._rows)) <= 2 * 50 + 7
    for start in reversed(range(0, 1000, 13)):
        other.add(keys[start : start + 13], rows[start : start + 13])
    expected = np.sort(np.argsort(keys)[:50])
    assert np.sort(one.rows()[:, 0]).tolist() == expected.tolist()
    assert np.sort(other.rows()[:, 0]).tolist() == expected.tolist()
    assert not one.exact
    few = Reservoir(1, size=50)
    few.add(keys[:50], rows[:50])
    assert few.exact
    assert few.rows()[:, 0].tolist() == list(range(50))


def test_quantiles_and_bins_of_what_there_is() -> None:
    assert quantiles(np.array([np.nan, 1.0, 3.0]), 0.5) == [2.0]
    assert quantiles(np.array([np.nan]), 0.1, 0.9) == [None, None]
    assert bin_edges(np.array([2.0, 2.0]), bins=5).tolist() == [1.0, 3.0]
    assert bin_edges(np.array([np.nan]), bins=5).tolist() == [0.0, 1.0]
    assert count_into([0.0, 1.0, 2.0], np.array([-5.0, 0.0, 1.0, 2.0, 9.0, np.nan])).tolist() == [2, 3]


def test_the_robust_scale_ignores_outliers() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(5.0, 2.0, 1000), [1e6]])
    center, scale = robust_scale(values)
    assert center == pytest.approx(5.0, abs=0.3)
    assert scale == pytest.approx(2.0, rel=0.1)


def test_draws_in_batches_are_counted_like_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    drawn = [{"a": 0.0}, {"a": 1.0}, *({"a": float(x), "b": "uv"[int(x > 0.5)]} for x in rng.random(98))]
    whole = Draws()
    for draw in drawn:
        whole.add("draw", draw)
    monkeypatch.setattr(draws_module, "BATCH", 10)
    batched = Draws()
    for draw in drawn:
        batched.add("draw", draw)
    (a, b), (c, d) = whole.coverages()["draw"], batched.coverages()["draw"]
    assert (a.edges, a.kept) == (c.edges, c.kept)
    assert dict(zip(b.names, b.kept, strict=True)) == dict(zip(d.names, d.kept, strict=True))


def test_findings_are_counted_beyond_those_that_are_listed() -> None:
    findings = Findings()
    for episode in range(LISTED + 5):
        findings.add(Finding("duplicate", "train", episode, "same"))
    assert findings.counts["duplicate"] == LISTED + 5
    assert len(findings.listed()) == LISTED
    with pytest.raises(ValueError, match="no kind"):
        findings.add(Finding("odd", "train", 0, ""))


def test_picks_cover_the_splits_and_repeat() -> None:
    splits = {"train": (40, 60), "val": (20,)}
    picks = pick(splits, episodes=30, seed=0)
    assert picks == pick(splits, episodes=30, seed=0)
    assert picks != pick(splits, episodes=30, seed=1)
    assert picks.read is not None
    assert sum(map(len, picks.read.values())) == 30
    assert all(number in picks.read[split] for split, number in picks.drawn)
    first, second = picks.wanted("train", 0, 40), picks.wanted("train", 40, 60)
    assert first is not None
    assert second is not None
    assert sorted([*first, *(row + 40 for row in second)]) == list(picks.read["train"])
    assert max(second) < 60
    assert pick(splits, episodes=None, seed=0).wanted("train", 0, 40) is None
    assert len(picks.drawn) == 10
    assert len(picks.filmed) == 6


def test_small_charts_escape_and_tell_what_is_missing() -> None:
    bars = histogram(Histogram("<a>", (0.0, 1.0, 2.0), (3, 0), behind=(5, 5), note="<n>"))
    assert "<a>" not in bars
    assert bars.count('class="bar"') == bars.count('class="behind"') == 2
    assert "0 to 1: 3" in bars
    assert "1 to 2: 5 drawn" in bars
    assert "no data" in path_chart("<b>", [0.0, float("nan")], [0.0, 1.0])
    way = path_chart("way", [0.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    assert way.count('class="way"') == 2

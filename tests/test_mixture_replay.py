import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.balance import balanced_shares
from datagen.interleave import PERIOD, Mixture, Stream
from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig, mix, mixed, open_sources
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.errors import UserError
from tests.small_data import write_dataset


class Plain:
    """A source as balance sees it."""

    def __init__(self, task, *, replayed=False):
        self.task, self.replayed = task, replayed


MEMBERS = st.lists(
    st.tuples(st.floats(0.1, 1.0), st.sampled_from("abc"), st.booleans(), st.integers(1, 40)), min_size=2, max_size=7
).filter(lambda rows: any(not old for _, _, old, _ in rows))


@settings(max_examples=40, deadline=None)
@given(MEMBERS, st.floats(0.05, 0.9), st.sampled_from(["none", "task"]), st.integers(0, 2 * PERIOD))
def test_any_10000_samples_hold_balance_and_replay_within_a_tenth_of_a_percent(rows, share, balance, start):
    streams = [Stream(f"s{k}", weight, (steps,)) for k, (weight, _, _, steps) in enumerate(rows)]
    sources = [Plain(task, replayed=old) for _, task, old, _ in rows]
    wanted = balanced_shares(streams, sources, per="step", balance=balance, replay=share)
    mixture = Mixture([replace(s, weight=w) for s, w in zip(streams, wanted, strict=True)], per="step")
    found = np.bincount(mixture.locate(np.arange(start, start + PERIOD)).source, minlength=len(rows)) / PERIOD
    assert np.abs(found - wanted).max() <= 0.001
    olds = np.array([old for _, _, old, _ in rows])
    assert abs(found[olds].sum() - (share if olds.any() else 0)) <= 0.001 * max(1, olds.sum())
    if balance == "task":
        tasks = {task for _, task, old, _ in rows if not old}
        for task in tasks:
            mine = [k for k, (_, own, old, _) in enumerate(rows) if own == task and not old]
            assert sum(wanted[k] for k in mine) == pytest.approx((1 - (share if olds.any() else 0)) / len(tasks))


def test_weights_hold_within_a_task_and_tasks_are_equal_whatever_their_size():
    streams = [Stream("a", 3.0, (10,)), Stream("b", 1.0, (1000,)), Stream("c", 7.0, (5,))]
    sources = [Plain("lift"), Plain("lift"), Plain("push")]
    wanted = balanced_shares(streams, sources, per="step", balance="task", replay=0.2)
    assert wanted == pytest.approx((0.375, 0.125, 0.5))
    assert balanced_shares(streams, sources, per="step", balance="none", replay=0.2) == pytest.approx(
        (3 / 11, 1 / 11, 7 / 11)
    )


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A policy that was trained on 75 % of one dataset and 25 % of two episodes of another."""
    out = tmp_path_factory.mktemp("earlier")
    first = SourceConfig(write_dataset(out, name="lifts"), 75)
    second = SourceConfig(write_dataset(out, name="pushes", seed=1, lengths=(8, 8, 8)), 25, episodes=2)
    config = TrainVlaConfig(MixConfig((first, second)), out / "vla", preset="debug", steps=1, threads=1)
    return train_vla(config).folder


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("new"), name="stacks", seed=2, lengths=(20, 20))


def test_an_earlier_mixture_is_drawn_again_in_its_own_shares(earlier, stacks):
    config = MixConfig((SourceConfig(stacks),), replay=earlier, replay_share=0.4, samples=PERIOD)
    report = mix(config)
    assert [row.name for row in report.sources] == ["stacks", "replay lifts", "replay pushes"]
    assert [row.drawn for row in report.sources] == [6000, 3000, 1000]
    assert report.sources[2].episodes == 2
    loaded = load_mixture(config, LoadOptions(image_size=32, threads=1))
    where = loaded.mixture.locate(np.arange(1000))
    assert np.bincount(where.source).tolist() == [600, 300, 100]
    batch = loaded.batch(np.arange(64))
    for row in range(64):
        arrays = loaded.train[where.source[row]]
        assert (batch.actions[row, 0] == arrays.action[where.row[row]]).all()
    assert set(loaded.validation) == {0, 1, 2}


def test_a_policy_trained_with_replay_can_be_replayed_itself(earlier, stacks, tmp_path):
    data = MixConfig((SourceConfig(stacks),), replay=earlier, replay_share=0.5)
    second = train_vla(TrainVlaConfig(data, tmp_path / "second", preset="debug", steps=1, threads=1)).folder
    newest = write_dataset(tmp_path, name="doors", seed=3)
    report = mix(MixConfig((SourceConfig(newest),), replay=second, replay_share=0.5, samples=PERIOD))
    shares = {row.name: row.drawn / PERIOD for row in report.sources}
    assert shares == {
        "doors": 0.5, "replay stacks": 0.25, "replay replay lifts": 0.1875, "replay replay pushes": 0.0625,
    }  # fmt: skip


def test_the_digest_follows_replay_and_balance_and_is_what_it_was_without(earlier, stacks):
    plain = MixConfig((SourceConfig(stacks),))
    digests = {
        mix(config).digest
        for config in (
            plain,
            replace(plain, replay=earlier),
            replace(plain, replay=earlier, replay_share=0.3),
            replace(plain, balance="task"),
        )
    }
    assert len(digests) == 4
    sources = open_sources(plain)
    streams = [source.stream() for source in sources]
    ours, bare = mixed(streams, sources, plain), Mixture(streams, per="step", seed=0)
    assert (ours.locate(np.arange(500)).row == bare.locate(np.arange(500)).row).all()


def test_a_dataset_that_changed_since_is_refused(earlier, stacks, tmp_path):
    copy = shutil.copytree(earlier, tmp_path / "copy")
    record = json.loads((copy / "checkpoint.json").read_text())
    record["mixture"]["sources"][0]["digest"] = "0" * 16
    (copy / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="is not what"):
        mix(MixConfig((SourceConfig(stacks),), replay=copy))
    (copy / "checkpoint.json").write_text(json.dumps({"kind": "expert"}))
    with pytest.raises(UserError, match="names no checkpoint with a mixture"):
        mix(MixConfig((SourceConfig(stacks),), replay=copy))
    with pytest.raises(UserError, match="replay_share"):
        MixConfig((SourceConfig(stacks),), replay=earlier, replay_share=1.0)


def test_the_task_of_a_source_is_what_the_job_or_the_dataset_says(stacks):
    named, unnamed = open_sources(MixConfig((SourceConfig(stacks, task="stack"), SourceConfig(stacks, name="again"))))
    assert (named.task, unnamed.task) == ("stack", "again")

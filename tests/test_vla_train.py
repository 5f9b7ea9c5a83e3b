import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from datagen.mixture import MixConfig, SourceConfig
from policies.vla.checkpoint import load_checkpoint
from policies.vla.feed import Feed
from policies.vla.learner import Learner
from policies.vla.normalization import Statistics, mixture_statistics
from policies.vla.presets import Augment
from policies.vla.settings import Budget, TrainVlaConfig, learning_rate_factor
from policies.vla.train import train_vla
from sim.errors import UserError
from tests.small_data import write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    first = write_dataset(out, name="synthetic")
    second = write_dataset(out, name="other", lengths=(8, 8), seed=1, source="stand-in for real data")
    return MixConfig(sources=(SourceConfig(first, 90), SourceConfig(second, 10)))


def config(data, out, **changes):
    return TrainVlaConfig(data=data, out=out, preset="debug", steps=4, threads=1, **changes)


PLAIN = Augment(shift=0, jitter=0.0, state_noise=0.0)


def stop_at(step):
    def on_step(done):
        if done == step:
            signal.raise_signal(signal.SIGINT)

    return on_step


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    return train_vla(config(data, tmp_path_factory.mktemp("straight")))


def test_two_steps_resumed_to_four_equal_four_straight(data, straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_vla(config(data, tmp_path), on_step=stop_at(2))
    assert (tmp_path / "resume.safetensors").exists()
    assert not (tmp_path / "checkpoint.json").exists()
    resumed = train_vla(config(data, tmp_path))
    assert resumed.digest == straight.digest
    assert resumed.steps == 4
    assert not (tmp_path / "resume.safetensors").exists()


def test_a_crash_costs_only_the_steps_since_the_last_saved_state(data, straight, tmp_path):
    def crash(step):
        if step == 3:
            raise OSError("the machine went down")

    with pytest.raises(OSError, match="went down"):
        train_vla(config(data, tmp_path, save_every=0.0), on_step=crash)
    done = []
    resumed = train_vla(config(data, tmp_path, save_every=0.0), on_step=done.append)
    assert done == [3, 4]
    assert resumed.digest == straight.digest


def test_equal_seeds_give_equal_weights_and_others_do_not(data, straight, tmp_path):
    assert train_vla(config(data, tmp_path / "same")).digest == straight.digest
    assert train_vla(config(data, tmp_path / "other", seed=1)).digest != straight.digest


def test_a_finished_training_is_returned_as_it_is(data, straight):
    again = train_vla(config(data, straight.folder))
    assert again == straight


def test_a_finished_training_is_not_overwritten_by_another(data, straight):
    with pytest.raises(UserError, match="not overwritten"):
        train_vla(replace(config(data, straight.folder), seed=9))
    assert load_checkpoint(straight.folder).digest == straight.digest


def test_a_state_of_another_training_is_refused(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_vla(config(data, tmp_path), on_step=stop_at(1))
    with pytest.raises(UserError, match="other data or settings"):
        train_vla(replace(config(data, tmp_path), steps=5))


def test_a_budget_in_minutes_ends_and_uses_the_whole_schedule(data, tmp_path):
    result = train_vla(replace(config(data, tmp_path), steps=None, minutes=0.02))
    assert result.steps > 4
    assert 1.2 <= result.seconds < 3
    rates = [json.loads(line).get("learning_rate") for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    rates = [rate for rate in rates if rate is not None]
    assert len(rates) < 2 or rates[-1] < max(rates)


def test_the_result_says_what_was_drawn_and_measured(straight):
    assert [row.drawn for row in straight.mixture.sources] == [29, 3]
    assert set(straight.metrics) == {"synthetic", "other"}
    for values in straight.metrics.values():
        assert set(values) == {"loss", "position_error", "gripper_accuracy", "keyframe_error", "samples"}
        assert all(np.isfinite(value) for value in values.values())
    lines = [json.loads(line) for line in (straight.folder / "curve.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4
    assert lines[-1]["validation"] == {k: dict(v) for k, v in straight.metrics.items()}


def test_a_dataset_without_validation_has_no_metrics_instead_of_zeros(tmp_path):
    folder = write_dataset(tmp_path, val_lengths=())
    data = MixConfig(sources=(SourceConfig(folder),))
    assert train_vla(config(data, tmp_path / "out")).metrics == {}


def test_tensorboard_events_are_written_when_asked_for(data, tmp_path):
    train_vla(config(data, tmp_path, tensorboard=True))
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_tiny_model_learns_64_samples_by_heart(data):
    from datagen.loader import LoadOptions, load_mixture

    preset = replace(config(data, None).resolved(), batch=32, augment=PLAIN)
    loaded = load_mixture(data, LoadOptions(image_size=32))
    feed = Feed(loaded, mixture_statistics(loaded), preset, seed=0)
    learner = Learner(preset, feed.statistics, chunk=8, seed=0)
    losses = []
    for step in range(150):
        terms = learner.learn(feed.training(step % 2), learning_rate=3e-3)
        losses.append(terms["loss"])
    assert np.mean(losses[-5:]) < 0.1 * np.mean(losses[:3])


def test_new_weights_depend_on_the_seed_and_change_no_global_state(data):
    preset, statistics = config(data, None).resolved(), Statistics((0.0,) * 8, (0.1,) * 8, (0.0,) * 6, (0.01,) * 6)
    before = torch.random.get_rng_state()
    first, second = (Learner(preset, statistics, chunk=8, seed=3).model.state_dict() for _ in range(2))
    assert (torch.random.get_rng_state() == before).all()
    assert all((first[name] == second[name]).all() for name in first)
    other = Learner(preset, statistics, chunk=8, seed=4).model.state_dict()
    assert any((first[name] != other[name]).any() for name in first)


def test_the_learning_rate_rises_and_falls_to_a_tenth():
    factors = [learning_rate_factor(p, warmup=0.1) for p in np.linspace(0, 1, 101)]
    assert max(factors) == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(0.1)
    assert factors[0] < 0.1
    assert Budget(steps=10, seconds=60.0).progress(5, 12.0) == 0.5
    assert Budget(steps=None, seconds=60.0).progress(5, 90.0) == 1.0


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"preset": "cpu_minute"}, "cpu_minutes"), ({"steps": 0}, "steps = 0"), ({"minutes": -1.0}, "minutes")],
)
def test_impossible_settings_are_refused(data, tmp_path, changes, word):
    with pytest.raises(UserError, match=word):
        train_vla(replace(config(data, tmp_path), **changes))


def test_a_damaged_state_is_refused_and_left_alone(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_vla(config(data, tmp_path), on_step=stop_at(1))
    state = tmp_path / "resume.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(UserError, match="begin the training anew"):
        train_vla(config(data, tmp_path))
    assert state.stat().st_size == 1000


def test_a_copied_state_continues_elsewhere(data, straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_vla(config(data, tmp_path / "a"), on_step=stop_at(3))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert train_vla(config(data, tmp_path / "b")).digest == straight.digest

"""How a training goes: passes, processes, early stop, what its curve says, and weights it begins with."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig
from policies.vla.checkpoint import load_checkpoint
from policies.vla.feed import Feed
from policies.vla.learner import Learner
from policies.vla.normalization import mixture_statistics
from policies.vla.presets import PRESETS
from policies.vla.settings import AugmentChanges, TrainVlaConfig
from policies.vla.story import check_divergence, stale, tell, validations
from policies.vla.train import train_vla
from sim.errors import UserError
from tests.small_data import write_dataset

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), lengths=(12, 9, 15))


@pytest.fixture(scope="module")
def data(folder):
    return MixConfig(sources=(SourceConfig(folder),))


def job(data, out, **changes):
    return replace(TrainVlaConfig(data=data, out=out, preset="debug", steps=4, threads=1), **changes)


def stop_at(step):
    return lambda done: signal.raise_signal(signal.SIGINT) if done == step else None


def curve(out):
    return [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
def test_a_batch_in_passes_is_the_batch(data, head):
    loaded = load_mixture(data, LoadOptions(image_size=32))
    for arrays in loaded.train:  # Where points are known differs from pass to pass.
        arrays.points[::3] = 0.4
    preset = replace(PRESETS["debug"], batch=16, head=head)
    statistics = mixture_statistics(loaded)
    said = []
    for accumulate in (1, 4):
        cut = replace(preset, accumulate=accumulate)
        learner = Learner(cut, statistics, chunk=8, seed=0)
        feed = Feed(loaded, statistics, cut, seed=0)
        terms = [learner.learn(feed.training(step), learning_rate=1e-9) for step in range(3)]
        assert len(feed.training(0)) == accumulate
        said.append((terms, [p.grad for p in learner.model.parameters() if p.grad is not None]))
    (one, gradients), (four, others) = said
    for a, b in zip(one, four, strict=True):
        assert a.keys() == b.keys()
        assert list(a.values()) == pytest.approx(list(b.values()), rel=2e-4)
    largest = max(gradient.abs().max() for gradient in gradients)
    assert max((a - b).abs().max() for a, b in zip(gradients, others, strict=True)) < 1e-4 * largest


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped_and_learn_the_same(folder, data, tmp_path):
    straight = train_vla(job(data, tmp_path / "straight", steps=22))
    out = tmp_path / "parallel"
    with pytest.raises(KeyboardInterrupt):
        train_vla(job(data, out, steps=22), on_step=stop_at(2))
    job_file = tmp_path / "job.toml"
    job_file.write_text(
        f'out = "{out}"\npreset = "debug"\nsteps = 22\nthreads = 1\n[data]\n[[data.sources]]\npath = "{folder}"\n'
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(ROOT / "demomill.py"), "train-vla", str(job_file)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for one, two in zip(curve(straight.folder), curve(out), strict=True):
        if "loss" not in one:
            continue
        # Means since the last entry: the interrupted one forgot its first two steps.
        assert two["arm"] == pytest.approx(one["arm"], rel=0.2)
    weights, others = (load_file(place / "model.safetensors") for place in (straight.folder, out))
    off = max(np.abs(weights[name] - others[name]).max() for name in weights)
    assert off < 2e-3
    record = json.loads((out / "checkpoint.json").read_text())
    assert record["training"]["steps"] == 22
    assert not (out / "resume.safetensors").exists()


def test_a_training_stops_early_and_keeps_the_best_weights(data, tmp_path):
    changes = {"steps": 40, "validations": 20, "patience": 2, "learning_rate": 1e-9}
    stopped = train_vla(job(data, tmp_path / "a", **changes))
    assert stopped.steps < 40
    looks = [(e["step"], e["validation"]["squares"]["loss"]) for e in curve(tmp_path / "a") if "validation" in e]
    best = min(looks, key=lambda look: look[1])
    assert looks[-1][0] == stopped.steps
    assert stopped.metrics["squares"]["loss"] == best[1]  # Measured with the weights that are kept.
    assert not list((tmp_path / "a").glob("best*"))
    # Interrupted after its best, it ends the same way.
    at = best[0] + 1
    with pytest.raises(KeyboardInterrupt):
        train_vla(job(data, tmp_path / "b", **changes), on_step=stop_at(at))
    again = train_vla(job(data, tmp_path / "b", **changes))
    assert (again.digest, again.steps) == (stopped.digest, stopped.steps)
    shorter = {**changes, "patience": None}
    stopper = train_vla(job(data, tmp_path / "c", **shorter))
    assert stopper.steps == 40


def test_patience_without_a_validation_split_is_refused(tmp_path):
    data = MixConfig(sources=(SourceConfig(write_dataset(tmp_path, val_lengths=())),))
    with pytest.raises(UserError, match=r"no source has the split 'val'"):
        train_vla(job(data, tmp_path / "out", patience=2))


def look(step, value):
    return {"step": step, "validation": {"a": {"loss": value}}}


def test_the_curve_is_told_in_words():
    shares = {"a": 0.9, "b": 0.1}
    both = {"step": 9, "validation": {"a": {"loss": 1.0}, "b": {"loss": 2.0}}}
    assert validations([both], shares) == [(9, pytest.approx(1.1))]
    trained = [{"step": k, "loss": 1.0 - k / 100} for k in range(0, 80, 20)]
    over = tell([*trained, look(20, 0.5), look(40, 0.4), look(60, 0.7)], shares)
    assert len(over) == 1
    assert over[0].startswith("Over-fitting: the validation loss was lowest at step 40 (0.4) and is 0.7 at step 60")
    assert "training loss fell from 0.6 to 0.4" in over[0]
    assert tell([look(20, 0.5), look(40, 0.4)], shares)[0].startswith("Still learning")
    assert tell([look(20, 0.5), look(40, 0.499)], shares) == ()
    assert "not known" in tell(trained, shares)[0]


def test_early_stop_counts_validations_without_a_lower_loss():
    shares = {"a": 1.0}
    falling = [look(k, 1.0 - k / 100) for k in range(5)]
    assert not stale(falling, shares, patience=2)
    assert not stale([*falling, look(5, 2.0)], shares, patience=2)
    assert stale([*falling, look(5, 2.0), look(6, 0.97)], shares, patience=2)
    assert not stale([look(0, 1.0), look(1, 1.0)], shares, patience=2)


def test_a_loss_that_stays_ten_times_above_its_lowest_ends_the_training_in_words():
    good = [{"step": k, "loss": 0.1} for k in range(10)]
    blown = [{"step": 10 + k, "loss": 3.0} for k in range(5)]
    check_divergence(good, learning_rate=1e-3)
    check_divergence([*good, *blown[:4], {"step": 14, "loss": 0.5}], learning_rate=1e-3)
    with pytest.raises(UserError, match=r"was 0.1 at step 0 and is above 3 since step 10. Lower learning_rate"):
        check_divergence([*good, *blown], learning_rate=1e-3)


def test_a_training_may_begin_with_the_weights_of_another(data, tmp_path):
    first = train_vla(job(data, tmp_path / "first", text_encoder="subword", steps=12))
    other = MixConfig(sources=(SourceConfig(write_dataset(tmp_path, name="other", seed=4, lengths=(10, 10))),))
    tuned = train_vla(
        job(other, tmp_path / "tuned", text_encoder="subword", steps=1, learning_rate=1e-9, init=first.folder)
    )
    one, two = load_checkpoint(first.folder), load_checkpoint(tuned.folder)
    assert one.statistics == two.statistics
    assert two.record["vocabulary_sha256"] == one.record["vocabulary_sha256"]
    for name, value in one.model.state_dict().items():
        assert torch.allclose(value, two.model.state_dict()[name], atol=1e-5)
    with pytest.raises(UserError, match="text_encoder: 'subword' there, 'hashed' asked for"):
        train_vla(job(other, tmp_path / "wrong", init=first.folder))


def test_bf16_and_all_variations_train_and_resume_exactly(data, tmp_path):
    strong = AugmentChanges(crop=0.1, blur=1.0, noise=0.1, erase=0.5, mirror=0.5, skip=1, action_noise=0.1)
    changes = {"precision": "bf16", "augment": strong, "accumulate": 2, "prefetch": 2}
    straight = train_vla(job(data, tmp_path / "a", **changes))
    with pytest.raises(KeyboardInterrupt):
        train_vla(job(data, tmp_path / "b", **changes), on_step=stop_at(2))
    assert train_vla(job(data, tmp_path / "b", **{**changes, "prefetch": 0})).digest == straight.digest


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(data, tmp_path):
    plain, compiled = (train_vla(job(data, tmp_path / str(flag), compile=flag)) for flag in (False, True))
    one, two = (load_checkpoint(result.folder).model.state_dict() for result in (plain, compiled))
    assert max((one[name] - two[name]).abs().max() for name in one) < 1e-3


@pytest.mark.slow
def test_rollouts_in_our_engine_are_part_of_the_curve(tmp_path):
    from policies.vla.settings import RolloutConfig

    data = MixConfig(sources=(SourceConfig(write_dataset(tmp_path, image_size=256)),))
    rollouts = RolloutConfig(tasks=("lift_cube",), episodes=2, preset="none", execute=8)
    result = train_vla(job(data, tmp_path / "out", rollouts=rollouts, validations=1, steps=1))
    found = [entry["rollouts"] for entry in curve(result.folder) if "rollouts" in entry]
    assert found == [{"lift_cube": {"success": 0.0, "episodes": 2.0}}]
    assert load_checkpoint(result.folder).record["rollouts"] == found[-1]

"""The wrist camera as a second input of the VLA: read from data, learned from, asked for when it acts."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig
from policies.loading import load_policy
from policies.vla.augment import draw, varied_frames, varied_wrist
from policies.vla.checkpoint import load_checkpoint
from policies.vla.feed import Feed
from policies.vla.learner import Learner, model_config
from policies.vla.model import new_model
from policies.vla.normalization import mixture_statistics
from policies.vla.objective import counts_of, loss_terms
from policies.vla.policy import load_vla
from policies.vla.presets import CHUNK, PRESETS, Augment
from policies.vla.session import _load
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from policies.vla.vision import spatial_softmax
from sim.episodes import Observation
from sim.errors import UserError
from tests.small_data import write_dataset

BOTH = ("image", "wrist_image")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("wrist")
    return MixConfig(sources=(SourceConfig(write_dataset(out, cameras=BOTH, annotations=("points",))),))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    config = TrainVlaConfig(data=data, out=out / "vla", preset="debug", wrist_size=32, steps=4, threads=1)
    train_vla(config)
    return config


def feed_of(config):
    loaded = _load(config, threads=1)
    return Feed(loaded, mixture_statistics(loaded), config.resolved(), seed=config.seed)


def observation(near, *, worlds=(0,)):
    frames = {"image": 90, "wrist_image": near}
    asked = []

    def render(camera):
        asked.append(camera)
        return np.full((len(worlds), 64, 64, 3), frames[camera], np.uint8)

    state = np.tile(np.array([0.5, 0, 0.2, 1, 0, 0, 0, 1], np.float32), (len(worlds), 1))
    told = Observation(
        ids=np.array(worlds),
        seeds=worlds,
        steps=np.zeros(len(worlds)),
        state=state,
        privileged=np.zeros((len(worlds), 0), np.float32),
        instructions=("Move to the red square.",) * len(worlds),
        render=render,
    )
    return told, asked


def test_both_cameras_are_decoded_each_at_its_own_size(data):
    loaded = load_mixture(data, LoadOptions(image_size=32, wrist_size=16))
    arrays = loaded.train[0]
    assert arrays.image.shape[1:] == (32, 32, 3)
    assert arrays.wrist.shape == (len(arrays.image), 16, 16, 3)
    # The hand, white, is in the middle of its own camera's frame; where both are seen, the square goes by the points.
    assert (arrays.wrist[:, 7:9, 7:9].min(axis=(1, 2, 3)) > 140).all()
    assert np.allclose(arrays.wrist_points[:, 1], 0.5)
    assert np.abs(arrays.wrist_points[:, 0] - arrays.points[:, 0]).max() > 0.1
    plain = load_mixture(data, LoadOptions(image_size=32)).train[0]
    assert plain.wrist.size == 0
    assert np.isnan(plain.wrist_points).all()
    assert (plain.image == arrays.image).all()


def test_a_source_without_the_wrist_camera_is_refused_by_name(tmp_path):
    config = TrainVlaConfig(
        data=MixConfig(sources=(SourceConfig(write_dataset(tmp_path), name="old"),)),
        out=tmp_path / "vla", preset="debug", wrist_size=32, steps=2,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"source 'old'.*cameras = \["):
        train_vla(config)
    assert not (tmp_path / "vla" / "checkpoint.json").exists()


@pytest.mark.parametrize("size", [-64, 8, 5000])
def test_impossible_widths_are_refused(data, tmp_path, size):
    with pytest.raises(UserError, match=f"wrist_size = {size} is not allowed"):
        TrainVlaConfig(data=data, out=tmp_path, wrist_size=size).resolved()


@pytest.mark.parametrize("fusion", ["pooled", "transformer"])
@pytest.mark.parametrize("head", ["l1", "bins", "flow"])
def test_every_part_of_the_tower_learns(data, tmp_path, head, fusion):
    config = TrainVlaConfig(data=data, out=tmp_path, preset="debug", wrist_size=32, head=head, fusion=fusion)
    feed = feed_of(config)
    learner = Learner(config.resolved(), feed.statistics, chunk=CHUNK, seed=0)
    inputs = feed.samples(np.arange(8))
    for block in learner.model.wrist.blocks:  # They begin at 0, where no gradient reaches the sentence's embedding.
        torch.nn.init.normal_(block.film.weight, std=0.1)
    torch.nn.init.normal_(learner.model.head.leave.weight, std=0.1) if head == "flow" else None
    terms = loss_terms(
        learner.model,
        learner.model.perceive(inputs.pixels, inputs.words, inputs.state, inputs.near),
        inputs,
        counts_of(inputs.wanted),
    )
    sum(terms.values()).backward()
    silent = [name for name, p in learner.model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert silent == []


def test_without_it_the_network_is_what_it_was():
    preset = PRESETS["cpu_minutes"]
    plain = new_model(model_config(preset, chunk=CHUNK), seed=3)
    both = new_model(model_config(replace(preset, wrist_size=64), chunk=CHUNK), seed=3)
    assert not any(name.startswith("wrist") for name in plain.state_dict())
    assert plain.wrist is None
    alike = [name for name, value in plain.state_dict().items() if name.startswith(("stem", "blocks", "words"))]
    assert alike
    assert all((plain.state_dict()[name] == both.state_dict()[name]).all() for name in alike)
    added = sum(value.numel() for name, value in both.state_dict().items() if name.startswith("wrist"))
    assert added < 0.5 * sum(value.numel() for value in plain.state_dict().values())


def test_it_learns_where_the_square_is_seen_from_the_wrist(data, tmp_path):
    config = TrainVlaConfig(data=data, out=tmp_path, preset="debug", wrist_size=32, steps=150)
    feed = feed_of(config)
    learner = Learner(config.resolved(), feed.statistics, chunk=CHUNK, seed=0)

    def missed():
        rows = next(feed.data.validation_batches(64, limit=64))[1]
        inputs = feed.plain(rows)
        with torch.no_grad():
            seen = learner.model.perceive(inputs.pixels, inputs.words, inputs.state, inputs.near)
        places = (1 + spatial_softmax(seen.wrist_ground)[:, 0::2]) / 2
        return float(np.nanmean(np.linalg.norm(places.numpy() - rows.wrist_points[:, 0], axis=-1)))

    before = missed()
    for step in range(150):
        learner.learn(feed.training(step), learning_rate=2e-3)
    assert missed() < 0.5 * before


def test_what_training_changes_about_its_frames_is_its_own_and_repeatable(data, tmp_path):
    config = TrainVlaConfig(data=data, out=tmp_path, preset="debug", wrist_size=32)
    feed = feed_of(config)
    batch = feed.data.batch(np.arange(6))
    augment = Augment(shift=4, jitter=0.0)
    own, other = (draw(0, np.arange(6), chunk=CHUNK, stream=name) for name in ("wrist", "sample"))
    pixels, points = varied_wrist(batch, own, augment)
    again, _ = varied_wrist(batch, own, augment)
    assert torch.equal(pixels, again)
    alone, seen = varied_frames(replace(batch, image=batch.wrist, points=batch.wrist_points), other, augment)
    assert not torch.equal(pixels, alone)
    moved = ~np.isnan(points).any(axis=-1) & ~np.isnan(seen).any(axis=-1)
    assert np.abs(points - batch.wrist_points)[moved].max() <= 4 / 32 + 1e-6
    first, second = feed.samples(np.arange(6)), feed.samples(np.arange(6))
    assert torch.equal(first.near, second.near)


def test_it_stops_and_goes_on_bit_for_bit(trained, tmp_path):
    from safetensors.torch import load_file

    whole = load_file(trained.out / "model.safetensors")
    broken = replace(trained, out=tmp_path / "vla", save_every=0)

    class Stop(Exception):
        pass

    def stop(step):
        if step == 2:
            raise Stop

    with pytest.raises(Stop):
        train_vla(broken, on_step=stop)
    train_vla(broken)
    again = load_file(broken.out / "model.safetensors")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_policy_asks_for_it_and_goes_by_it(trained):
    policy = load_vla(trained.out)
    assert policy.spec.inputs == {"image", "wrist_image", "state", "instruction"}
    dark, asked = observation(10)
    light, _ = observation(240)
    assert (policy.act(dark) != policy.act(light)).any()
    assert sorted(asked) == sorted(BOTH)
    many, _ = observation(10, worlds=(0, 1, 2, 3, 4))
    assert (load_vla(trained.out).act(many) == load_vla(trained.out).act(observation(10)[0])).all()


def test_a_checkpoint_of_before_reads_no_wrist_camera(data, tmp_path):
    config = TrainVlaConfig(data=data, out=tmp_path / "vla", preset="debug", steps=2, threads=1)
    train_vla(config)
    record = json.loads((config.out / "checkpoint.json").read_text())
    assert record["model"].pop("wrist_size") == 0
    (config.out / "checkpoint.json").write_text(json.dumps(record))
    assert load_checkpoint(config.out).model.wrist is None
    told, asked = observation(10)
    load_vla(config.out).act(told)
    assert asked == ["image"]


def test_going_on_with_a_network_that_reads_another_camera_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="wrist_size: 32 there, 0 asked for"):
        train_vla(replace(trained, out=tmp_path, init=trained.out, wrist_size=0))


def test_an_altered_size_does_not_load(trained, tmp_path):
    folder = shutil.copytree(trained.out, tmp_path / "vla")
    record = json.loads((folder / "checkpoint.json").read_text())
    record["model"]["wrist_size"] = 0
    (folder / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="do not fit"):
        load_policy(str(folder), task="lift_cube")

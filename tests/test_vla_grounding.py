"""Where things are seen: points of the data, under training's changes, and what the network is asked for."""

import base64
from dataclasses import replace

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from bench.grounding_picture import grounding_section
from bench.sections import sections_from
from datagen.labels import points
from datagen.mixture import MixConfig, SourceConfig
from datagen.rlds_reader import StoredEpisode
from datagen.schema import point_key
from policies.vla.checkpoint import VlaCheckpoint, load_checkpoint
from policies.vla.feed import Feed
from policies.vla.grounding import ground, write_grounding
from policies.vla.learner import Learner
from policies.vla.normalization import mixture_statistics
from policies.vla.objective import ground_loss
from policies.vla.presets import Augment
from policies.vla.session import _load
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from policies.vla.vision import spatial_softmax
from sim.conventions import CANONICAL
from tests.small_data import write_dataset


def episode(**columns):
    return StoredEpisode({"action": np.zeros((3, 7), np.float32)} | columns, {})


def test_points_off_the_frame_and_absent_ones_are_not_known():
    target = np.array([[0.2, 0.3], [1.2, 0.3], [-1.0, -1.0]], np.float32)
    tcp = np.full((3, 2), 0.5, np.float32)
    found = points(episode(**{point_key("image", "target"): target, point_key("image", "tcp"): tcp}))
    assert found[0].tolist() == pytest.approx(np.array([[0.2, 0.3], [0.5, 0.5]]))
    assert np.isnan(found[1:, 0]).all()
    assert (found[:, 1] == 0.5).all()
    assert np.isnan(points(episode())).all()
    assert points(episode()).shape == (3, 2, 2)


def test_the_best_map_has_its_expected_place_at_the_point():
    torch.manual_seed(0)
    wanted = torch.rand(6, 2, 2)
    logits = torch.zeros(6, 2, 5, 7, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.3)
    for _ in range(600):
        optimizer.zero_grad()
        ground_loss(logits, wanted).backward()
        optimizer.step()
    found = (1 + spatial_softmax(logits.detach()).view(6, 2, 2).transpose(1, 2)) / 2
    assert (found - wanted).abs().max() < 0.01


def test_unknown_points_teach_nothing_and_do_no_harm():
    logits = torch.randn(4, 2, 5, 5, requires_grad=True)
    unknown = torch.full((4, 2, 2), torch.nan)
    ground_loss(logits, unknown).backward()
    assert (logits.grad == 0).all()
    some = unknown.clone()
    some[1, 0] = torch.tensor([0.25, 0.75])
    logits.grad = None
    ground_loss(logits, some).backward()
    assert (logits.grad[1, 0] != 0).any()
    assert (logits.grad[[0, 2, 3]] == 0).all()
    assert (logits.grad[1, 1] == 0).all()


def test_points_move_with_the_shifted_frame(tmp_path):
    folder = write_dataset(tmp_path, lengths=(12, 9), val_lengths=())
    config = TrainVlaConfig(
        data=MixConfig(sources=(SourceConfig(folder, 1.0, "a"),), seed=0), out=tmp_path / "o", preset="debug"
    )
    preset = replace(config.resolved(), augment=Augment(shift=3, jitter=0.0), batch=16)
    data = _load(config, threads=1)
    rows = data.train[0]
    stream = np.random.default_rng(0)
    size = preset.image_size
    rows.image[:] = 0
    for row in range(len(rows.image)):
        y, x = stream.integers(8, size - 8, 2)
        rows.image[row, y, x] = 255
        rows.points[row] = np.array([[(x + 0.5) / size, (y + 0.5) / size]] * 2)
    inputs = Feed(data, mixture_statistics(data), preset, seed=3).training(0)[0]
    bright = inputs.pixels[:, 0].flatten(1).argmax(dim=1)
    where = torch.stack([bright % size, bright // size], dim=1)
    assert torch.allclose(inputs.wanted.points[:, 0] * size, where + 0.5, atol=1e-3)


SENTENCES = ("Move to the red square.", "Move to the green square.")


def two_squares(data, seed):
    """Make the rows' frames show a red and a green square, and their points the one that the sentence names."""
    rows, stream = data.train[0], np.random.default_rng(seed)
    size, names = rows.image.shape[1], [data.instructions.index(sentence) for sentence in SENTENCES]
    rows.image[:] = 90
    for row in range(len(rows.image)):
        corners = stream.integers(0, [size // 2 - 6, size - 6], (2, 2)) + [[0, 0], [size // 2, 0]]
        named = int(stream.integers(2))
        for which, (y, x) in enumerate(stream.permutation(corners)):
            rows.image[row, y : y + 6, x : x + 6] = ((230, 20, 20), (20, 210, 20))[which]
            if which == named:
                rows.points[row] = np.array([[(x + 3) / size, (y + 3) / size]] * 2)
        rows.instruction[row] = names[named]
    return rows


def learned(tmp_path_factory, *, steps):
    """A small network that learns to find what a sentence names among two things."""
    folder = write_dataset(tmp_path_factory.mktemp("data"), lengths=(60,) * 8, val_lengths=())
    config = TrainVlaConfig(data=MixConfig(sources=(SourceConfig(folder),)), out=folder, preset="debug")
    preset = replace(config.resolved(), augment=Augment(shift=0, jitter=0.0), batch=16)
    data = _load(config, threads=1)
    assert set(data.instructions) == set(SENTENCES)
    two_squares(data, 0)
    statistics = mixture_statistics(data)
    feed, learner = Feed(data, statistics, preset, seed=0), Learner(preset, statistics, chunk=8, seed=0)
    learner.weights = replace(learner.weights, ground=2.0)
    for step in range(steps):
        learner.learn(feed.training(step), learning_rate=6e-3 * min(1, 2 - 2 * step / steps))
    checkpoint = VlaCheckpoint(learner.model.eval(), CANONICAL, statistics, "0" * 64, {})
    return data, checkpoint


@pytest.mark.slow
def test_the_sentence_decides_where_a_network_looks(tmp_path_factory):
    data, checkpoint = learned(tmp_path_factory, steps=260)
    rows = two_squares(data, 1)
    shown = slice(0, 60)
    sentences = [data.instructions[k] for k in rows.instruction[shown]]
    other = [SENTENCES[1 - SENTENCES.index(sentence)] for sentence in sentences]
    named = rows.points[shown, 0]
    right, swapped = (ground(checkpoint, rows.image[shown], said, rows.state[shown]) for said in (sentences, other))
    near = [np.linalg.norm([maps.place for maps in found] - named, axis=1) < 0.15 for found in (right, swapped)]
    assert near[0].mean() > 0.8
    assert near[1].mean() < 0.3
    for maps in right[:8]:
        for heat in (maps.target, maps.gradient):
            assert heat.shape == (32, 32)
            assert heat.min() >= 0
            assert heat.max() == pytest.approx(1.0)


def test_the_picture_shows_frame_target_gradient_and_blank_side_by_side(tmp_path_factory, tmp_path):
    data, checkpoint = learned(tmp_path_factory, steps=1)
    rows = two_squares(data, 2)
    chosen, said = rows.image[:3], [data.instructions[k] for k in rows.instruction[:3]]
    path = write_grounding(tmp_path, checkpoint, chosen, said, rows.state[:3])
    shown = imageio.imread(path)
    assert shown.shape == (3 * 160 + 2 * 4, 4 * 160 + 3 * 4, 3)
    assert (shown[:160, :160] == chosen[0].repeat(5, axis=0).repeat(5, axis=1)).all()
    found = ground(checkpoint, chosen, said, rows.state[:3])
    for k, maps in enumerate(found):
        part = shown[k * 164 : k * 164 + 160, 164:324].astype(int)
        red = (part[..., 0] - part[..., 2])[::5, ::5]
        assert np.abs(red - 0.8 * 255 * maps.target).max() <= 2


def test_the_page_takes_the_picture_of_the_very_checkpoint_that_was_judged(tmp_path):
    folder = write_dataset(tmp_path)
    config = TrainVlaConfig(
        data=MixConfig(sources=(SourceConfig(folder),)), out=tmp_path / "vla", preset="debug", steps=1, threads=1
    )
    record = load_checkpoint(train_vla(config).folder).record
    assert record["grounding"]
    loaded = {"policy": f"{tmp_path / 'vla'}?execute=2"}
    section = sections_from([grounding_section("vla", loaded, record)])[0]
    assert record["grounding"][0] in section.text
    assert base64.b64decode(section.pictures[0].partition(",")[2]) == (tmp_path / "vla/grounding.png").read_bytes()
    assert grounding_section("vla", loaded, record | {"sha256": "0" * 64}) is None
    assert grounding_section("vla", {"policy": "expert:lift_cube"}, record) is None
    assert grounding_section("vla", None, record) is None

"""Where things are seen: points of the data, under training's changes, and what the network is asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datagen.labels import points
from datagen.mixture import MixConfig, SourceConfig
from datagen.rlds_reader import StoredEpisode
from datagen.schema import point_key
from policies.vla.feed import Feed
from policies.vla.model import spatial_softmax
from policies.vla.normalization import mixture_statistics
from policies.vla.objective import ground_loss
from policies.vla.presets import Augment
from policies.vla.session import _load
from policies.vla.settings import TrainVlaConfig
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

import math
from dataclasses import replace

import numpy as np
import pytest

from datagen.downscale import downscale
from datagen.interleave import Stream
from datagen.labels import keyframes
from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig, mix
from datagen.rlds_reader import open_dataset
from sim.errors import UserError
from tests.small_data import write_dataset


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    synthetic = write_dataset(out, name="synthetic", lengths=(12, 9, 15))
    other = write_dataset(out, name="other", lengths=(8, 8), val_lengths=(), seed=1, source="stand-in for real data")
    return synthetic, other


@pytest.fixture(scope="module")
def config(folders):
    return MixConfig(sources=(SourceConfig(folders[0], 90), SourceConfig(folders[1], 10)), seed=3, samples=1000)


@pytest.fixture(scope="module")
def loaded(config):
    return load_mixture(config, LoadOptions(image_size=32, threads=1))


def test_the_report_counts_exactly(config):
    report = mix(config)
    assert [row.drawn for row in report.sources] == [900, 100]
    assert [row.episodes for row in report.sources] == [3, 2]
    assert [row.steps for row in report.sources] == [36, 16]
    assert [row.label for row in report.sources] == ["synthetic", "stand-in for real data"]
    assert report.sources[1].passes == pytest.approx(100 / 16)


def test_the_digest_follows_data_weights_and_seed(config, folders):
    digest = mix(config).digest
    assert digest == mix(config).digest
    assert digest != mix(replace(config, seed=4)).digest
    assert digest != mix(replace(config, sources=config.sources[:1])).digest


def locate(episodes, row):
    for episode in episodes:
        if row < episode.length:
            return episode, row
        row -= episode.length
    raise IndexError(row)


def test_batches_hold_what_the_dataset_stores(loaded, folders):
    samples = np.arange(40)
    batch = loaded.batch(samples)
    where = loaded.mixture.locate(samples)
    for k in range(len(samples)):
        episode, step = locate(list(open_dataset(folders[where.source[k]]).episodes("train")), int(where.row[k]))
        assert (batch.image[k] == downscale(episode.images()[step : step + 1], 32)[0]).all()
        assert (batch.state[k] == episode.steps["observation/state"][step]).all()
        inside = min(8, episode.length - step)
        assert batch.mask[k].tolist() == [True] * inside + [False] * (8 - inside)
        assert (batch.actions[k, :inside] == episode.steps["action"][step : step + inside]).all()
        assert (batch.actions[k, inside:] == episode.steps["action"][-1]).all()
        assert loaded.instructions[batch.instruction[k]] == episode.texts()[step]


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_change_no_byte(loaded, config, threads):
    other = load_mixture(config, LoadOptions(image_size=32, threads=threads))
    assert other.instructions == loaded.instructions
    one, two = loaded.batch(np.arange(64)), other.batch(np.arange(64))
    assert all(np.array_equal(getattr(one, n), getattr(two, n), equal_nan="points" in n) for n in vars(one))


def test_batch_boundaries_change_no_sample(loaded):
    whole = loaded.batch(np.arange(64))
    parts = [loaded.batch(np.arange(start, start + 16)) for start in range(0, 64, 16)]
    assert (np.concatenate([part.image for part in parts]) == whole.image).all()
    assert (np.concatenate([part.actions for part in parts]) == whole.actions).all()


def test_validation_steps_come_from_their_own_split(loaded):
    assert list(loaded.validation) == [0]
    batches = list(loaded.validation_batches(4, limit=100))
    assert sum(len(batch.image) for _, batch in batches) == 10


def test_fewer_episodes_are_a_prefix(folders):
    config = MixConfig(sources=(SourceConfig(folders[0], episodes=2),))
    assert mix(config).sources[0].steps == 21
    with pytest.raises(UserError, match="3 training episodes and the mixture asks for 9"):
        mix(MixConfig(sources=(SourceConfig(folders[0], episodes=9),)))


def test_too_little_memory_is_refused_before_decoding(config):
    with pytest.raises(UserError, match="memory_gb"):
        load_mixture(config, LoadOptions(image_size=32, memory_gb=1e-5))


def test_other_conventions_are_refused_field_by_field(folders, tmp_path):
    wrong = write_dataset(tmp_path, name="wrong", convention={"rate": 10.0, "gripper_open": -1.0})
    with pytest.raises(UserError, match=r"rate: synthetic 20.0, wrong 10.0(.|\n)*") as caught:
        mix(MixConfig(sources=(SourceConfig(folders[0]), SourceConfig(wrong))))
    assert "gripper_open: synthetic 1.0, wrong -1.0" in str(caught.value)


def test_a_dataset_that_does_not_say_what_it_means_is_refused_unless_vouched_for(tmp_path):
    folder = write_dataset(tmp_path)
    (folder / "demomill.json").unlink()
    with pytest.raises(UserError, match="assume_canonical"):
        mix(MixConfig(sources=(SourceConfig(folder),)))
    assert mix(MixConfig(sources=(SourceConfig(folder, assume_canonical=True),))).sources[0].label == "unlabelled"


def test_a_truncated_shard_is_refused_with_its_name(tmp_path):
    folder = write_dataset(tmp_path)
    shard = next(folder.glob("*train*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match=shard.name):
        load_mixture(MixConfig(sources=(SourceConfig(folder),)), LoadOptions(image_size=32))


def test_a_flipped_byte_is_refused_when_loading(tmp_path):
    folder = write_dataset(tmp_path)
    shard = next(folder.glob("*train*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(UserError, match=shard.name):
        load_mixture(MixConfig(sources=(SourceConfig(folder),)), LoadOptions(image_size=32))


def test_keyframes_point_to_the_next_gripper_event_and_then_to_the_end():
    position = np.arange(6, dtype=np.float32)[:, None].repeat(3, axis=1)
    gripper = np.array([1, 1, 1, 0, 0, 0], np.float32)
    assert keyframes(position, gripper)[:, 0].tolist() == [2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize(("height", "size"), [(256, 128), (256, 96), (64, 64), (90, 30)])
def test_downscaling_averages_areas_exactly(height, size):
    images = np.random.default_rng(0).integers(0, 256, (2, height, height, 3), dtype=np.uint8)
    small = downscale(images, size)
    common = math.gcd(height, size)
    repeated = images.repeat(size // common, axis=1).repeat(size // common, axis=2)
    factor = height // common
    blocks = repeated.reshape(2, size, factor, size, factor, 3).astype(np.int64).sum(axis=(2, 4))
    assert (small == (blocks * 2 + factor**2) // (2 * factor**2)).all()


def test_downscaling_refuses_to_enlarge():
    with pytest.raises(UserError, match="cannot be reduced"):
        downscale(np.zeros((1, 64, 64, 3), np.uint8), 128)


def test_streams_count_their_steps():
    assert Stream("a", 1.0, (3, 4)).steps == 7

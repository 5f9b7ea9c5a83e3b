import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from datagen.mixture import MixConfig, SourceConfig
from policies.vla import text
from policies.vla.augment import draw
from policies.vla.checkpoint import VlaCheckpoint, load_checkpoint
from policies.vla.learner import model_config
from policies.vla.model import new_model
from policies.vla.normalization import Statistics
from policies.vla.pixels import jitter, shift, to_pixels
from policies.vla.policy import BATCH, VlaPolicy, load_vla
from policies.vla.settings import PRESETS, TrainVlaConfig
from policies.vla.train import train_vla
from sim.conventions import CANONICAL, POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Observation
from sim.errors import UserError
from sim.files import sha256
from tests.small_data import write_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("vla")
    data = MixConfig(sources=(SourceConfig(write_dataset(out)),))
    return train_vla(TrainVlaConfig(data=data, out=out / "checkpoint", preset="debug", steps=10, threads=1)).folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def observation(rows, size=64):
    """Worlds that show what their number says, whatever worlds stand beside them."""
    streams = [np.random.default_rng(int(row)) for row in rows]
    images = np.array([s.integers(0, 256, (size, size, 3), dtype=np.uint8) for s in streams])
    return Observation(
        ids=np.array(rows),
        seeds=tuple(int(row) for row in rows),
        steps=np.zeros(len(rows), np.intp),
        state=np.array([s.uniform(-1, 1, 8) for s in streams], np.float32),
        privileged=np.zeros((len(rows), 0), np.float32),
        instructions=tuple(("Lift the red cube.", "Lift it", "")[row % 3] for row in rows),
        render=lambda camera: images,
    )


def test_actions_do_not_depend_on_how_many_worlds_ask(folder):
    policy = load_vla(folder)
    count = 3 * BATCH + 1
    whole = policy.act(observation(range(count)))
    assert whole.shape == (count, 8, 7)
    for size in (1, 2, 3, 5, 8):
        parts = [policy.act(observation(range(k, min(k + size, count)))) for k in range(0, count, size)]
        assert (np.concatenate(parts) == whole).all()
    order = np.random.default_rng(0).permutation(count)
    assert (policy.act(observation(order)) == whole[order]).all()


@pytest.mark.parametrize("preset", ["cpu_minutes", "cpu_hours"])
def test_that_holds_for_the_real_networks_too(preset):
    checkpoint = VlaCheckpoint(
        model=new_model(model_config(PRESETS[preset], chunk=8), seed=0).eval(),
        convention=CANONICAL,
        statistics=Statistics((0.0,) * 8, (1.0,) * 8, (0.0,) * 6, (0.02,) * 6),
        digest="0" * 64,
        record={},
    )
    policy = VlaPolicy(checkpoint, name="untrained")
    whole = policy.act(observation(range(6), size=128))
    assert np.ptp(whole[:, 0, 0]) > 0
    for rows in ([5, 0], [3], [1, 2, 4, 5, 0]):
        assert (policy.act(observation(rows, size=128)) == whole[rows]).all()


def test_actions_are_canonical(folder):
    chunk = load_vla(folder).act(observation(range(6)))
    assert np.abs(chunk[..., :3]).max() <= POSITION_LIMIT
    assert np.abs(chunk[..., 3:6]).max() <= ROTATION_LIMIT
    assert set(np.unique(chunk[..., 6])) <= {0.0, 1.0}


def test_an_instruction_can_be_replaced(folder):
    own, blank = load_vla(folder), load_vla(folder, instruction="")
    assert (own.act(observation([2])) == blank.act(observation([2]))).all()
    assert (own.act(observation([0])) != blank.act(observation([0]))).any()


def test_more_actions_than_a_chunk_holds_are_refused(folder):
    with pytest.raises(UserError, match="1 to 8"):
        load_vla(folder, execute=9)


def test_the_checkpoint_carries_what_it_was_trained_on(folder):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.digest == sha256(folder / "model.safetensors")
    assert checkpoint.convention.image_size == 64
    assert checkpoint.record["mixture"]["sources"][0]["digest"]
    assert {"mixture", "metrics", "training", "settings", "code", "statistics_fingerprint"} <= checkpoint.record.keys()
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".jsonl", ".png", ".safetensors"]


def edit(folder, change):
    path = folder / "checkpoint.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda r: r["statistics"]["arm_std"].__setitem__(0, 1.0), "were altered"),
        (lambda r: r.__setitem__("statistics_fingerprint", "0" * 16), "were altered"),
        (lambda r: r["statistics"].pop("arm_mean"), "not complete"),
        (lambda r: r.__setitem__("format", 99), "format 99"),
        (lambda r: r.__setitem__("kind", "expert"), "kind 'expert'"),
        (lambda r: r.pop("convention"), "lacks convention"),
        (lambda r: r["convention"].pop("rate"), "lacks rate"),
        (lambda r: r["model"].__setitem__("hiden", 3), "Did you mean 'hidden'"),
        (lambda r: r["model"].__setitem__("hidden", 48), "of another shape"),
        (lambda r: r.__setitem__("sha256", "0" * 64), "not the file"),
    ],
)
def test_an_altered_record_is_refused_in_words(copy, change, word):
    edit(copy, change)
    with pytest.raises(UserError, match=word):
        load_checkpoint(copy)


def test_missing_and_unknown_tensors_are_refused_by_name(copy):
    weights = load_file(copy / "model.safetensors")
    weights["other"] = weights.pop("stem.weight")
    save_file(weights, copy / "model.safetensors")
    edit(copy, lambda r: r.__setitem__("sha256", sha256(copy / "model.safetensors")))
    with pytest.raises(UserError, match=r"missing: stem.weight; unknown: other"):
        load_checkpoint(copy)


def test_altered_weights_are_refused(copy):
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged or was replaced"):
        load_checkpoint(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(copy)


def test_normalization_and_its_inverse_mirror_each_other():
    statistics = Statistics((0.5,) * 8, (0.1,) * 8, (0.01,) * 6, (0.02,) * 6)
    arm = np.random.default_rng(0).normal(size=(5, 8, 6)).astype(np.float32)
    assert np.allclose(statistics.restore_arm(statistics.normalize_arm(arm)), arm, atol=1e-6)
    assert np.abs(statistics.normalize_state(np.full((2, 8), 9.0, np.float32))).max() == 5.0


def test_sentences_become_numbers_without_a_vocabulary():
    ids = text.encode(["Lift the red cube.", "lift THE red cube", "red the lift cube", ""])
    assert (ids[0] == ids[1]).all()
    assert sorted(ids[0]) != sorted(ids[2])
    assert not ids[3].any()
    assert ids.max() < text.BUCKETS
    assert text.bucket("<lift>") == 353


def test_a_shift_moves_whole_pixels_and_repeats_the_border():
    images = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3).repeat(64, axis=0)
    moves = np.random.default_rng(0).integers(-2, 3, (64, 2))
    moved = shift(images, moves, most=2)
    padded = np.pad(images[0], ((2, 2), (2, 2), (0, 0)), mode="edge")
    windows = [padded[y : y + 8, x : x + 8].tobytes() for y in range(5) for x in range(5)]
    assert {image.tobytes() for image in moved} <= set(windows)
    assert len({image.tobytes() for image in moved}) > 10
    for image, (down, right) in zip(moved, moves, strict=True):
        assert image.tobytes() == windows[5 * (down + 2) + right + 2]


def test_jitter_keeps_grey_nearly_grey_and_none_changes_nothing():
    images = np.full((16, 4, 4, 3), 128, np.uint8)
    plain = to_pixels(images)
    drawn = draw(0, np.arange(16), chunk=8)
    assert (jitter(plain.clone(), drawn, strength=0.0) == plain).all()
    changed = jitter(plain.clone(), drawn, strength=0.1)
    assert 0.0 < (changed - plain).abs().max() < 0.4
    assert plain.is_contiguous(memory_format=torch.channels_last)

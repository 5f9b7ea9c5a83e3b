import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from datagen.mixture import MixConfig, SourceConfig
from policies.loading import load_policy
from policies.pretrained.base import load_base
from policies.pretrained.checkpoint import load_checkpoint
from policies.pretrained.families import FamilyOptions, Seen, family
from policies.pretrained.finetune import finetune
from policies.pretrained.settings import FinetuneConfig, Lora
from policies.pretrained.trainable import make_trainable, trained
from sim.errors import UserError
from tests.small_data import write_dataset
from tests.test_vla_policy import observation
from tests.tiny_models import write_pi0

OPTIONS = FamilyOptions(None, False, "", 64)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_pi0(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def config(base, tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    return FinetuneConfig(
        data=MixConfig(sources=(SourceConfig(write_dataset(out)),)), base=str(base), out=out / "checkpoint",
        lora=Lora(rank=4, alpha=4), image_size=64, shift=1, batch=4, steps=2, threads=1, device="cpu",
        validations=0, validation_samples=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(config):
    return finetune(config)


def seen(count=2):
    stream = np.random.default_rng(0)
    images = stream.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    return Seen(images, ("Lift it.", "Push the red cube away.")[:count], np.zeros((count, 8), np.float32))


def test_a_step_is_taken_saved_and_comes_back_with_the_same_actions(done, base):
    policy = load_policy(str(done.folder))
    assert policy.spec.chunk == 4
    assert policy.spec.inputs == {"image", "state", "instruction"}
    whole = policy.act(observation(range(3)))
    assert whole.shape == (3, 4, 7)
    assert np.isin(whole[..., 6], (0, 1)).all()
    again = load_policy(str(done.folder))
    assert (again.act(observation([1, 0])) == whole[[1, 0]]).all()
    record = json.loads((done.folder / "checkpoint.json").read_text())
    assert record["base"]["model_type"] == "pi0"
    untrained, ours = family(load_base(str(base)), OPTIONS), load_checkpoint(done.folder).family
    assert (untrained.act(seen()) != ours.act(seen())).any()


def test_an_interrupted_training_goes_on_bit_for_bit(config, done, tmp_path):
    def crash(step):
        if step == 2:
            raise OSError("down")

    again = replace(config, out=tmp_path / "again", save_every=0.0)
    with pytest.raises(OSError, match="down"):
        finetune(again, on_step=crash)
    steps = []
    assert finetune(again, on_step=steps.append).digest == done.digest
    assert steps == [2]


def test_frozen_weights_in_bfloat16_train_and_act(config, tmp_path):
    result = finetune(replace(config, out=tmp_path / "half", dtype="bf16", steps=1))
    assert np.isfinite(result.metrics["squares"]["loss"])
    assert np.isfinite(load_policy(str(result.folder)).act(observation([0]))).all()


def test_actions_depend_on_image_sentence_and_state(base):
    model = family(load_base(str(base)), OPTIONS)
    plain = model.act(seen(1))
    other = seen(1)
    assert (model.act(Seen(255 - other.images, other.sentences, other.state)) != plain).any()
    assert (model.act(Seen(other.images, ("Stop now.",), other.state)) != plain).any()
    assert (model.act(Seen(other.images, other.sentences, other.state + 1)) != plain).any()
    assert (model.act(other) == plain).all()


def test_it_learns_the_chunks_that_it_is_shown(base):
    model = family(load_base(str(base)), OPTIONS)
    make_trainable(model.anatomy, train="all", lora=Lora(), last_layers=1, seed=0)
    actions = np.tile(np.linspace(-0.8, 0.8, 7, dtype=np.float32), (2, 4, 1))
    actions[1] *= -1
    two = replace(seen(), state=np.array([[1.0] * 8, [-1.0] * 8], np.float32))
    many = Seen(np.tile(two.images, (8, 1, 1, 1)), two.sentences * 8, np.tile(two.state, (8, 1)))
    before = np.abs(model.act(two) - actions).mean()
    optimizer = torch.optim.AdamW(model.anatomy.model.parameters(), 1e-2)
    losses = []
    for step in range(100):
        optimizer.zero_grad()
        loss = model.loss(many, np.tile(actions, (8, 1, 1)), np.ones((16, 4), bool), seed=step)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2
    assert np.abs(model.act(two) - actions).mean() < 0.7 * before


def test_only_counted_steps_and_the_seven_numbers_of_an_action_enter_the_loss(base):
    model = family(load_base(str(base)), OPTIONS)
    actions, mask = np.zeros((2, 4, 7), np.float32), np.ones((2, 4), bool)
    mask[1, 2:] = False
    with torch.no_grad():
        whole = model.loss(seen(), actions, np.ones((2, 4), bool), seed=3)
        assert model.loss(seen(), actions, np.ones((2, 4), bool), seed=3) == whole
        assert model.loss(seen(), actions, mask, seed=3) != whole
        assert model.loss(seen(), actions, np.ones((2, 4), bool), seed=4) != whole
        model.base.model.action_out_proj.weight[7:] += 1
        assert model.loss(seen(), actions, np.ones((2, 4), bool), seed=3) == whole


def test_head_and_last_blocks_are_those_of_the_action_expert(base):
    model = family(load_base(str(base)), OPTIONS)
    make_trainable(model.anatomy, train="head", lora=Lora(), last_layers=1, seed=0)
    heads = {name.split(".")[0] for name in trained(model.anatomy.model)}
    assert heads == {"model", "embed_action_time", "action_out_proj"}
    make_trainable(model.anatomy, train="last", lora=Lora(), last_layers=1, seed=0)
    assert any(name.startswith("model.dit.layers.1.") for name in trained(model.anatomy.model))
    assert not any("layers.0." in name or "vlm" in name for name in trained(model.anatomy.model))


def test_another_chunk_than_it_was_built_for_is_refused(base):
    with pytest.raises(UserError, match="built for 4"):
        family(load_base(str(base)), FamilyOptions(8, False, "", 64))

"""Going on with the plan of before: of two ways to act that are as likely, a policy keeps to the one it began."""

import numpy as np
import pytest
import torch

from datagen.mixture import MixConfig, SourceConfig
from policies.vla.heads import BinsHead
from policies.vla.plans import Plans
from policies.vla.policy import load_vla
from policies.vla.settings import TrainVlaConfig
from policies.vla.shape import ARM, ModelConfig
from policies.vla.train import train_vla
from sim.episodes import Observation
from tests.small_data import write_dataset

CHUNK = 8


def chunk(value):
    return np.full((1, CHUNK, ARM), value, np.float32) + np.arange(CHUNK, dtype=np.float32)[:, None] / 100


def reach(plans, step, world=0):
    return plans.reaching(np.array([world]), np.array([step]))[0]


def remember(plans, step, value, world=0):
    plans.remember(np.array([world]), np.array([step]), chunk(value))


def test_what_was_said_of_the_next_steps_is_the_rest_of_the_last_chunk():
    plans = Plans(CHUNK)
    assert np.isnan(reach(plans, 0)).all()
    remember(plans, 0, 1.0)
    said = reach(plans, 2)
    assert np.allclose(said[:6], chunk(1.0)[0, 2:])
    assert np.isnan(said[6:]).all()
    assert np.isnan(reach(plans, 8)).all()
    remember(plans, 2, 2.0)
    assert np.allclose(reach(plans, 5)[:5], chunk(2.0)[0, 3:])


def test_a_second_look_at_a_step_hears_of_the_plan_before_it():
    plans = Plans(CHUNK)
    remember(plans, 0, 1.0)
    first = reach(plans, 2)
    remember(plans, 2, 5.0)
    assert np.array_equal(reach(plans, 2), first, equal_nan=True)
    remember(plans, 2, 6.0)
    assert np.array_equal(reach(plans, 2), first, equal_nan=True)
    assert np.allclose(reach(plans, 4)[:6], chunk(6.0)[0, 2:])


def test_worlds_are_apart_and_forgotten_when_told_and_when_their_steps_begin_again():
    plans = Plans(CHUNK)
    for world in (0, 3):
        remember(plans, 4, world + 1.0, world=world)
    assert np.allclose(reach(plans, 5, world=3)[:7], chunk(4.0)[0, 1:])
    plans.forget(np.array([3]))
    assert np.isnan(reach(plans, 5, world=3)).all()
    assert np.isnan(reach(plans, 0)).all()
    remember(plans, 0, 9.0)
    assert np.allclose(reach(plans, 1)[:7], chunk(9.0)[0, 1:])


@pytest.fixture
def torn():
    """A head whose logits for one value are two broad hills, as high as each other but for a hair."""
    head = BinsHead(ModelConfig(chunk=1, bins=256), 4)
    places = torch.linspace(-1, 1, 256)
    hills = torch.exp(-0.5 * ((places.abs() - 0.8) / 0.1) ** 2)

    def said(context):
        lean = context[:, :1, None, None] * torch.sign(places)
        return (3 * hills + lean).expand(len(context), 1, ARM, 256), torch.zeros(len(context), 1)

    head.forward = said
    return head


def test_a_torn_head_turns_about_without_a_plan_and_keeps_to_one(torn):
    lean = torch.tensor([[0.05, 0, 0, 0], [-0.05, 0, 0, 0]])
    alone, _ = torn.decode(lean)
    assert (alone[0] > 0.7).all()
    assert (alone[1] < -0.7).all()
    for begun in (0.7, -0.7):
        kept, _ = torn.decode(lean, None, torch.full((2, 1, ARM), begun))
        assert (kept * begun > 0.45).all()


def test_a_plan_does_not_outweigh_what_is_plainly_seen(torn):
    sure = torch.tensor([[0.8, 0, 0, 0]])
    said, _ = torn.decode(sure, None, torch.full((1, 1, ARM), -0.8))
    assert (said > 0.7).all()


def test_without_a_plan_nothing_changes(torn):
    lean = torch.tensor([[0.05, 0, 0, 0]])
    assert torch.equal(torn.decode(lean)[0], torn.decode(lean, None, torch.full((1, 1, ARM), torch.nan))[0])


def observation(step, *, worlds=(0,), shade=90):
    return Observation(
        ids=np.array(worlds),
        seeds=worlds,
        steps=np.full(len(worlds), step),
        state=np.tile(np.array([0.5, 0, 0.2, 1, 0, 0, 0, 1], np.float32), (len(worlds), 1)),
        privileged=np.zeros((len(worlds), 0), np.float32),
        instructions=("Move to the red square.",) * len(worlds),
        render=lambda camera: np.full((len(worlds), 64, 64, 3), shade, np.uint8),
    )


def test_a_policy_remembers_its_plans_world_by_world(tmp_path):
    data = MixConfig(sources=(SourceConfig(write_dataset(tmp_path)),))
    config = TrainVlaConfig(data=data, out=tmp_path / "vla", preset="debug", steps=4, threads=1, head="bins")
    train_vla(config)
    policy, alone = load_vla(config.out), load_vla(config.out)
    policy.act(observation(0, worlds=(0, 1, 2, 3, 4), shade=200))
    alone.act(observation(0, worlds=(4,), shade=200))
    several, single = policy.act(observation(2, worlds=(4, 0))), alone.act(observation(2, worlds=(4,)))
    assert (several[0] == single[0]).all()
    policy.reset(np.array([4]))
    new = load_vla(config.out)
    assert (policy.act(observation(4, worlds=(4,))) == new.act(observation(4, worlds=(4,)))).all()


def test_other_heads_remember_none(tmp_path):
    data = MixConfig(sources=(SourceConfig(write_dataset(tmp_path)),))
    config = TrainVlaConfig(data=data, out=tmp_path / "vla", preset="debug", steps=2, threads=1)
    train_vla(config)
    policy = load_vla(config.out)
    first = policy.act(observation(0))
    policy.act(observation(0, shade=250))
    assert (policy.act(observation(2)) == first).all()

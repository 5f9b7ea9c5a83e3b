"""What makes the actions, reads the sentence, joins them: each learns, is stored, resumes and stands alone."""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig
from policies.vla.augment import draw
from policies.vla.checkpoint import load_checkpoint
from policies.vla.feed import Feed
from policies.vla.heads import BinsHead, FlowHead, ends
from policies.vla.learner import Learner
from policies.vla.normalization import mixture_statistics
from policies.vla.policy import load_vla
from policies.vla.presets import PRESETS, Augment
from policies.vla.settings import AugmentChanges, TrainVlaConfig
from policies.vla.shape import Inputs, ModelConfig, Targets
from policies.vla.subword import BEGIN, PAD, learn_vocabulary, load_vocabulary
from policies.vla.train import train_vla
from policies.vla.words import reader
from sim.conventions import POSITION_LIMIT
from sim.episodes import Observation
from sim.errors import UserError
from sim.streams import generator
from tests.small_data import write_dataset

VARIANTS = {
    "bins": {"head": "bins"},
    "flow": {"head": "flow"},
    "subword": {"text_encoder": "subword"},
    "all": {"head": "flow", "text_encoder": "subword", "fusion": "transformer"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return MixConfig(sources=(SourceConfig(write_dataset(tmp_path_factory.mktemp("data"))),))


def job(data, out, variant, **changes):
    return TrainVlaConfig(data=data, out=out, preset="debug", steps=4, threads=1, **VARIANTS[variant], **changes)


@pytest.fixture(scope="module", params=list(VARIANTS))
def trained(request, data, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    return request.param, train_vla(job(data, out, request.param))


def observation(rows, size=64):
    streams = [generator(int(row), "world") for row in rows]
    images = np.array([s.integers(0, 256, (size, size, 3), dtype=np.uint8) for s in streams])
    return Observation(
        ids=np.array(rows),
        seeds=tuple(rows),
        steps=np.zeros(len(rows), np.intp),
        state=np.array([s.uniform(-1, 1, 8) for s in streams], np.float32),
        privileged=np.zeros((len(rows), 0), np.float32),
        instructions=tuple(("Move to the red square.", "", "Grasp the sphere, quickly!")[row % 3] for row in rows),
        render=lambda camera: images,
    )


@pytest.mark.parametrize(("variant", "steps", "rate"), [("bins", 150, 1e-2), ("flow", 150, 8e-3), ("all", 220, 5e-3)])
def test_each_head_learns_16_samples_by_heart(data, variant, steps, rate):
    loaded = load_mixture(data, LoadOptions(image_size=32))
    preset = replace(job(data, None, variant).resolved(), batch=16, augment=Augment(shift=0, jitter=0, state_noise=0))
    vocabulary = learn_vocabulary(loaded.instructions)
    pieces = preset.text_encoder == "subword"
    statistics = mixture_statistics(loaded)
    learner = Learner(preset, statistics, chunk=8, seed=0, vocabulary=vocabulary.size if pieces else 0)
    read = reader(learner.model.config, vocabulary if pieces else None)
    feed = Feed(loaded, statistics, preset, seed=0, read=read)
    shown = feed.samples(np.arange(16))
    for step in range(steps):
        again = feed_noise(shown, step) if preset.head == "flow" else shown
        learner.learn([again], learning_rate=rate * min(1, 3 * (1 - step / steps)))
    with torch.no_grad():
        said = learner.model(shown.pixels, shown.words, shown.state, shown.noise)
    mask = shown.wanted.mask > 0
    off = (said.arm - shown.wanted.arm).abs()[mask].mean()
    assert off < 0.25 * shown.wanted.arm[mask].abs().mean()
    assert ((said.gripper > 0) == (shown.wanted.gripper > 0.5))[mask].float().mean() > 0.97


def feed_noise(shown: Inputs, step: int) -> Inputs:
    """The same samples with other noise and times, as training draws them anew."""
    draws = draw(step, np.arange(16), chunk=8)
    return replace(shown, noise=torch.from_numpy(draws.noise), time=torch.from_numpy(draws["time"].copy()))


def test_a_checkpoint_brings_back_the_very_network(trained, data):
    variant, result = trained
    checkpoint = load_checkpoint(result.folder)
    expected = replace(ModelConfig(), **VARIANTS[variant])
    for name in VARIANTS[variant]:
        assert getattr(checkpoint.model.config, name) == getattr(expected, name)
    assert checkpoint.digest == result.digest
    again = train_vla(job(data, result.folder.parent / f"{variant}-again", variant))
    assert again.digest == result.digest
    one, two = load_vla(result.folder), load_vla(again.folder)
    assert (one.act(observation(range(5))) == two.act(observation(range(5)))).all()


def test_actions_do_not_depend_on_how_many_worlds_ask_nor_on_calls_before(trained):
    policy = load_vla(trained[1].folder)
    whole = policy.act(observation(range(7)))
    assert np.isfinite(whole).all()
    assert np.abs(whole[..., :3]).max() <= POSITION_LIMIT
    for rows in ([6, 2], [3], [0, 1, 4, 5]):
        assert (policy.act(observation(rows)) == whole[rows]).all()


def test_interrupted_and_resumed_equals_straight(trained, data, tmp_path):
    variant, straight = trained
    with pytest.raises(KeyboardInterrupt):
        train_vla(job(data, tmp_path, variant), on_step=lambda k: k == 2 and signal.raise_signal(signal.SIGINT))
    assert train_vla(job(data, tmp_path, variant)).digest == straight.digest


def test_a_checkpoint_without_its_words_or_with_others_is_refused(data, tmp_path):
    folder = train_vla(job(data, tmp_path / "one", "subword")).folder
    other = shutil.copytree(folder, tmp_path / "other")
    learn_vocabulary(["quite another sentence"]).save(other)
    with pytest.raises(UserError, match="not the vocabulary"):
        load_checkpoint(other)
    (other / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="sub-word pieces"):
        load_checkpoint(other)


def test_bins_give_back_every_value_within_half_a_bin():
    head = BinsHead(ModelConfig(hidden=16, bins=256), context=4)
    low, high = -torch.arange(1.0, 7.0), torch.arange(2.0, 8.0)
    head.set_range(low, high)
    values = low + (high - low) * torch.rand(50, 6)
    middles = low + head.numbers(values) / 255 * (high - low)
    assert ((middles - values).abs() <= (high - low) / 510 + 1e-5).all()
    assert (head.numbers(torch.full((1, 6), 99.0)) == 255).all()
    assert (head.numbers(torch.full((1, 6), -99.0)) == 0).all()


def test_one_bin_is_no_motion_and_one_the_limit():
    first, last = ends(np.array([0.05], np.float32), 256)
    middles = np.linspace(first[0], last[0], 256)
    assert np.abs(middles).min() < 1e-7
    assert middles[-1] == pytest.approx(0.05)


def test_the_flow_arrives_where_a_true_velocity_leads():
    torch.manual_seed(0)
    head = FlowHead(ModelConfig(hidden=16, flow_steps=4), context=3)
    goal = torch.randn(5, 8, 7)
    head.forward = lambda context, place, time: goal
    arm, gripper = head.decode(torch.zeros(5, 3), torch.randn(5, 8, 7))
    assert torch.allclose(arm, goal[..., :6], atol=1e-5)
    assert torch.allclose(gripper, goal[..., 6], atol=1e-5)


def test_a_flow_can_hold_two_ways_where_regression_takes_their_mean():
    """One picture, two demonstrations: left or right. Only a distribution keeps both."""
    torch.manual_seed(0)
    head = FlowHead(ModelConfig(hidden=64, flow_steps=8, chunk=1), context=2)
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    side = torch.where(torch.arange(256) % 2 == 0, 1.0, -1.0)
    arm = side[:, None, None].expand(256, 1, 6)
    nothing = torch.zeros(256, 0)
    for step in range(300):
        drawn = torch.Generator().manual_seed(step)
        wanted = Targets(arm, torch.ones(256, 1), torch.ones(256, 1), nothing, nothing, nothing)
        noise, time = torch.randn(256, 1, 7, generator=drawn), torch.rand(256, generator=drawn)
        losses = head.losses(torch.zeros(256, 2), Inputs(nothing, nothing, nothing, wanted, noise, time))
        optimizer.zero_grad()
        ((losses.arm + losses.gripper) / 256).backward()
        optimizer.step()
    with torch.no_grad():
        found = head.decode(torch.zeros(400, 2), torch.randn(400, 1, 7))[0][:, 0].mean(dim=1)
    assert (found.abs() - 1).abs().mean() < 0.25
    assert 0.25 < (found > 0).float().mean() < 0.75


def test_pieces_say_any_sentence_and_do_not_depend_on_the_order_of_the_training(tmp_path):
    sentences = ["lift the red cube", "push the green ball that is left of the cube", "take the small cylinder"]
    one, two = learn_vocabulary(sentences), learn_vocabulary([*sentences[::-1], sentences[0]])
    assert one.encode(sentences, length=16).tolist() == two.encode(sentences, length=16).tolist()
    ids = one.encode(["Lift  the red CUBE", "lift the red cube", "red the lift cube", "", "Grüße 蓝色 ™"], length=24)
    assert (ids[0] == ids[1]).all()
    assert (ids[1] != ids[2]).any()
    assert sorted(ids[1]) == sorted(ids[2])
    assert ids[3].tolist() == [1] + [0] * 23
    assert (ids[4] > 0).sum() > 10
    assert one.pieces("lift the red cube") == ("Ġlift", "Ġthe", "Ġred", "Ġcube")
    digest = one.save(tmp_path)
    again = load_vocabulary(tmp_path, expected=digest)
    assert (again.encode(sentences, length=16) == one.encode(sentences, length=16)).all()
    assert {PAD, BEGIN}.isdisjoint(one.pieces("[pad] [begin] of a sentence")) or ids.max() < one.size


def test_longer_sentences_are_cut_and_padding_says_nothing():
    words = learn_vocabulary(["lift the cube"])
    assert words.encode(["cube " * 100], length=8).shape == (1, 8)
    torch.manual_seed(0)
    from policies.vla.fusion import Pieces

    reads = Pieces(ModelConfig(text=16, vocabulary=words.size, sentence=12, text_encoder="subword")).eval()
    short = torch.from_numpy(words.encode(["lift the cube"], length=6))
    long = torch.from_numpy(words.encode(["lift the cube"], length=12))
    assert torch.allclose(reads.read(short).whole, reads.read(long).whole, atol=1e-5)


def test_every_preset_builds_and_its_passes_divide_its_batch(data):
    for name, preset in PRESETS.items():
        resolved = TrainVlaConfig(data=data, out=None, preset=name).resolved()
        assert resolved == preset
        assert preset.batch % preset.accumulate == 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"head": "flwo"}, "Did you mean 'flow'"),
        ({"text_encoder": "words"}, "text_encoder"),
        ({"fusion": "transformr"}, "Did you mean 'transformer'"),
        ({"accumulate": 3}, "multiple of it, for example 9"),
        ({"augment": AugmentChanges(mirror=1.5)}, r"augment.mirror = 1.5"),
        ({"augment": AugmentChanges(crop=1.0)}, "0 to below 1"),
        ({"augment": AugmentChanges(skip=-1)}, "augment.skip"),
        ({"device": "cuda"}, "sees no GPU"),
    ],
)
def test_impossible_choices_are_refused_by_name(data, tmp_path, changes, word):
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(UserError, match=word):
        train_vla(replace(TrainVlaConfig(data=data, out=tmp_path, preset="debug", steps=1), **changes))

"""One network for several tasks: their datasets in one mixture, and the sentence decides what is done."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig
from policies.vla.checkpoint import load_checkpoint
from policies.vla.feed import Feed
from policies.vla.learner import Learner
from policies.vla.normalization import mixture_statistics
from policies.vla.presets import PRESETS, Augment
from policies.vla.settings import TrainVlaConfig
from policies.vla.shape import ModelConfig
from policies.vla.subword import learn_vocabulary
from policies.vla.train import train_vla
from policies.vla.words import reader
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tests.small_data import write_dataset

AWAY = "Move away from the {color} square."


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    # The same scenes in both: only the sentence tells the tasks apart.
    near = write_dataset(out / "approach", lengths=(12, 9, 15, 14))
    away = write_dataset(out / "leave", lengths=(12, 9, 15, 14), instruction=AWAY)
    return MixConfig(sources=(SourceConfig(near, 1, "approach"), SourceConfig(away, 1, "leave")))


def test_the_sentences_of_all_tasks_are_numbered_and_reported_by_source(config, tmp_path):
    result = train_vla(
        TrainVlaConfig(data=config, out=tmp_path, preset="debug", steps=2, threads=1, text_encoder="subword")
    )
    assert set(result.metrics) == {"approach", "leave"}
    checkpoint = load_checkpoint(result.folder)
    ids = checkpoint.read(["move to the red square", "move away from the red square"])
    assert (ids > 0).sum(axis=1).tolist() == [6, 7]
    assert [row.share for row in result.mixture.sources] == pytest.approx([0.5, 0.5])


@pytest.mark.slow
@pytest.mark.parametrize("text_encoder", ["hashed", "subword"])
def test_the_sentence_decides_which_task_is_done(config, text_encoder):
    data = load_mixture(config, LoadOptions(image_size=32))
    data.train[1].action[:, :2] *= -1
    preset = replace(
        PRESETS["debug"], batch=16, text_encoder=text_encoder, augment=Augment(shift=0, jitter=0, state_noise=0)
    )
    vocabulary = learn_vocabulary(data.instructions) if text_encoder == "subword" else None
    statistics = mixture_statistics(data)
    size = vocabulary.size if vocabulary else 0
    learner = Learner(preset, statistics, chunk=8, seed=0, vocabulary=size)
    read = reader(learner.model.config, vocabulary)
    feed = Feed(data, statistics, preset, seed=0, read=read)
    for step in range(260):
        learner.learn(feed.training(step), learning_rate=8e-3 * min(1, 2 - step / 130))
    shown = feed.samples(np.arange(32))
    said = [data.instructions[k] for k in data.batch(np.arange(32)).instruction]
    other = [s.replace("away from", "TO").replace("Move to", "Move away from").replace("TO", "to") for s in said]
    assert all(a != b and b in data.instructions for a, b in zip(said, other, strict=True))
    with torch.no_grad():
        own, swapped = (
            learner.model(shown.pixels, torch.from_numpy(read(sentences)), shown.state).arm[..., :2].flatten(1)
            for sentences in (said, other)
        )
    wanted = shown.wanted.arm[..., :2].flatten(1)
    assert torch.nn.functional.cosine_similarity(own, wanted).mean() > 0.6
    assert torch.nn.functional.cosine_similarity(swapped, wanted).mean() < -0.5


def test_every_sentence_of_the_catalogue_fits_into_a_network_of_any_of_its_tasks():
    told = {
        split: {
            load_task(name).sentence(episode_seed("train", 0, k), preset=split)[0] for name in TASKS for k in range(60)
        }
        for split in ("train", "held_out")
    }
    vocabulary = learn_vocabulary(sorted(told["train"]))
    longest = ModelConfig().sentence
    trained, unseen = (vocabulary.encode(sorted(told[split]), length=longest) for split in ("train", "held_out"))
    assert (trained[:, -1] == 0).all()
    assert (unseen[:, -1] == 0).all()
    assert len(np.unique(trained, axis=0)) == len({sentence.lower() for sentence in told["train"]})
    frequent = [vocabulary.pieces(sentence) for sentence in sorted(told["train"])]
    words = sum(len(sentence.split()) for sentence in told["train"])
    assert sum(map(len, frequent)) < 1.2 * words

"""DAgger: the VLA drives, the expert labels, and training goes on with both."""

import json
from dataclasses import replace

import numpy as np
import pytest

from datagen.mixture import MixConfig, SourceConfig
from datagen.rlds_reader import open_dataset
from policies.expert import load_expert
from policies.vla.checkpoint import load_checkpoint
from policies.vla.dagger import DaggerConfig, RoundTraining, dagger
from policies.vla.driven import Driven, Labelling
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.conventions import CANONICAL
from sim.episodes import PolicySpec
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout
from sim.streams import episode_seed
from tasks.env import make_env
from tests.small_data import write_dataset


class Rising:
    """Drives straight up, in chunks of three."""

    spec = PolicySpec("rising", CANONICAL, frozenset({"state"}), chunk=3, execute=2)

    def __init__(self):
        self.asked = []

    def reset(self, ids):
        pass

    def act(self, observation):
        self.asked += observation.ids.tolist()
        return np.tile([0, 0, 0.01, 0, 0, 0, 1.0], (len(observation.ids), 3, 1))


def test_the_driver_moves_and_the_expert_only_says_what_it_would_have_done():
    expert, driver = load_expert("lift_cube"), Rising()
    env = Driven(make_env("lift_cube", n=2, preset="none"), driver)
    seeds = [episode_seed("train", 900, k) for k in range(3)]
    episodes = list(rollout(env, Labelling(expert, driver.spec), seeds, options=RolloutOptions()))
    env.close()
    plain = make_env("lift_cube", n=1, preset="none")
    for episode in episodes:
        assert episode.states[30, 2] > episode.states[0, 2] + 0.15
        plain.reset(np.array([0]), [episode.seed])
        for step in range(20):
            observation = plain.observe(np.array([0]))
            assert np.allclose(observation.state[0], episode.states[step], atol=1e-5)
            assert np.allclose(expert.act(observation)[0], episode.actions[step], atol=1e-5)
            plain.step(np.array([[0, 0, 0.01, 0, 0, 0, 1.0]]))
    plain.close()
    # Asked once for every two steps, and never for a world that rests.
    assert len(driver.asked) == sum(-(-episode.length // 2) for episode in episodes)


def test_who_labels_and_who_drives_stand_in_the_name_and_in_the_digest():
    expert = load_expert("lift_cube")
    specs = [Labelling(expert, replace(Rising.spec, digest=digest)).spec for digest in ("a", "b", "a")]
    assert specs[0].name == f"{expert.spec.name} labelling rising"
    assert specs[0].digest == specs[2].digest != specs[1].digest


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    out = tmp_path_factory.mktemp("start")
    dataset = write_dataset(out, image_size=256, cameras=("image", "wrist_image"))
    data = MixConfig(sources=(SourceConfig(dataset, 3.0),))
    config = TrainVlaConfig(
        data=data, out=out / "vla", preset="debug", steps=2, threads=1, head="flow", wrist_size=32, finger_motion=False
    )
    return data, train_vla(config)


def job(start, out, **changes):
    data, trained = start
    fields = {"rounds": 2, "episodes": 2, "worlds": 2, "workers": 0, "execute": 8, "appearance": "episode"}
    return DaggerConfig(
        task="lift_cube", policy=trained.folder, data=data, out=out, share=0.25,
        train=RoundTraining(steps=2, threads=1), **{**fields, **changes},
    )  # fmt: skip


def test_rounds_aggregate_and_a_second_call_goes_on_where_the_first_stopped(start, tmp_path):
    first = dagger(job(start, tmp_path, rounds=1))
    both = dagger(job(start, tmp_path))
    assert both.rounds[0] == first.rounds[0]
    assert both.folder == tmp_path / "round-2"
    record = load_checkpoint(both.folder).record
    sources = {row["name"]: row for row in record["mixture"]["sources"]}
    assert set(sources) == {"squares", "dagger-1", "dagger-2"}
    assert sources["squares"]["share"] == pytest.approx(0.75)
    assert sources["dagger-1"]["share"] == sources["dagger-2"]["share"] == pytest.approx(0.125)
    assert load_checkpoint(both.folder).statistics == load_checkpoint(start[1].folder).statistics
    shape = load_checkpoint(both.folder).model.config
    assert (shape.head, shape.wrist_size, shape.finger_motion) == ("flow", 32, False)
    told = [list(open_dataset(found.dataset).episodes("train")) for found in both.rounds]
    assert [len(episodes) for episodes in told] == [2, 2]
    seeds = [episode.metadata["seed"] for episodes in told for episode in episodes]
    assert len(set(seeds)) == 4
    about = json.loads((both.rounds[1].dataset / "demomill.json").read_text())
    assert "labelling vla:round-1" in about["job"]["expert"]
    for episodes, found in zip(told, both.rounds, strict=True):
        assert found.succeeded == sum(bool(episode.metadata["success"]) for episode in episodes)
        for episode in episodes:
            assert np.isfinite(episode.steps["observation/image_point/target"]).all()
            assert len(episode.steps["observation/wrist_image"]) == episode.length


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"share": 1.0}, "above 0 and below 1"), ({"rounds": 0}, "rounds = 0"), ({"appearance": "no"}, "'episode'")],
)
def test_impossible_rounds_are_refused(start, tmp_path, changes, word):
    data, trained = start
    with pytest.raises(UserError, match=word):
        DaggerConfig(task="lift_cube", policy=trained.folder, data=data, out=tmp_path, **changes)

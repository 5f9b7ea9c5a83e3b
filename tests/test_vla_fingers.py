import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from datagen.arrays import FINGER_STEPS, OPENING, empty
from datagen.mixture import MixConfig, SourceConfig
from policies.vla.checkpoint import load_checkpoint
from policies.vla.fingers import FingerMotion
from policies.vla.policy import load_vla
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.episodes import Observation
from sim.errors import UserError
from tests.small_data import write_dataset


def states(openings):
    rows = np.zeros((len(openings), 8), np.float32)
    rows[:, OPENING] = openings
    return rows


def look(fingers, world, step, opening):
    return float(fingers.measure(np.array([world]), np.array([step]), states([opening]))[0])


def test_acting_measures_what_training_was_shown():
    """Two episodes in the rows of a dataset, and the same two lived through step by step."""
    openings = np.random.default_rng(0).random((2, 9)).astype(np.float32)
    arrays = empty(18, 4)
    arrays.state[:] = states(openings.ravel())
    arrays.start[:], arrays.stop[:] = np.repeat([0, 9], 9), np.repeat([9, 18], 9)
    trained = arrays.batch(np.arange(18), chunk=2).finger_motion.reshape(2, 9)
    assert (trained[:, 0] == 0).all()
    assert (trained[:, 2:] == openings[:, 2:] - openings[:, :-2]).all()
    for every in (1, FINGER_STEPS):
        fingers, ids = FingerMotion(), np.array([3, 0])
        for step in range(0, 9, every):
            seen = fingers.measure(ids, np.full(2, step), states(openings[:, step]))
            assert seen == pytest.approx(trained[:, step], abs=1e-7)


def test_looks_that_lie_further_apart_are_taken_for_an_even_motion():
    fingers = FingerMotion()
    assert look(fingers, 0, 0, 1.0) == 0
    assert look(fingers, 0, 8, 0.6) == pytest.approx(-0.4 * FINGER_STEPS / 8)


def test_a_second_look_at_the_same_step_changes_nothing():
    once, often = FingerMotion(), FingerMotion()
    for step, opening in ((0, 1.0), (2, 0.8), (4, 0.5), (6, 0.5)):
        expected = look(once, 0, step, opening)
        assert [look(often, 0, step, opening) for _ in range(3)] == [expected] * 3


def test_a_world_is_forgotten_when_told_and_when_its_steps_begin_again():
    fingers = FingerMotion()
    for world in (0, 1):
        look(fingers, world, 4, 1.0)
    fingers.forget(np.array([0]))
    assert look(fingers, 0, 6, 0.5) == 0
    assert look(fingers, 1, 6, 0.5) == -0.5
    assert look(fingers, 1, 0, 1.0) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("fingers")
    data = MixConfig(sources=(SourceConfig(write_dataset(out)),))
    config = TrainVlaConfig(data=data, out=out / "with", preset="debug", steps=4, threads=1)
    train_vla(config)
    train_vla(replace(config, out=out / "without", finger_motion=False))
    return config


def observation(opening, *, step, worlds=(0,)):
    state = np.tile(np.array([0.5, 0, 0.2, 1, 0, 0, 0, opening], np.float32), (len(worlds), 1))
    return Observation(
        ids=np.array(worlds),
        seeds=worlds,
        steps=np.full(len(worlds), step),
        state=state,
        privileged=np.zeros((len(worlds), 0), np.float32),
        instructions=("Lift the cube.",) * len(worlds),
        render=lambda camera: np.full((len(worlds), 64, 64, 3), 90, np.uint8),
    )


def test_fingers_that_close_and_fingers_that_hold_something_ask_for_other_actions(trained):
    def acts(folder, openings):
        policy = load_vla(folder)
        return [policy.act(observation(opening, step=2 * k)) for k, opening in enumerate(openings)][-1]

    folder = trained.out
    assert (acts(folder, (1.0, 0.5)) != acts(folder, (0.5, 0.5))).any()
    assert (acts(folder.parent / "without", (1.0, 0.5)) == acts(folder.parent / "without", (0.5, 0.5))).all()


def test_a_new_episode_acts_as_in_a_new_policy(trained):
    policy, new = load_vla(trained.out), load_vla(trained.out)
    policy.act(observation(1.0, step=0, worlds=(0, 1)))
    policy.reset(np.array([0]))
    chunks = policy.act(observation(0.5, step=2, worlds=(0, 1)))
    assert (chunks[:1] == new.act(observation(0.5, step=2))).all()
    assert (chunks[0] != chunks[1]).any()


def test_a_checkpoint_that_says_nothing_of_fingers_reads_the_state_alone(trained, tmp_path):
    folder = shutil.copytree(trained.out.parent / "without", tmp_path / "old")
    record = json.loads((folder / "checkpoint.json").read_text())
    assert record["model"].pop("finger_motion") is False
    (folder / "checkpoint.json").write_text(json.dumps(record))
    assert not load_checkpoint(folder).model.config.finger_motion
    assert load_vla(folder).act(observation(0.5, step=0)).shape == (1, 8, 7)


def test_going_on_with_a_network_that_reads_something_else_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="finger_motion: False there, True asked for"):
        train_vla(replace(trained, out=tmp_path, init=trained.out.parent / "without"))

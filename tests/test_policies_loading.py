import pickle

import numpy as np
import pytest

from datagen.mixture import MixConfig, SourceConfig
from policies.loading import load_policy, policy_factory
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.baselines import RandomPolicy
from sim.errors import UserError
from tests.small_data import write_dataset


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    out = tmp_path_factory.mktemp("vla")
    data = MixConfig(sources=(SourceConfig(write_dataset(out)),))
    return train_vla(TrainVlaConfig(data=data, out=out / "checkpoint", preset="debug", steps=2, threads=1)).folder


def test_random_is_the_random_policy():
    assert isinstance(load_policy("random", seed=3), RandomPolicy)


@pytest.mark.parametrize("inside", ["", "checkpoint.json", "model.safetensors"])
def test_a_checkpoint_is_named_by_its_folder_or_a_file_in_it(checkpoint, inside):
    policy = load_policy(str(checkpoint / inside), execute=3, instruction="")
    assert policy.spec.inputs == {"image", "state", "instruction"}
    assert (policy.spec.chunk, policy.spec.execute) == (8, 3)
    assert policy.instruction == ""


def test_a_factory_goes_through_pickle(checkpoint):
    factory = pickle.loads(pickle.dumps(policy_factory(str(checkpoint), execute=1)))
    assert factory().spec.digest == load_policy(str(checkpoint)).spec.digest


def test_module_and_attribute_name_a_class_or_a_policy():
    assert load_policy("sim.baselines:RandomPolicy").spec.name == "random"
    assert load_policy("tests.small_data:STANDING").act(None).shape == (1, 7)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ws://127.0.0.1:9", "demomill serve POLICY"),
        ("randm", "Did you mean 'random'"),
        ("runs/nothing", "does not exist"),
        ("./nothing", "does not exist"),
        ("no_such_module:Policy", "no_such_module"),
        ("sim.baselines:RandomPolic", "Did you mean 'RandomPolicy'"),
        ("sim.conventions:CANONICAL", "without spec, reset, act"),
        ("sim.conventions:differences", "without arguments"),
        ("expert:lift_cub", "lift_cube"),
        ("tests", "no checkpoint"),
    ],
)
def test_what_is_no_policy_is_refused_in_words(text, word):
    with pytest.raises(UserError, match=word):
        load_policy(text)


def test_options_that_a_policy_does_not_have_are_refused():
    with pytest.raises(UserError, match="no instruction to change"):
        load_policy("random", instruction="")
    with pytest.raises(UserError, match="execute = 2"):
        load_policy("random", execute=2)


def test_a_checkpoint_of_an_unknown_kind_is_refused(tmp_path):
    (tmp_path / "checkpoint.json").write_text('{"kind": "vlb"}')
    with pytest.raises(UserError, match="Did you mean 'vla'"):
        load_policy(str(tmp_path))


def test_an_unfinished_training_is_no_policy_yet(tmp_path):
    (tmp_path / "resume.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="run the same command again"):
        load_policy(str(tmp_path))


def test_standing_still_is_a_policy():
    assert np.asarray(load_policy("tests.small_data:STANDING").act(None))[0, 6] == 1

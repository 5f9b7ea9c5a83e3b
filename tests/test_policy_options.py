import numpy as np
import pytest

from datagen.mixture import MixConfig, SourceConfig
from policies.inference import FilteredPolicy
from policies.loading import load_policy
from policies.options import PolicyOptions, parse_policy
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.conventions import CANONICAL, POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Observation, PolicySpec
from sim.errors import UserError
from tests.small_data import write_dataset


class Plans:
    """A policy whose plan made at step t says, for each step s it reaches, 0.001 t + 0.01 s; the gripper is open
    when the plan is even."""

    def __init__(self, chunk=4, execute=4):
        self.spec = PolicySpec("plans", CANONICAL, frozenset({"state"}), chunk=chunk, execute=execute)

    def reset(self, ids):
        pass

    def act(self, observation):
        chunks = np.zeros((len(observation.ids), self.spec.chunk, 7))
        for row, step in enumerate(observation.steps):
            chunks[row, :, :6] = (0.001 * step + 0.01 * (step + np.arange(self.spec.chunk)))[:, None]
            chunks[row, :, 6] = step % 2 == 0
        return chunks


def at(*steps):
    return Observation(
        ids=np.arange(len(steps)),
        seeds=(0,) * len(steps),
        steps=np.array(steps),
        state=np.zeros((len(steps), 8), np.float32),
        privileged=np.zeros((len(steps), 0), np.float32),
        instructions=("",) * len(steps),
        render=lambda camera: np.zeros((len(steps), 8, 8, 3), np.uint8),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("vla")
    data = MixConfig(sources=(SourceConfig(write_dataset(out)),))
    return train_vla(TrainVlaConfig(data=data, out=out / "checkpoint", preset="debug", steps=20, threads=1)).folder


def test_options_stand_behind_the_name():
    assert parse_policy("runs/vla") == ("runs/vla", PolicyOptions())
    base, options = parse_policy("runs/vla?execute=2&ensemble=0.01&dtype=int8")
    assert base == "runs/vla"
    assert (options.execute, options.ensemble, options.dtype) == (2, 0.01, "int8")
    assert options.given() == ("execute", "ensemble", "dtype")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("exceute=2", "Did you mean 'execute'"),
        ("execute=0", "integers from 1"),
        ("execute=2.5", "integers from 1"),
        ("execute", "name=value"),
        ("execute=1&execute=2", "twice"),
        ("ensemble=-1", "numbers from 0"),
        ("smooth=1", "below 1"),
        ("limit=0", "above 0"),
        ("limit=nan", "above 0"),
        ("dtype=fp16", "Did you mean 'bf16'"),
    ],
)
def test_wrong_options_are_refused_in_words(query, word):
    with pytest.raises(UserError, match=word):
        parse_policy(f"runs/vla?{query}")


@pytest.mark.parametrize("text", ["random?dtype=int8", "random?declare=x", "expert:lift_cube?timeout=3"])
def test_options_that_a_policy_does_not_have_are_refused(text):
    own = "floor, " if text.startswith("expert:") else ""
    with pytest.raises(UserError, match=rf"to change\. Allowed here: ensemble, execute, {own}limit, smooth"):
        load_policy(text)


def test_ensembling_weighs_overlapping_plans_as_act_does():
    policy = FilteredPolicy(Plans(), name="x", ensemble=0.3)
    assert (policy.spec.chunk, policy.spec.execute) == (1, 1)
    policy.reset(np.array([0]))
    for step in range(7):
        action = policy.act(at(step))[0, 0]
        made = np.arange(max(0, step - 3), step + 1)
        weights = np.exp(-0.3 * np.arange(len(made)))
        wanted = (weights * (0.001 * made + 0.01 * step)).sum() / weights.sum()
        assert action[:6] == pytest.approx(wanted)
        assert action[6] in (0.0, 1.0)
        assert action[6] == (weights[made % 2 == 0].sum() / weights.sum() > 0.5)


def test_ensembling_averages_a_gripper_that_moves_continuously():
    class Half(Plans):
        def act(self, observation):
            chunks = super().act(observation)
            chunks[..., 6] = 0.25 + 0.5 * chunks[..., 6]
            return chunks

    policy = FilteredPolicy(Half(), name="x", ensemble=0.0)
    policy.act(at(0))
    assert policy.act(at(1))[0, 0, 6] == pytest.approx(0.5)


def test_ensembling_with_several_executed_actions_and_a_reset():
    policy = FilteredPolicy(Plans(), name="x", ensemble=0.0, execute=2)
    first = policy.act(at(0))
    second = policy.act(at(2))
    assert first[0, :, 0] == pytest.approx([0.0, 0.01])
    assert second[0, :, 0] == pytest.approx([0.021, 0.031])
    policy.reset(np.array([0]))
    assert policy.act(at(2))[0, :, 0] == pytest.approx([0.022, 0.032])


def test_smoothing_filters_the_arm_and_limits_cut_it():
    plain = Plans().act(at(0))[0, :, 0]
    smooth = FilteredPolicy(Plans(), name="x", smooth=0.5).act(at(0))[0]
    wanted = [plain[0]]
    for value in plain[1:]:
        wanted.append(0.5 * wanted[-1] + 0.5 * value)
    assert smooth[:, 0] == pytest.approx(wanted)
    assert (smooth[:, 6] == 1).all()
    limited = FilteredPolicy(Plans(), name="x", limit=0.1).act(at(9))[0]
    assert limited[:, :3] == pytest.approx(0.1 * POSITION_LIMIT)
    assert limited[:, 3:6] == pytest.approx(0.1 * ROTATION_LIMIT)


def test_worlds_do_not_influence_each_other():
    whole, apart = (FilteredPolicy(Plans(), name="x", ensemble=0.1, smooth=0.3) for _ in range(2))
    for steps in ([0, 3], [1, 4], [2, 5]):
        both = whole.act(at(*steps))
        assert (apart.act(at(steps[0]))[0] == both[0]).all()


@pytest.mark.parametrize("options", [{"execute": 5}, {"ensemble": 0.1, "execute": 4}])
def test_chunks_that_are_too_short_are_refused(options):
    with pytest.raises(UserError, match="execute"):
        FilteredPolicy(Plans(), name="x", **options)


def shown(rows):
    streams = [np.random.default_rng(int(row)) for row in rows]
    images = np.array([s.integers(0, 256, (64, 64, 3), dtype=np.uint8) for s in streams])
    state = np.array([s.uniform(-1, 1, 8) for s in streams], np.float32)
    from dataclasses import replace

    return replace(at(*[0] * len(rows)), ids=np.array(rows), state=state, render=lambda camera: images)


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_cheaper_arithmetic_stays_close_and_rows_stay_apart(folder, dtype):
    exact, cheap = load_policy(str(folder)), load_policy(f"{folder}?dtype={dtype}")
    wanted, got = exact.act(shown(range(6))), cheap.act(shown(range(6)))
    assert (got != wanted).any()
    assert np.abs(got[..., :3] - wanted[..., :3]).max() < 0.1 * POSITION_LIMIT
    for rows in ([4], [5, 0, 2]):
        assert (cheap.act(shown(rows)) == got[rows]).all()


def test_a_checkpoint_takes_all_options(folder):
    policy = load_policy(f"{folder}?ensemble=0.1&smooth=0.2&limit=0.5&execute=2&dtype=bf16", instruction="")
    assert policy.act(shown([1, 2])).shape == (2, 2, 7)
    assert policy.spec.name == "vla:checkpoint?execute=2&ensemble=0.1&smooth=0.2&limit=0.5"
    assert policy.spec.digest == load_policy(str(folder)).spec.digest
    assert load_policy(f"{folder}?execute=3").spec.execute == 3

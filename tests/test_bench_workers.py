"""Several worlds per process change no byte of the log; who breaks is found, and errors can run again."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import pytest

from bench.config import BenchConfig
from bench.episode_log import drop_errors, encode, read_log
from bench.run import CONVENTIONS, EPISODES, bench
from bench.worker import Todo, alike
from policies.loading import load_policy
from sim.baselines import RandomPolicy
from sim.errors import UserError
from tests.host_support import needs

HELPER = """
import os
from pathlib import Path
from sim.baselines import RandomPolicy

class Once(RandomPolicy):
    '''Breaks in one episode, as often as there are files in a folder.'''
    def __init__(self, how, number, folder):
        super().__init__(0)
        self.how, self.number, self.folder = how, number, Path(folder)
    def act(self, observation):
        if (self.number, 3) in [(s % 2**20, k) for s, k in zip(observation.seeds, observation.steps)]:
            for token in sorted(self.folder.glob("token*"))[:1]:
                token.unlink()
                if self.how == "die":
                    os._exit(7)
                raise ValueError("the network fell over")
        return super().act(observation)
"""


@pytest.fixture
def once(tmp_path, monkeypatch):
    """Return a policy class that breaks as often as it is told, importable by worker processes."""
    (tmp_path / "bench_once.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import bench_once

    return bench_once.Once


def _config(out, **changes):
    settings = {"out": out, "hosts": ("demomill",), "episodes": 5, "workers": 1, "worlds": 1, "filmstrips": 0}
    return BenchConfig(**(settings | changes))


POLICIES = {
    "expert": functools.partial(load_policy, "expert:lift_cube"),
    "random": functools.partial(RandomPolicy, 0),
}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Return the folder of a run with one world in one process."""
    config = _config(tmp_path_factory.mktemp("serial") / "run", filmstrips=2)
    bench(config, policies=POLICIES, progress=False)
    return config.out


def test_worlds_and_workers_change_no_byte(serial, tmp_path):
    config = _config(tmp_path / "run", filmstrips=2, worlds=3, workers=2)
    bench(config, policies=POLICIES, progress=False)
    assert (config.out / EPISODES).read_bytes() == (serial / EPISODES).read_bytes()
    ours, theirs = (sorted(p.relative_to(run) for p in run.glob("frames/**/*.jpg")) for run in (config.out, serial))
    assert ours == theirs
    assert ours
    assert all((config.out / name).read_bytes() == (serial / name).read_bytes() for name in ours)


def test_a_run_says_what_its_hosts_mean_and_how_policies_were_adapted(serial):
    (told,) = json.loads((serial / CONVENTIONS).read_text()).values()
    assert told["environment"]["convention"]["rate"] == 20.0
    assert told["environment"]["engine"].startswith("mujoco")
    assert told["policies"] == {"expert": {"adapters": []}, "random": {"adapters": []}}


def test_an_adapted_policy_is_recorded_and_judged_in_canonical_terms(serial, tmp_path):
    config = _config(tmp_path / "run", episodes=2)
    bench(config, policies={"expert": _in_other_units}, progress=False)
    (told,) = json.loads((config.out / CONVENTIONS).read_text()).values()
    assert told["policies"]["expert"]["adapters"] == ["action position_unit", "action gripper_range"]
    plain = {line["seed"]: line for line in read_log(serial / EPISODES) if line["policy"] == "expert"}
    for line in read_log(config.out / EPISODES):
        first = plain[line["seed"]]["metrics"]
        assert line["metrics"]["action_change"] == pytest.approx(first["action_change"], rel=1e-3)
        assert line["metrics"]["sparc"] == pytest.approx(first["sparc"], rel=1e-3)


def _in_other_units():
    from tests.fault_doubles import Speaking

    inner = load_policy("expert:lift_cube")
    return Speaking(inner, replace(inner.spec.convention, position_unit=0.05, gripper_open=-1.0, gripper_closed=1.0))


@pytest.mark.parametrize(("how", "reason"), [("raise", "the network fell over"), ("die", "died with status 7")])
def test_who_breaks_among_several_worlds_is_found_and_can_run_again(serial, once, tmp_path, how, reason):
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    for k in range(2):
        (tokens / f"token{k}").touch()
    policies = {"random": functools.partial(once, how, 2, tokens)}
    config = _config(tmp_path / "run", worlds=3)
    cell = bench(config, policies=policies, progress=False).results["cells"][0]
    assert cell["n"] == 4, "the others of its batch ran again"
    assert [reason in error["reason"] for error in cell["errors"]] == [True]
    assert bench(config, policies=policies, progress=False).results["cells"][0]["n"] == 4, "errors stay unless asked"
    again = replace(config, retry_errors=True, worlds=2)
    assert bench(again, policies=policies, progress=False).results["cells"][0]["n"] == 5
    wanted = [line for line in read_log(serial / EPISODES) if line["policy"] == "random"]
    assert (config.out / EPISODES).read_bytes() == b"".join(encode(line) for line in wanted)


def test_dropping_errors_keeps_the_rest_and_a_missing_log(tmp_path):
    path = tmp_path / "log.jsonl"
    drop_errors(path)
    assert not path.exists()
    path.write_bytes(encode({"seed": 1, "error": None}) + encode({"seed": 2, "error": "boom"}))
    drop_errors(path)
    assert path.read_bytes() == encode({"seed": 1, "error": None})


def test_episodes_share_a_rollout_where_policy_arm_and_film_are_equal():
    todos = [Todo("a", 1, True), Todo("a", 2), Todo("a", 3), Todo("b", 1), Todo("b", 2), Todo("a", 4)]
    assert [[t.seed for t in run] for run in alike(todos)] == [[1], [2, 3], [1, 2], [4]]


def test_no_world_and_a_horizon_that_is_too_short_are_refused(tmp_path):
    for changes, told in (({"worlds": 0}, "worlds = 0"), ({"horizon": 20}, "horizon = 20")):
        with pytest.raises(UserError, match=told):
            bench(_config(tmp_path / "run", **changes), policies=POLICIES, progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("host", ["robosuite", "maniskill"])
def test_a_host_gives_the_same_log_whatever_worlds_workers_and_interruptions(host, tmp_path):
    needs(host)
    policies = {"expert": POLICIES["expert"]}
    plain = _config(tmp_path / "plain", hosts=(host,), episodes=3)
    bench(plain, policies=policies, progress=False)
    log = (plain.out / EPISODES).read_bytes()
    assert sum(json.loads(line)["lifted"] for line in log.splitlines()) >= 2
    broken = _config(tmp_path / "broken", hosts=(host,), episodes=3, workers=2, worlds=2)
    broken.out.mkdir()
    (broken.out / "start.json").write_bytes((plain.out / "start.json").read_bytes())
    (broken.out / EPISODES).write_bytes(log.splitlines(keepends=True)[1] + log[:37])
    bench(broken, policies=policies, progress=False)
    assert (broken.out / EPISODES).read_bytes() == log

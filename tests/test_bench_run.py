"""The benchmark run: its folder, that it resumes to the same log, and that nothing broken passes for a number."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.config import BenchConfig, HostTask, bench_seeds, host_tasks
from bench.episode_log import EpisodeLog, read_log
from bench.fleet import run_jobs
from bench.hosts.host_env import stacked
from bench.run import EPISODES, RESULTS, START, bench
from bench.summary import summarize
from bench.worker import Todo, WorkerJob
from sim.baselines import RandomPolicy
from sim.errors import UserError
from sim.state import State
from sim.streams import split_of
from tasks.catalogue import load_task

HELPER = """
import os
import numpy as np
from sim.baselines import RandomPolicy

class Trouble(RandomPolicy):
    def __init__(self, how, number):
        super().__init__(0)
        self.how, self.number = how, number
    def act(self, observation):
        if (self.number, 3) in [(s % 2**20, k) for s, k in zip(observation.seeds, observation.steps)]:
            if self.how == "die":
                os._exit(7)
            raise ValueError("the network fell over")
        return super().act(observation)
"""


@pytest.fixture
def trouble(tmp_path, monkeypatch):
    """Return a policy class that breaks in one episode, importable by worker processes."""
    (tmp_path / "bench_trouble.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import bench_trouble

    return bench_trouble.Trouble


def _config(tmp_path, **changes):
    settings = {"out": tmp_path / "run", "hosts": ("demomill",), "episodes": 3, "workers": 1, "filmstrips": 0}
    return BenchConfig(**(settings | changes))


RANDOM = {"random": functools.partial(RandomPolicy, 0)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the config and the result of one finished run of two policies."""
    config = _config(tmp_path_factory.mktemp("bench"))
    policies = RANDOM | {"random 2": functools.partial(RandomPolicy, 1)}
    return config, policies, bench(config, policies=policies, progress=False, command="demomill bench random")


def test_a_run_folder_says_what_ran_where_and_on_which_seeds(finished):
    config, _, _ = finished
    start = json.loads((config.out / START).read_text())
    assert start["task"] == {"id": "lift_cube-v1", "digest": load_task("lift_cube").digest()}
    assert start["seeds"] == list(bench_seeds(config))
    assert {split_of(seed) for seed in start["seeds"]} == {"benchmark"}
    assert start["packages"]["mujoco"]
    assert start["machine"]["processor"]
    assert start["policies"]["random"]["convention"]["rate"] == 20.0
    assert "goal" in start["differences"]["maniskill:PickCube-v1"]
    assert start["command"] == "demomill bench random"


def test_every_episode_has_a_line_in_order_and_every_cell_an_interval(finished):
    config, policies, result = finished
    lines = read_log(config.out / EPISODES)
    expected = [("demomill:lift_cube-v1", p, s) for p in policies for s in bench_seeds(config)]
    assert [(line["host"], line["policy"], line["seed"]) for line in lines] == expected
    assert all(line["length"] == 60 and line["error"] is None for line in lines)
    assert all(line["metrics"]["sparc"] < -1 and line["metrics"]["jerk_rms"] > 0 for line in lines)
    cells = result.results["cells"]
    assert [(cell["policy"], cell["n"]) for cell in cells] == [("random", 3), ("random 2", 3)]
    assert cells[0]["lifted"]["estimate"] == 0
    assert cells[0]["lifted"]["high"] > 0.5
    assert result.results["comparisons"][0]["p"] == 1.0
    assert json.loads((config.out / RESULTS).read_text()) == result.results


def test_an_interrupted_run_continues_to_the_same_log(finished, tmp_path):
    config, policies, _ = finished
    whole = (config.out / EPISODES).read_bytes()
    again = _config(tmp_path)
    again.out.mkdir()
    (again.out / START).write_bytes((config.out / START).read_bytes())
    lines = whole.splitlines(keepends=True)
    (again.out / EPISODES).write_bytes(lines[4] + lines[0] + lines[1][:40])
    bench(again, policies=policies, progress=False)
    assert (again.out / EPISODES).read_bytes() == whole


def test_a_finished_run_is_not_run_again(finished):
    config, policies, result = finished
    before = (config.out / EPISODES).stat().st_mtime_ns
    again = bench(config, policies=policies, progress=False)
    assert again.results["cells"] == result.results["cells"]
    assert (config.out / EPISODES).stat().st_mtime_ns >= before


def test_another_run_in_the_same_folder_is_refused(finished):
    config, policies, _ = finished
    other = BenchConfig(**{**config.__dict__, "seed": 1})
    with pytest.raises(UserError, match="holds another benchmark run: settings"):
        bench(other, policies=policies, progress=False)
    with pytest.raises(UserError, match="policies"):
        bench(config, policies=RANDOM, progress=False)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    config = _config(tmp_path)
    config.out.mkdir()
    (config.out / "thesis.tex").write_text("do not touch")
    with pytest.raises(UserError, match="not empty"):
        bench(config, policies=RANDOM, progress=False)
    assert [path.name for path in config.out.iterdir()] == ["thesis.tex"]


def test_an_episode_that_raises_is_an_error_and_the_others_run(tmp_path, trouble):
    config = _config(tmp_path)
    result = bench(config, policies={"shaky": functools.partial(trouble, "raise", 1)}, progress=False)
    cell = result.results["cells"][0]
    assert cell["n"] == 2
    assert "the network fell over" in cell["errors"][0]["reason"]
    assert cell["lifted"]["n"] == 2


def test_a_worker_that_dies_costs_one_episode(tmp_path, trouble):
    config = _config(tmp_path)
    result = bench(config, policies={"deadly": functools.partial(trouble, "die", 1)}, progress=False)
    cell = result.results["cells"][0]
    assert cell["n"] == 2
    assert cell["errors"][0]["reason"] == "the worker process died with status 7"


def test_a_run_in_which_nothing_could_be_judged_is_an_error(tmp_path, trouble):
    config = _config(tmp_path, episodes=1)
    with pytest.raises(UserError, match="no success rate of no episodes"):
        bench(config, policies={"shaky": functools.partial(trouble, "raise", 0)}, progress=False)
    assert json.loads((config.out / RESULTS).read_text())["cells"][0]["success"] is None


def test_empty_requests_are_refused(tmp_path):
    for changes, policies in (({"episodes": 0}, RANDOM), ({"hosts": ()}, RANDOM), ({"workers": 0}, RANDOM), ({}, {})):
        with pytest.raises(UserError):
            bench(_config(tmp_path, **changes), policies=policies, progress=False)
    assert not (tmp_path / "run").exists()


def test_hosts_are_named_alone_or_with_their_environment(tmp_path):
    task = load_task("lift_cube")
    config = _config(tmp_path, hosts=("maniskill", "robosuite:Lift"))
    assert host_tasks(config, task) == (HostTask("maniskill", "PickCube-v1"), HostTask("robosuite", "Lift"))
    with pytest.raises(UserError, match="Did you mean 'robosuite'"):
        host_tasks(_config(tmp_path, hosts=("robosuit",)), task)
    with pytest.raises(UserError, match="named twice"):
        host_tasks(_config(tmp_path, hosts=("robosuite", "robosuite:Lift")), task)


def test_a_convention_that_cannot_be_adapted_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(UserError, match="rate"):
        bench(_config(tmp_path), policies={"slow": _five_hertz}, progress=False)
    assert not (tmp_path / "run").exists()


def _five_hertz():
    policy = RandomPolicy(0)
    policy.spec = replace(policy.spec, convention=replace(policy.spec.convention, rate=5.0))
    return policy


def test_a_policy_that_cannot_be_built_in_the_worker_stops_the_run(tmp_path):
    job = WorkerJob(
        _config(tmp_path), HostTask("demomill", "lift_cube-v1"), {"x": functools.partial(int, "x")}, [Todo("x", 1)]
    )
    with pytest.raises(RuntimeError, match="invalid literal"):
        list(run_jobs([job], workers=1))


def test_states_of_several_worlds_are_one_batch_and_what_is_not_told_stays_untold():
    one = np.zeros((1, 7))
    state = State(
        time=np.zeros(1), q=one, qd=one, tcp=one, opening=np.zeros(1), poses={"cube": one}, twists={"cube": one[:, :6]},
        half_sizes={"cube": one[:, :3]}, table=np.zeros(1), contact=np.zeros(1),
    )  # fmt: skip
    both = stacked([state, state])
    assert both.q.shape == both.poses["cube"].shape == (2, 7)
    assert both.depth is None
    assert stacked([replace(state, depth=np.ones(1))] * 2).depth.shape == (2,)


def test_a_log_drops_a_half_written_line_and_refuses_a_damaged_one(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2')
    log = EpisodeLog(path)
    log.append({"a": 3})
    log.close()
    assert path.read_bytes() == b'{"a": 1}\n{"a": 3}\n'
    path.write_bytes(b'{"a": 1}\nnonsense\n')
    with pytest.raises(UserError, match="line 2"):
        EpisodeLog(path)


def test_summaries_keep_errors_apart():
    metrics = dict.fromkeys(["sparc", "ldlj_v", "jerk_mean", "jerk_rms", "action_change", "path_ratio"], 1.0)
    metrics |= {"time_to_success": None, "time_to_lifted": None}
    good = {
        "success": True,
        "success_once": True,
        "lifted": False,
        "lifted_once": True,
        "error": None,
        "metrics": metrics,
    }
    records = [good | {"host": "h", "policy": "p", "seed": 1}, {"host": "h", "policy": "p", "seed": 2, "error": "boom"}]
    cell = summarize(records, [], hosts=["h"], policies=["p"])["cells"][0]
    assert cell["n"] == 1
    assert cell["success"]["estimate"] == 1.0
    assert cell["errors"] == [{"seed": 2, "reason": "boom"}]
    assert "time_to_success" not in cell["metrics"]
    assert cell["metrics_lifted"] == {}


@pytest.mark.slow
def test_the_hosts_run_side_by_side_and_leave_filmstrips(tmp_path):
    pytest.importorskip("robosuite")
    config = _config(tmp_path, hosts=("robosuite", "maniskill"), episodes=2, workers=2, filmstrips=1)
    result = bench(config, policies=RANDOM, progress=False)
    assert [cell["n"] for cell in result.results["cells"]] == [2, 2]
    strips = sorted(Path(config.out / "frames").rglob("*.jpg"))
    assert {path.parts[-4] for path in strips} == {"robosuite-Lift", "maniskill-PickCube-v1"}
    assert len(strips) >= 16

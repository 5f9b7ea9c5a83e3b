"""Suites: frozen data, a log that resumes, drops that are what the log says, grounding that is measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.axes import find_axis
from bench.compare import CompareConfig, compare
from bench.config import BenchConfig, HostTask
from bench.episode_log import read_log
from bench.grounding import acted_on, grounding
from bench.intervals import mcnemar, wilson
from bench.record import key
from bench.reproduce import compare_logs, reproduce
from bench.run import EPISODES, START, bench
from bench.suite import SHIPPED, load_suite, stop_lifted
from bench.suite_drops import drops
from bench.suite_means import means, overall
from bench.suite_plan import Cell, Plan, make_plan
from bench.variation import NOMINAL
from policies.loading import policy_factory
from sim.baselines import RandomPolicy
from sim.episodes import Episode
from sim.errors import UserError
from sim.streams import split_of
from tasks.catalogue import load_task

FROZEN = {"smoke": "4adc2dc41ded695c", "standard": "b7fe35f071c460a5", "full": "dda9e9db0e2af990"}

SMALL = """
name = "small"
version = 1
episodes = 2
seed = 3
levels = [2]
axes = ["action_latency", "camera_pose", "object_color", "sentence_blank"]

[[places]]
task = "lift_cube-v2"
hosts = ["demomill", "robosuite:Stack"]

[[places]]
task = "lift_cube-v2"
hosts = ["demomill"]
axes = ["grounding_right", "grounding_swapped", "grounding_blank"]
"""

LATE_TROUBLE = """
import numpy as np
from sim.baselines import RandomPolicy

class Shaky(RandomPolicy):
    # It breaks where the hand has not moved after its first action: where actions come late.
    def __init__(self):
        super().__init__(0)
        self.start = None
    def act(self, observation):
        if observation.steps[0] == 0:
            self.start = observation.state[0].copy()
        if observation.steps[0] == 1 and np.allclose(observation.state[0], self.start, atol=1e-4):
            raise RuntimeError("it needs an answer at once")
        return super().act(observation)
"""

EXPERT = {"expert": policy_factory("expert:lift_cube-v2")}
HOST = "demomill:lift_cube-v2"
PLACE = (HostTask("demomill", "lift_cube-v2"), "lift_cube-v2")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Return the path of a small suite."""
    path = tmp_path_factory.mktemp("suites") / "small.toml"
    path.write_text(SMALL)
    return str(path)


@pytest.fixture(scope="module")
def finished(suite, tmp_path_factory):
    """Return config and result of a finished run of the small suite."""
    config = BenchConfig(tmp_path_factory.mktemp("runs") / "run", suite=suite, workers=1, filmstrips=0)
    return config, bench(config, policies=EXPERT, progress=False)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_suites_are_frozen_and_name_what_exists(name):
    suite = load_suite(name)
    assert suite.digest() == FROZEN[name], "a suite changed: raise its version, then put the new digest here"
    assert set(suite.levels) <= {1, 2, 3}
    for place in suite.places:
        task = load_task(place.task)
        twins = {f"{twin.host}:{twin.host_task}" for twin in task.twins} | {"demomill"}
        assert set(place.hosts) <= twins
        assert place.task == task.id, "a suite names a task with its version"
    assert {find_axis(axis).name for axis in suite.all_axes} == set(suite.all_axes)
    assert suite.episodes == {"smoke": 10, "standard": 50, "full": 200}[name]
    most = len(suite.levels) * len([axis for axis in suite.axes if find_axis(axis).group != "grounding"])
    surest = mcnemar([True] * suite.episodes, [False] * suite.episodes).p
    assert surest * most <= 0.05, "not even a policy that loses every episode could be told from chance after Holm"


def test_every_arm_runs_on_the_seeds_of_the_nominal_one(finished):
    config, _ = finished
    start, log = json.loads((config.out / START).read_text()), read_log(config.out / EPISODES)
    seeds = {(line["axis"], line["level"]): [] for line in log}
    for line in log:
        seeds[line["axis"], line["level"]].append(line["seed"])
    assert set(map(tuple, seeds.values())) == {tuple(start["seeds"])}
    assert {split_of(seed) for seed in start["seeds"]} == {"benchmark"}
    assert list(seeds) == [
        ("nominal", 0), ("action_latency", 2), ("grounding_right", 1), ("grounding_swapped", 1), ("grounding_blank", 1),
    ]  # fmt: skip


def test_what_cannot_run_and_what_cannot_be_noticed_is_said(finished):
    config, result = finished
    found = result.results["suite"]
    assert found["unavailable"] == [
        {"host": "robosuite:Stack", "task": "lift_cube-v2", "axis": "", "why": found["unavailable"][0]["why"]}
    ]
    assert [each["axis"] for each in found["unnoticed"]] == ["camera_pose", "object_color", "sentence_blank"]
    start = json.loads((config.out / START).read_text())
    assert start["suite"] == {"name": "small-v1", "digest": found["digest"], "episodes": 2}
    assert start["cells"][1]["laws"] == ["action.latency =choice(2)"]
    assert start["axes"]["action_latency"]["group"] == "robot"


def test_an_interrupted_suite_continues_to_the_same_log(finished, suite, tmp_path):
    config, result = finished
    whole = (config.out / EPISODES).read_bytes()
    again = replace(config, out=tmp_path / "again")
    again.out.mkdir()
    (again.out / START).write_bytes((config.out / START).read_bytes())
    lines = whole.splitlines(keepends=True)
    (again.out / EPISODES).write_bytes(lines[6] + lines[0] + lines[1][:30])
    second = bench(again, policies=EXPERT, progress=False)
    assert (again.out / EPISODES).read_bytes() == whole
    assert second.results == result.results | {"cells": second.results["cells"]}
    assert compare_logs(config.out, again.out).ok


def test_a_suite_is_reproduced_from_its_start_record(finished, tmp_path):
    config, _ = finished
    found = reproduce(config.out, tmp_path / "again", workers=1, progress=False)
    assert found.ok
    assert found.episodes == 10


def test_two_runs_of_a_suite_are_compared_arm_by_arm(finished):
    config, _ = finished
    (found,) = compare(CompareConfig((config.out, config.out), policy_a="expert", policy_b="expert")).comparisons
    arms = [row["host"] for row in found["rows"] if row["outcome"] == "lifted"]
    assert arms[1] == "demomill:lift_cube-v2 lift_cube-v2 action_latency 2"
    assert len(arms) == 6
    assert found["pairs"] == 10
    assert all(row["difference"]["estimate"] == 0 for row in found["rows"])


def test_another_suite_in_the_same_folder_is_refused(finished, tmp_path):
    config, _ = finished
    other = tmp_path / "small.toml"
    other.write_text(SMALL.replace("episodes = 2", "episodes = 3"))
    with pytest.raises(UserError, match="suite"):
        bench(replace(config, suite=str(other)), policies=EXPERT, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episodes": 5}, "the suite fixes it"),
        ({"tasks": ("push_cube",)}, "task of the suite small"),
        ({"axes": ("action_latencies",)}, "Did you mean 'action_latency'"),
        ({"hosts": ("maniskill",)}, "host of the suite small"),
        ({"suite": "smokes"}, "Did you mean 'smoke'"),
    ],
)
def test_what_a_suite_does_not_have_is_refused(suite, tmp_path, changes, message):
    config = BenchConfig(**({"out": tmp_path / "run", "suite": suite} | changes))
    with pytest.raises(UserError, match=message):
        bench(config, policies=EXPERT, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_suite_can_end_episodes_once_success_held(tmp_path):
    path = tmp_path / "short.toml"
    short = SMALL.replace("episodes = 2", "episodes = 2\nstop_lifted = 5")
    path.write_text(short.replace('"action_latency", "camera_pose", "object_color", "sentence_blank"', '"robot_pose"'))
    config = BenchConfig(out=tmp_path / "run", suite=str(path), hosts=("demomill",), workers=1, filmstrips=0)
    bench(config, policies=EXPERT, progress=False)
    log = read_log(config.out / EPISODES)
    assert stop_lifted(config) == 5
    assert stop_lifted(replace(config, suite=None)) is None
    assert all(line["task_success"] and line["length"] < 60 for line in log), [line["length"] for line in log]


def test_a_suite_with_unknown_axes_or_levels_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    for old, new, message in (
        ('"camera_pose"', '"camera_poses"', "Did you mean 'camera_pose'"),
        ("levels = [2]", "levels = [4]", "Allowed: 1, 2 and 3"),
        ("episodes = 2", "episodes = 0", "1 or more"),
        ("episodes = 2", "episodes = 2\nstop_lifted = 0", "1 or more"),
        ("seed = 3", "sed = 3", "unknown key 'sed'"),
    ):
        path.write_text(SMALL.replace(old, new))
        with pytest.raises(UserError, match=message):
            load_suite(str(path))


def test_a_part_of_a_suite_has_the_episodes_of_the_whole(suite, tmp_path):
    specs = {"random": replace(RandomPolicy(0).spec, inputs=frozenset({"image", "instruction"}))}
    whole = make_plan(BenchConfig(tmp_path, suite=suite), specs)
    part = make_plan(BenchConfig(tmp_path, suite=suite, axes=("camera_pose",)), specs)
    assert part.seeds == whole.seeds
    assert [cell.arm.name for cell in part.cells] == ["nominal", "camera_pose-2"]
    assert all(cell in whole.cells for cell in part.cells)
    assert not whole.unnoticed


def test_a_task_is_chosen_by_its_id_or_by_its_name(tmp_path):
    specs = {"random": RandomPolicy(0).spec}
    config = BenchConfig(tmp_path, suite="standard", hosts=("demomill",), axes=("action_latency",))
    for name, tasks in (("lift_cube", {"lift_cube-v2"}), ("push_cube-v1", {"push_cube-v1"})):
        assert {cell.task for cell in make_plan(replace(config, tasks=(name,)), specs).cells} == tasks


def test_an_arm_in_which_nothing_could_be_judged_is_an_error(suite, tmp_path, monkeypatch):
    (tmp_path / "bench_late.py").write_text(LATE_TROUBLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = BenchConfig(tmp_path / "run", suite=suite, workers=1, filmstrips=0, axes=("action_latency",))
    with pytest.raises(UserError, match="action_latency 2 could be judged: all 2 broke off"):
        bench(config, policies={"shaky": policy_factory("bench_late:Shaky")}, progress=False)
    results = json.loads((config.out / "results.json").read_text())
    assert results["cells"][0]["n"] == 2
    assert results["suite"]["drops"] == []
    assert "needs an answer" in results["suite"]["arms"][1]["errors"][0]["reason"]


def test_an_expert_of_another_task_has_nothing_to_do(suite, tmp_path):
    with pytest.raises(UserError, match="reads the state of another task"):
        bench(BenchConfig(tmp_path / "run", suite=suite), policies={"v1": policy_factory("expert:lift_cube")})


def _plan(*arms, policies=("p",)):
    cells = [Cell(*PLACE, a, policies, 0, {"task": PLACE[1], "axis": a.axis, "level": a.level}) for a in arms]
    return Plan(tuple(cells), tuple(range(20)))


def _log(arm, won, *, policy="p", task=PLACE[1], host=HOST, errors=()):
    return [
        {"host": host, "task": task, "policy": policy, "axis": arm.axis, "level": arm.level, "seed": seed,
         "error": "boom" if seed in errors else None, "lifted": seed in won, "success": seed in won}
        for seed in range(20)
    ]  # fmt: skip


BLUR, LATE = find_axis("image_blur").arm(2), find_axis("action_latency").arm(2)


def test_a_drop_is_the_paired_difference_to_the_nominal_arm():
    log = [*_log(NOMINAL, range(18)), *_log(BLUR, range(6)), *_log(LATE, range(18), errors=(0, 19))]
    rows = [row for row in drops(log, _plan(NOMINAL, BLUR, LATE)) if row["outcome"] == "lifted"]
    blurred, late = rows
    assert blurred["drop"]["estimate"] == pytest.approx(12 / 20)
    assert (blurred["lost"], blurred["won"], blurred["n"]) == (12, 0, 20)
    assert blurred["p"] == pytest.approx(2 / 2**12)
    assert blurred["p_holm"] == pytest.approx(4 / 2**12)
    assert blurred["drop"]["low"] > 0 < blurred["drop"]["high"] < 1
    assert late["n"] == 18, "a pair with an error on either side is no pair"
    assert late["drop"]["estimate"] == 0
    assert late["drop"]["low"] < 0 < late["drop"]["high"]


def test_means_count_single_axes_at_the_middle_level_only():
    strong, both = find_axis("image_blur").arm(3), find_axis("combined").arm(2)
    blank = find_axis("sentence_blank").arm(1)
    arms = (NOMINAL, BLUR, LATE, strong, both, blank)
    log = [*_log(NOMINAL, range(20)), *_log(BLUR, range(10)), *_log(LATE, range(20))]
    log += [line for arm in (strong, both, blank) for line in _log(arm, ())]
    (found, _) = means(log, _plan(*arms))
    assert found["axes"] == 2
    assert found["drop"]["estimate"] == pytest.approx(0.25)
    assert found["drop"]["low"] < 0.25 < found["drop"]["high"]
    assert set(found["groups"]) == {"camera", "robot"}
    assert found["groups"]["camera"]["estimate"] == pytest.approx(0.5)
    assert found["groups"]["robot"]["high"] > 0, "twenty equal episodes do not prove that there is no drop at all"


def test_what_a_policy_cannot_notice_costs_nothing_and_is_counted():
    plan = _plan(NOMINAL, LATE)
    unseen = {"host": HOST, "task": PLACE[1], "axis": "image_blur", "level": 2, "policy": "p"}
    log = [*_log(NOMINAL, range(20)), *_log(LATE, range(10))]
    (found, _) = means(log, replace(plan, unnoticed=(unseen,)))
    assert (found["axes"], found["unnoticed"]) == (2, 1)
    assert found["drop"]["estimate"] == pytest.approx(0.25)
    assert "camera" not in found["groups"]


def test_aggregates_know_that_episodes_of_one_task_belong_together():
    other = (HostTask("demomill", "push_cube-v1"), "push_cube-v1")
    cells = _plan(NOMINAL).cells
    cells += (Cell(*other, NOMINAL, ("p",), 0, {"task": other[1], "axis": "nominal", "level": 0}),)
    log = [*_log(NOMINAL, range(20)), *_log(NOMINAL, (), task=other[1], host="demomill:push_cube-v1")]
    found = overall(log, Plan(cells, tuple(range(20))))[0]
    assert found["nominal"]["estimate"] == 0.5
    independent = wilson(20, 40)
    assert found["nominal"]["high"] - found["nominal"]["low"] > 1.5 * (independent.high - independent.low)
    assert found["places"] == 2


def _walk(episode, name, *, when, up):
    """Let an object follow the TCP upwards, or be pushed aside, from step `when` on."""
    poses = episode.traces[f"object/{name}"]
    for t in range(when, len(poses)):
        poses[t, 2 if up else 1] += 0.01 * (t - when)
        if up:
            episode.traces["tcp"][t, :3] = poses[t, :3]


def _still(names):
    poses = {f"object/{n}": np.tile([0.5, 0.1 * k, 0.02, 1, 0, 0, 0], (31, 1)) for k, n in enumerate(names)}
    traces = {"tcp": np.tile([0.3, 0.3, 0.3, 1, 0, 0, 0], (31, 1)), **poses}
    empty = np.zeros((30, 7), dtype=np.float32)
    return Episode(None, 1, {}, "", np.zeros((31, 8)), empty, empty, np.zeros(30), {}, np.zeros(30, bool), traces)


def test_the_object_that_is_held_counts_before_one_that_is_moved():
    episode = _still(["target", "other1", "other2"])
    assert acted_on(episode) == ""
    _walk(episode, "other1", when=3, up=False)
    assert acted_on(episode) == "other1"
    _walk(episode, "other2", when=12, up=True)
    assert acted_on(episode) == "other2"


def _asked(axis, seed, *, hand, names, others=1):
    shown = {f"other{k}.present": float(k <= others) for k in (1, 2, 3)} | {"target.present": 1.0}
    return {"axis": axis, "seed": seed, "error": None, "target": "target", "acted_on": hand,
            "draw": {"sentence.names": names, **shown}}  # fmt: skip


def test_grounding_tells_a_policy_that_reads_from_one_that_does_not():
    seeds = range(12)
    right = [_asked("grounding_right", s, hand="target", names="target") for s in seeds]
    deaf = [_asked("grounding_swapped", s, hand="target", names="other1") for s in seeds]
    heard = [_asked("grounding_swapped", s, hand="other1", names="other1") for s in seeds]
    alone = [_asked("grounding_swapped", 99, hand="target", names="target", others=0)]
    for swapped, followed, effect in ((deaf, 0.0, 0.0), (heard, 1.0, 1.0)):
        found = grounding([*right, *swapped, *alone])
        assert found["chance"] == 0.5
        assert found["arms"][1]["n"] == 12, "a scene with one object asks nothing"
        assert found["arms"][1]["followed"]["estimate"] == followed
        assert found["effect"]["difference"]["estimate"] == effect
    assert found["effect"]["p"] == pytest.approx(2 / 2**12)
    assert grounding(right) is None


def test_the_expert_ignores_the_sentence_and_the_suite_says_so(finished):
    _, result = finished
    (found,) = result.results["suite"]["grounding"]
    arms = {arm["arm"]: arm for arm in found["arms"]}
    assert arms["grounding_right"]["followed"]["estimate"] == 1.0
    assert arms["grounding_swapped"]["followed"]["estimate"] == 0.0
    assert arms["grounding_swapped"]["target"]["estimate"] == 1.0
    assert "followed" not in arms["grounding_blank"]
    assert 0.25 <= found["chance"] <= 0.5


def test_blank_and_swapped_sentences_are_those_that_were_said(finished):
    config, _ = finished
    log = {(line["axis"], line["seed"]): line for line in read_log(config.out / EPISODES)}
    for (axis, seed), line in log.items():
        right = log["grounding_right", seed]
        if axis == "grounding_blank":
            assert line["instruction"] == ""
        if axis == "grounding_swapped":
            assert line["draw"]["sentence.names"].startswith("other")
            assert line["instruction"] != right["instruction"]
            assert {k: v for k, v in line["draw"].items() if not k.startswith("sentence")} == {
                k: v for k, v in right["draw"].items() if not k.startswith("sentence")
            }


def test_arms_that_a_policy_cannot_notice_are_not_run_but_named(suite, tmp_path):
    config = BenchConfig(tmp_path / "run", suite=suite, axes=("camera_pose",))
    plan = make_plan(config, {"random": RandomPolicy(0).spec})
    assert [cell.arm.name for cell in plan.cells] == ["nominal"]
    assert [each["axis"] for each in plan.unnoticed] == ["camera_pose"]


@pytest.mark.slow
def test_the_hosts_run_their_arms_beside_ours_and_reset_to_the_nominal_ones(tmp_path):
    """Two arms laid over a host and taken off again leave its nominal episodes as they are in a run without them."""
    pytest.importorskip("robosuite")
    pytest.importorskip("mani_skill")
    path = tmp_path / "hosts.toml"
    hosts = '["robosuite:Lift", "maniskill:PickCube-v1"]'
    path.write_text(SMALL.split("[[places]]")[0] + f'[[places]]\ntask = "lift_cube-v1"\nhosts = {hosts}\n')
    policies = {"expert": policy_factory("expert:lift_cube")}
    runs = []
    for name, axes in (("all", ()), ("late", ("action_latency",))):
        config = BenchConfig(tmp_path / name, suite=str(path), workers=2, filmstrips=1, axes=axes)
        bench(config, policies=policies, progress=False)
        runs.append({key(line): line for line in read_log(config.out / EPISODES)})
    whole, part = runs
    assert {place: whole[place] for place in part} == part
    for host in ("robosuite:Lift", "maniskill:PickCube-v1"):
        nominal = [line for line in part.values() if (line["host"], line["axis"]) == (host, "nominal")]
        late = [line for line in part.values() if (line["host"], line["axis"]) == (host, "action_latency")]
        assert all(line["lifted"] for line in nominal)
        assert [line["seed"] for line in late] == [line["seed"] for line in nominal]
        assert all(a["metrics"]["jerk_rms"] != b["metrics"]["jerk_rms"] for a, b in zip(nominal, late, strict=True))

"""Two runs compared: what forbids it, what is paired, what the tables and the page say."""

from __future__ import annotations

import functools
import io
import json
from dataclasses import replace

import pytest

from bench.compare import CompareConfig, compare
from bench.config import BenchConfig
from bench.episode_log import encode
from bench.metrics import Metrics
from bench.pages import ViewConfig, view
from bench.reproduce import BenchVerbConfig, bench_verb, compare_logs, reproduce
from bench.run import bench
from bench.summary import summarize
from policies.loading import policy_factory
from sim.baselines import RandomPolicy
from sim.conventions import CANONICAL, to_json
from sim.errors import UserError

HOSTS = ("robosuite:Lift", "maniskill:PickCube-v1")
HOSTILE = "<script>alert(1)</script>"


def _record(host, policy, seed, *, lifted, error=None):
    if error is not None:
        return {"host": host, "policy": policy, "seed": seed, "error": error}
    failed = None if lifted else {"mode": "missed grasp", "distance": 0.023, "object": None}
    metrics = dict.fromkeys(Metrics.__dataclass_fields__, 1.0 + 0.01 * (seed % 5) + (0.5 if lifted else 0.0))
    outcomes = dict.fromkeys(("success", "success_once", "lifted", "lifted_once"), lifted)
    return {
        "host": host, "policy": policy, "seed": seed, "instruction": f"lift {HOSTILE}", "length": 60, "error": None,
        "draw": {"cube.color": HOSTILE if seed % 2 else "red"}, "target": "cube", "failure": failed,
        "metrics": metrics, **outcomes,
    }  # fmt: skip


def _run(folder, wins, *, policy="vla", seeds=range(20), changes=None, errors=()):
    """Write the run of one policy that lifts in the episodes of `wins` (host, seed)."""
    folder.mkdir(parents=True)
    records = [
        _record(host, policy, s, lifted=(host, s) in wins, error="boom" if (host, s) in errors else None)
        for host in HOSTS
        for s in seeds
    ]
    config = BenchConfig(out=folder)
    settings = {"task": "lift_cube", "hosts": list(HOSTS), "episodes": len(seeds), "seed": 0}
    start = {
        "settings": settings | {name: getattr(config, name) for name in ("horizon", "stop_lifted", "image_size")},
        "task": {"id": "lift_cube-v1", "digest": "abc"},
        "hosts": list(HOSTS),
        "policies": {policy: {"name": policy, "digest": "d", "inputs": [], "chunk": 8, "execute": 4,
                              "convention": to_json(CANONICAL)}},
        "packages": {"mujoco": "3.9.0", "torch": "2.13.0"},
        "differences": {},
        "seeds": list(seeds),
        "git": {"revision": "a", "changed": False},
        "machine": {"processor": "cpu", "cores": 2, "system": "Linux", "python": "3.11"},
        "renderers": {"opengl": {"renderer": "llvmpipe", "backend": "egl"}, "vulkan": "none"},
        "began": "2026-01-01",
        "command": None,
        "provenance": {policy: {"kind": "vla", "note": HOSTILE, "sha256": "d"}},
    }  # fmt: skip
    (folder / "start.json").write_text(json.dumps(start | (changes or {})))
    (folder / "episodes.jsonl").write_bytes(b"".join(map(encode, records)))
    timings = [{"host": h, "policy": policy, "seed": s, "seconds_per_call": 0.1, "seconds": [0.1, 0.2]}
               for h in HOSTS for s in seeds]  # fmt: skip
    results = summarize(records, timings, hosts=list(HOSTS), policies=[policy])
    (folder / "results.json").write_text(json.dumps(results))
    return folder


STRONG = {(host, s) for host in HOSTS for s in range(18)}
WEAK = {(host, s) for host in HOSTS for s in range(4)} | {(HOSTS[0], 19)}


@pytest.fixture
def runs(tmp_path):
    return _run(tmp_path / "a", STRONG), _run(tmp_path / "b", WEAK)


def test_a_clear_winner_is_found_in_each_host_and_over_all(runs):
    (found,) = compare(CompareConfig(runs=runs, outcomes=("lifted",), sequential=True)).comparisons
    first, second, whole = found["rows"]
    assert (first["host"], first["only_first"], first["only_second"], first["n"]) == (HOSTS[0], 14, 1, 20)
    assert (second["only_first"], second["only_second"]) == (14, 0)
    assert first["difference"]["low"] > 0
    assert first["p"] < 0.01
    assert first["p_holm"] >= first["p"]
    assert whole["difference"]["estimate"] == pytest.approx(27 / 40)
    assert whole["p"] < 0.001
    assert whole["p_holm"] is None
    assert [look["verdict"] for look in found["sequential"]] == ["first is better"] * 3
    metric = next(row for row in found["metrics"] if (row["metric"], row["episodes"]) == ("sparc", "all"))
    assert metric["difference"]["n"] == 40
    assert metric["difference"]["low"] > 0
    assert json.loads(json.dumps(found)) == found


def test_a_run_against_itself_shows_nothing(runs, tmp_path):
    same = _run(tmp_path / "c", STRONG)
    (found,) = compare(CompareConfig(runs=(runs[0], same), sequential=True, margin=0.5)).comparisons
    assert all(row["p"] == 1.0 and row["difference"]["low"] < 0 < row["difference"]["high"] for row in found["rows"])
    assert found["sequential"][-1]["verdict"] == "no difference that matters"


def test_what_has_no_partner_is_counted_and_named(tmp_path):
    first = _run(tmp_path / "a", STRONG, seeds=range(22), errors={(HOSTS[0], 3)})
    second = _run(tmp_path / "b", WEAK, errors={(HOSTS[0], 3), (HOSTS[1], 5)})
    (found,) = compare(CompareConfig(runs=(first, second))).comparisons
    assert found["pairs"] == 38
    assert found["unpaired"] == {
        "broke off in the first and the second": [f"{HOSTS[0]} 3"],
        "only in the first run": [f"{host} {s}" for host in HOSTS for s in (20, 21)],
        "broke off in the second": [f"{HOSTS[1]} 5"],
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": {"id": "lift_cube-v2", "digest": "x"}}, "task: "),
        ({"packages": {"mujoco": "3.8.0"}}, "packages: mujoco 3.9.0 against 3.8.0"),
        ({"settings": {"horizon": 80, "seed": 0}}, "horizon: None against 80"),
        ({"suite": {"name": "full", "digest": "y"}}, "suite: None against"),
        (
            {"policies": {"vla": {"convention": to_json(replace(CANONICAL, success="once"))}}},
            "convention: vla, vla: success 'end' against 'once'",
        ),
    ],
)
def test_runs_that_judged_differently_are_refused_saying_what_differs(tmp_path, changes, told):
    runs = (_run(tmp_path / "a", STRONG), _run(tmp_path / "b", WEAK, changes=changes))
    with pytest.raises(UserError, match=told) as caught:
        compare(CompareConfig(runs=runs))
    name = told.split(":")[0]
    assert f"--allow {name}" in str(caught.value)
    (found,) = compare(CompareConfig(runs=runs, allow=(name,))).comparisons
    assert any(name in remark for remark in found["remarks"])


def test_what_adapters_make_equal_and_what_cannot_matter_is_only_told(tmp_path):
    metric = {"vla": {"convention": to_json(replace(CANONICAL, position_unit=0.05, gripper_closed=-1.0))}}
    changes = {"policies": metric, "git": {"revision": "b"}, "packages": {"mujoco": "3.9.0", "torch": "3"}}
    runs = (_run(tmp_path / "a", STRONG), _run(tmp_path / "b", WEAK, changes=changes))
    (found,) = compare(CompareConfig(runs=runs)).comparisons
    assert found["remarks"] == ["code: revision a against b", "package torch: 2.13.0 against 3"]


def test_policies_are_chosen_by_name_or_because_they_are_alone(tmp_path, runs):
    other = _run(tmp_path / "c", WEAK, policy="other")
    assert compare(CompareConfig(runs=(runs[0], other))).comparisons[0]["second"]["policy"] == "other"
    with pytest.raises(UserError, match="Did you mean 'vla'"):
        compare(CompareConfig(runs=runs, policy_a="vl"))
    with pytest.raises(UserError, match="name two of its policies"):
        compare(CompareConfig(runs=(runs[0],)))


def test_other_seeds_an_unfinished_run_and_wrong_words_are_refused(tmp_path, runs):
    with pytest.raises(UserError, match="no episode in common"):
        compare(CompareConfig(runs=(runs[0], _run(tmp_path / "c", WEAK, seeds=range(50, 60)))))
    with pytest.raises(UserError, match="Did you mean 'lifted'"):
        compare(CompareConfig(runs=runs, outcomes=("lift",)))
    with pytest.raises(UserError, match="Two runs"):
        compare(CompareConfig(runs=(*runs, runs[0])))
    with pytest.raises(UserError, match="above 0 and below 1"):
        compare(CompareConfig(runs=runs, alpha=1.0))
    (runs[1] / "results.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        compare(CompareConfig(runs=runs))


def test_the_terminal_table_fits_eighty_columns(runs):
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    console.print(compare(CompareConfig(runs=runs, sequential=True)))
    text = console.export_text()
    assert "…" not in text
    assert "stop: A is better" in text
    assert "14 : 1" in text


def test_the_page_of_two_runs_shows_who_won_and_escapes_everything(runs, tmp_path):
    page = view(ViewConfig(runs=runs, out=tmp_path / "page.html")).page.read_text()
    assert "Who won which episodes" in page
    assert page.count('class="first" title="seed') == 2 * 28
    assert "missed grasp" in page
    assert "by colour" in page
    assert "inference p95" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_compare_writes_the_same_page_and_says_where(runs, tmp_path):
    result = compare(CompareConfig(runs=runs, sequential=True, html=tmp_path / "diff.html"))
    page = result.page.read_text()
    assert "stop: A is better" in page
    assert "a verdict falls at" in page


def test_two_runs_that_cannot_be_compared_are_shown_with_the_reason(tmp_path):
    changes = {"task": {"id": HOSTILE, "digest": "x"}}
    runs = (_run(tmp_path / "a", STRONG), _run(tmp_path / "b", WEAK, changes=changes))
    page = view(ViewConfig(runs=runs, out=tmp_path / "page.html")).page.read_text()
    assert "These runs are not compared" in page
    assert "<script" not in page


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a real run of the random policy in our own engine."""
    out = tmp_path_factory.mktemp("reproduce") / "run"
    config = BenchConfig(out=out, hosts=("demomill",), episodes=2, workers=1, filmstrips=0)
    bench(config, policies={"random": policy_factory("random", seed=3)}, progress=False)
    return out


def test_a_run_is_repeated_from_its_record_to_the_last_byte(finished):
    result = bench_verb(BenchVerbConfig(reproduce=finished, workers=1), policies={})
    assert (result.ok, result.identical, result.episodes) == (True, 2, 2)
    assert result.again == finished.with_name("run-again")
    assert (result.again / "episodes.jsonl").read_bytes() == (finished / "episodes.jsonl").read_bytes()


def test_a_repetition_says_which_lines_and_what_around_them_differ(finished, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    lines = [json.loads(line) for line in (finished / "episodes.jsonl").read_text().splitlines()]
    lines[0]["metrics"]["sparc"] -= 1
    lines[1]["seed"] += 1
    (again / "episodes.jsonl").write_bytes(b"".join(map(encode, lines)))
    start = json.loads((finished / "start.json").read_text())
    start["packages"]["mujoco"] = "0.0"
    (again / "start.json").write_text(json.dumps(start))
    found = compare_logs(finished, again)
    assert not found.ok
    assert [each["fields"] for each in found.differing] == [
        ["metrics.sparc"], ["missing in the repetition"], ["missing in the first run"],
    ]  # fmt: skip
    assert found.surroundings[0].startswith("packages mujoco: 3.")


def test_wrong_repetitions_are_refused(finished, tmp_path):
    with pytest.raises(UserError, match="folder of its own"):
        reproduce(finished, finished)
    named = {"random": functools.partial(RandomPolicy, 0)}
    with pytest.raises(UserError, match="takes its policies"):
        bench_verb(BenchVerbConfig(reproduce=finished), policies=named)
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in finished.iterdir():
        if path.is_file():
            (changed / path.name).write_bytes(path.read_bytes())
    start = json.loads((changed / "start.json").read_text())
    start["policies"]["random"]["digest"] = "other"
    (changed / "start.json").write_text(json.dumps(start))
    with pytest.raises(UserError, match="not the one of the run"):
        reproduce(changed, tmp_path / "x", progress=False)

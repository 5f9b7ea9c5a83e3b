"""A study: its grid, the stages that cells share, resuming after a failure, and the numbers of its report."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from bench import ablate as module
from bench.ablate import StudyPlan, ablate
from bench.agreement import agreement, mmrv, pearson
from bench.episode_log import encode
from bench.overnight import BenchStage, SyntheticStage, VlaStage
from bench.study import SHARE, KnobConfig, StudyConfig, all_stages, cells
from bench.study_report import Outcome, report
from bench.study_time import estimate
from sim.errors import UserError
from sim.jobs import from_mapping
from tasks.catalogue import load_task

HOSTS = ("robosuite:Lift", "maniskill:PickCube-v1")


def _config(out="study", **changes):
    knobs = (KnobConfig(SHARE, (0.0, 0.5, 1.0), "share"), KnobConfig("vla.synthetic_episodes", (100, 800), "amount"))
    return StudyConfig(**({"task": "lift_cube", "out": out, "knobs": knobs, "seeds": (0, 1)} | changes))


def test_equal_stages_of_different_cells_are_one_stage():
    grid = cells(_config(), expert="e")
    assert len(grid) == 12
    kinds = [stage.kind for stage in all_stages(grid)]
    assert (kinds.count("synthetic"), kinds.count("stand_in"), kinds.count("reference")) == (1, 1, 1)
    assert kinds.count("vla") == kinds.count("benchmark") == 2 * (1 + 2 + 2)
    alone = [cell for cell in grid if cell.values["share"] == 0.0 and cell.seed == 0]
    assert alone[0].stages["vla"] == alone[1].stages["vla"]
    assert "synthetic" not in alone[0].stages
    placed = [stage.name for stage in all_stages(grid)]
    for stage in all_stages(grid):
        assert all(placed.index(f"{kind}-{key}") < placed.index(stage.name) for kind, key in stage.needs.items())


def test_what_decides_a_result_decides_its_stage_and_workers_do_not():
    def keys(config, expert="e"):
        return {kind: stage.key for kind, stage in cells(config, expert=expert)[2].stages.items()}

    base = keys(_config())
    workers = _config(bench=replace(_config().bench, workers=7), synthetic=replace(_config().synthetic, workers=3))
    assert keys(workers) == base
    longer = keys(_config(vla=replace(_config().vla, steps=9)))
    assert longer["synthetic"] == base["synthetic"]
    assert longer["vla"] != base["vla"]
    assert longer["benchmark"] != base["benchmark"]
    chunk = keys(_config(vla=replace(_config().vla, execute=1)))
    assert chunk["vla"] == base["vla"]
    assert chunk["benchmark"] != base["benchmark"]
    assert all(keys(_config(), expert="other")[kind] != base[kind] for kind in base)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"knobs": ()}, "at least one"),
        ({"seeds": ()}, "at least one training seed"),
        ({"knobs": (KnobConfig("vla.step", (1,)),)}, "Did you mean 'vla.steps'"),
        ({"knobs": (KnobConfig("vla.seed", (1,)),)}, "seeds = "),
        ({"knobs": (KnobConfig("vla.steps", ("many",)),)}, "wrong type"),
        ({"knobs": (KnobConfig("vla.steps", (1, 1)),)}, "each once"),
        ({"knobs": (KnobConfig(SHARE, (2.0,)),)}, "from 0 to 1"),
        ({"outcome": "lift"}, "Did you mean 'lifted'"),
    ],
)
def test_wrong_studies_are_refused_before_anything_runs(tmp_path, changes, told):
    with pytest.raises(UserError, match=told):
        ablate(_config(tmp_path / "study", **changes))
    assert not (tmp_path / "study").exists()


def test_a_study_file_becomes_a_study():
    data = {"task": "lift_cube", "knobs": [{"setting": "synthetic.preset", "values": ["train", "physical"]}]}
    config = from_mapping(data, StudyConfig, where="study")
    assert config.knobs == (KnobConfig("synthetic.preset", ("train", "physical")),)
    grid = cells(config, expert="e")
    assert [cell.stages["synthetic"].config.synthetic.preset for cell in grid] == ["train", "physical"]


def test_a_part_of_the_randomization_can_be_left_out():
    task = load_task("lift_cube")
    whole, less = task.draw(5), task.draw(5, preset="train[-light, -cube.color]")
    assert {"light.diffuse", "cube.color"} <= set(whole) - set(less)
    assert not any(path.startswith("light.") for path in less)
    assert less["camera.offset"] == whole["camera.offset"]
    with pytest.raises(UserError, match="Did you mean 'light'"):
        task.draw(5, preset="train[-lihgt]")


@pytest.fixture
def stages(monkeypatch):
    """Replace every stage by one that notes its name; kinds in `broken` fail; success grows with the share."""
    done: list[str] = []
    broken: set[str] = set()

    def run(stage, folder, results, expert):
        if stage.kind in broken:
            raise UserError(f"{stage.kind} broke")
        assert set(results) == set(stage.needs)
        done.append(stage.name)
        if stage.kind in ("benchmark", "reference"):
            folder.mkdir(parents=True)
            weight = stage.config.vla.synthetic_weight
            rates = {
                "robosuite:Lift": 0.2 + 0.6 * min(weight, 1.0),
                "maniskill:PickCube-v1": 0.1 + 0.6 * min(weight, 1.0),
            }
            lines = [
                {"host": host, "policy": "vla", "seed": k, "error": None, "lifted": (k * 7 % 20) / 20 < rate}
                for host, rate in rates.items()
                for k in range(20)
            ]
            (folder / "episodes.jsonl").write_bytes(b"".join(map(encode, lines)))
            (folder / "results.json").write_text(json.dumps({"cells": []}))
        return {"folder": str(folder), "path": str(folder), "seconds": 10.0}

    monkeypatch.setattr(module, "run_stage", run)
    return done, broken


def test_a_failed_stage_costs_what_needs_it_and_the_same_command_mends_it(tmp_path, stages):
    done, broken = stages
    config = _config(tmp_path / "study", seeds=(0,))
    broken.add("stand_in")
    with pytest.raises(UserError, match="stand_in broke") as caught:
        ablate(config)
    assert "2 of 6 cells are finished" in str(caught.value)
    assert (tmp_path / "study" / "report.html").is_file()
    broken.clear()
    before = list(done)
    result = ablate(config)
    assert len(done) == len(set(done)) == len(all_stages(cells(config, expert="e")))
    assert done[: len(before)] == before
    assert len(result.results["cells"]) == 6
    again = len(done)
    ablate(config)
    assert len(done) == again
    wider = replace(config, seeds=(0, 1))
    plan = ablate(replace(wider, dry_run=True))
    assert isinstance(plan, StudyPlan)
    todo = [row for row in plan.stages if not row["finished"]]
    assert plan.seconds == sum(row["seconds"] for row in todo)
    ablate(wider)
    assert len(done) == again + len(todo)


def test_the_report_says_what_paid_and_escapes_what_it_is_told(tmp_path, stages):
    from rich.console import Console

    knobs = (KnobConfig(SHARE, (0.0, 0.5, 1.0), "<b>share"),)
    result = ablate(_config(tmp_path / "study", knobs=knobs, seeds=(0, 1, 2, 3, 4)))
    effects = [row for row in result.results["effects"] if row["host"] == "all"]
    assert [(row["to"], row["verdict"]) for row in effects] == [(0.5, "paid"), (1.0, "paid")]
    assert effects[1]["difference"]["estimate"] == pytest.approx(0.6, abs=0.06)
    page = result.page.read_text()
    assert "<b>share" not in page
    assert "&lt;b&gt;share" in page
    assert 'class="band b0"' in page
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(result)
    text = console.export_text()
    assert "paid" in text
    assert "Pearson r" in text


def test_one_training_seed_is_said_to_be_one(tmp_path, stages):
    result = ablate(_config(tmp_path / "study", seeds=(4,)))
    assert "One training seed" in result.page.read_text()


def test_a_folder_with_something_else_is_left_alone(tmp_path, stages):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(UserError, match="holds no study"):
        ablate(_config(tmp_path))


def test_effects_are_paired_over_everything_else():
    knob = KnobConfig("vla.steps", (1, 2), "steps")
    config = _config(knobs=(knob,))
    grid = cells(config, expert="e")
    found = [Outcome(c, HOSTS[0], k, (k + c.seed) % 3 == 0 or c.values["steps"] == 2) for c in grid for k in range(12)]
    found = [each for each in found if not (each.seed == 5 and each.cell.values["steps"] == 1)]
    (row,) = report(config, found)["effects"]
    assert row["difference"]["n"] == 22
    assert row["difference"]["estimate"] == pytest.approx(
        np.mean([(k + s) % 3 != 0 for s in (0, 1) for k in range(12) if k != 5])
    )
    with pytest.raises(UserError, match="no judged episode"):
        report(config, [])


def test_rank_violations_by_hand():
    """Three policies; the second host swaps the last two, which are 0.2 apart in the first."""
    real, sim = np.array([0.1, 0.5, 0.7]), np.array([0.2, 0.9, 0.6])
    assert float(mmrv(real, sim)) == pytest.approx((0.0 + 0.2 + 0.2) / 3)
    assert float(mmrv(real, real)) == 0.0
    assert float(pearson(real, sim)) == pytest.approx(np.corrcoef(real, sim)[0, 1])
    assert np.isnan(pearson(real, np.ones(3)))


def test_agreement_has_intervals_and_says_when_it_has_none():
    rng = np.random.Generator(np.random.Philox(2))
    rates = np.linspace(0.1, 0.9, 6)
    first, second = ((rng.random((6, 200)) < rates[:, None]).astype(float) for _ in range(2))
    found = agreement("a", "b", (first, second))
    assert found.pearson.low < found.pearson.estimate < found.pearson.high <= 1
    assert found.mmrv.low <= found.mmrv.estimate <= found.mmrv.high
    assert found == agreement("a", "b", (first, second))
    assert agreement("a", "b", (first[:2], second[:2])).pearson is None
    flat = agreement("a", "b", (np.ones((4, 10)), second[:4]))
    assert flat.pearson is None
    assert "not defined" in flat.remark


def test_time_is_estimated_from_stages_of_the_same_kind():
    grid = cells(_config(vla=replace(_config().vla, preset="debug", steps=40)), expert="e")
    stage = next(stage for stage in all_stages(grid) if stage.kind == "vla")
    assert estimate(stage, []) is None
    assert estimate(stage, [(stage, 20.0)]) == 20.0
    data = next(stage for stage in all_stages(grid) if stage.kind == "synthetic")
    assert estimate(data, []) == pytest.approx(85.0)


@pytest.mark.slow
def test_a_small_study_of_real_stages_resumes_after_a_stage_that_was_planned_to_fail(tmp_path, monkeypatch):
    knob = KnobConfig("vla.synthetic_episodes", (2, 4), "episodes")
    config = StudyConfig(
        task="lift_cube",
        out=tmp_path / "study",
        knobs=(knob,),
        synthetic=SyntheticStage(episodes=4, val_episodes=1, shard_episodes=4, workers=1),
        vla=VlaStage(synthetic_weight=1.0, stand_in_weight=0.0, preset="debug", steps=2),
        bench=BenchStage(hosts=("demomill",), episodes=2, workers=1, filmstrips=0),
    )
    real = module.run_stage

    def planned(stage, folder, results, expert):
        if stage.kind == "vla" and stage.config.vla.synthetic_episodes == 2:
            raise UserError("planned to fail")
        return real(stage, folder, results, expert)

    monkeypatch.setattr(module, "run_stage", planned)
    with pytest.raises(UserError, match="1 of 2 cells are finished") as caught:
        ablate(config)
    assert "planned to fail" in str(caught.value)
    monkeypatch.setattr(module, "run_stage", real)
    before = json.loads((config.out / "study.json").read_text())["stages"]
    result = ablate(config)
    after = json.loads((config.out / "study.json").read_text())["stages"]
    assert {name: after[name] for name in before} == before
    assert sum(name.startswith("synthetic-") for name in after) == 1
    assert sum(name.startswith("vla-") for name in after) == 2
    assert [cell["values"] for cell in result.results["cells"]] == [{"episodes": 2}, {"episodes": 4}]
    assert {row["policy"] for row in result.results["reference"]} == {"expert", "random"}
    assert result.page.is_file()

"""The overnight job: stages in order, resumed where it stopped, one folder for one job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import overnight as module
from bench.learning_stages import dagger_config
from bench.night import Night
from bench.overnight import OvernightConfig, overnight, planned
from bench.stages import STAGES, synthetic_config
from bench.study import StudyConfig
from datagen.job import GenerateConfig
from policies.pretrained.settings import FinetuneConfig
from policies.vla.settings import TrainVlaConfig
from sim.errors import UserError
from sim.files import read_json
from sim.jobs import load_toml
from tasks.catalogue import load_task

PLAIN = ("expert", "synthetic", "stand_in", "vla", "benchmark", "page")


@pytest.fixture
def calls(monkeypatch):
    """Replace every stage by one that notes its name; the one named in `broken` fails."""
    done: list[str] = []
    broken: set[str] = set()

    def stage(name):
        def run(night):
            if name in broken:
                raise UserError(f"{name} broke")
            names = planned(night.config)
            assert list(night.results) == list(names[: names.index(name)])
            done.append(name)
            return {"page": "report.html", "folder": str(night.out)}

        return run

    monkeypatch.setattr(module, "STAGES", {name: stage(name) for name in STAGES})
    monkeypatch.setattr(module, "isolated", lambda work, *arguments, name: work(*arguments))
    return done, broken


def test_an_interrupted_job_continues_at_the_unfinished_stage(tmp_path, calls):
    done, broken = calls
    config = OvernightConfig(task="lift_cube", out=tmp_path / "job")
    broken.add("vla")
    with pytest.raises(UserError, match="vla broke"):
        overnight(config)
    assert done == ["expert", "synthetic", "stand_in"]
    broken.clear()
    result = overnight(config)
    assert done == list(PLAIN)
    assert result.page == "report.html"
    assert set(read_json(tmp_path / "job" / "overnight.json")["stages"]) == set(PLAIN)


def test_a_job_without_stand_in_data_makes_none_and_one_with_dagger_judges_what_it_made(tmp_path, calls):
    done, _ = calls
    config = OvernightConfig(task="lift_cube", out=tmp_path / "job")
    config = replace(config, vla=replace(config.vla, stand_in_weight=0.0), dagger=replace(config.dagger, rounds=2))
    overnight(config)
    assert done == ["expert", "synthetic", "vla", "dagger", "benchmark", "page"]
    finished = {"vla": {"folder": "vla"}, "dagger": {"folder": "dagger/round-2"}}
    night = Night(config=config, task=load_task("lift_cube"), out=tmp_path, results=finished)
    assert night.trained() == "dagger/round-2"
    assert Night(config=config, task=night.task, out=tmp_path, results={"vla": finished["vla"]}).trained() == "vla"


def test_a_finished_job_runs_nothing_again(tmp_path, calls):
    done, _ = calls
    config = OvernightConfig(task="lift_cube", out=tmp_path / "job")
    overnight(config)
    overnight(config)
    assert done == list(PLAIN)


def test_a_folder_holds_one_job_and_workers_are_not_part_of_it(tmp_path, calls):
    config = OvernightConfig(task="lift_cube", out=tmp_path / "job")
    overnight(config)
    overnight(replace(config, bench=replace(config.bench, workers=1), synthetic=replace(config.synthetic, workers=4)))
    with pytest.raises(UserError, match="vla differ"):
        overnight(replace(config, vla=replace(config.vla, steps=7)))


def test_a_wrong_task_is_refused_before_anything_is_written(tmp_path, calls):
    with pytest.raises(UserError, match=r"Did you mean 'lift_cube-v"):
        overnight(OvernightConfig(task="lift_cub", out=tmp_path / "job"))
    assert not (tmp_path / "job").exists()


JOBS = {
    "ablation.toml": StudyConfig,
    "catalogue.toml": GenerateConfig,
    "demonstrations.toml": GenerateConfig,
    "finetune.toml": FinetuneConfig,
    "lift.toml": OvernightConfig,
    "quickstart.toml": OvernightConfig,
    "vla.toml": TrainVlaConfig,
    "vla_catalogue.toml": TrainVlaConfig,
}


def test_every_shipped_job_can_be_read():
    paths = sorted(Path("configs").glob("*.toml"))
    assert {path.name for path in paths} == set(JOBS)
    for path in paths:
        assert load_toml(path, JOBS[path.name])


def test_an_unknown_key_names_the_nearest_one(tmp_path):
    job = tmp_path / "job.toml"
    job.write_text('task = "lift_cube"\n[bench]\nepisode = 3\n')
    with pytest.raises(UserError, match=r"unknown key 'episode'. Did you mean 'episodes'"):
        load_toml(job, OvernightConfig)


def test_a_vla_that_reads_a_camera_which_nothing_shows_is_refused_before_anything_is_made(tmp_path, calls):
    config = OvernightConfig(task="lift_cube", out=tmp_path / "job", reuse_expert=True)
    blind = replace(config, vla=replace(config.vla, wrist_size=64))
    with pytest.raises(UserError, match=r"\[vla\] wrist_size = 64 .*cameras = "):
        overnight(blind)
    assert not (tmp_path / "job").exists()
    both = ("image", "wrist_image")
    overnight(replace(blind, synthetic=replace(config.synthetic, cameras=both, floor=0.015)))
    assert set(read_json(tmp_path / "job" / "overnight.json")["stages"]) == set(PLAIN)


def test_a_guarded_expert_demonstrates_and_labels(tmp_path):
    config = OvernightConfig(task="lift_cube", out=tmp_path)
    config = replace(config, dagger=replace(config.dagger, rounds=1))
    made = {"expert": {"folder": "runs/x/expert"}, "vla": {"folder": "vla"}, "synthetic": {"path": "data"}}
    night = Night(config=config, task=load_task("lift_cube"), out=tmp_path, results=made | {"stand_in": {"path": "x"}})
    assert night.expert() == dagger_config(night).expert == "runs/x/expert"
    night.config = replace(config, synthetic=replace(config.synthetic, floor=0.015))
    assert night.expert() == dagger_config(night).expert == "runs/x/expert?floor=0.015"
    synthetic_config(night)
    with pytest.raises(UserError, match=r"\[synthetic\] floor = 0.9 is not allowed"):
        overnight(replace(config, out=tmp_path / "job", synthetic=replace(config.synthetic, floor=0.9)))

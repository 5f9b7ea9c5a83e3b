"""Quotas, near-duplicates and the failures' split, and when a task is given up."""

import json
from collections import Counter

import numpy as np
import pytest

from datagen.cells import Axis
from datagen.filters import DUPLICATE, FilterConfig
from datagen.quotas import SURPLUS, QuotaConfig, Selection, shares
from datagen.rlds_reader import open_dataset
from datagen.starts import Starts
from sim.errors import UserError
from sim.files import read_json
from tests.datagen_doubles import TASK, digests
from tests.test_datagen_generate import config, run

TEMPLATES = (QuotaConfig("template"),)


def drawn(result, split="train"):
    return [json.loads(e.metadata["draw"]) for e in open_dataset(result.path).episodes(split)]


def test_shares_add_up_and_differ_by_one():
    assert shares(22, 5) == [5, 5, 4, 4, 4]
    assert shares(3, 5) == [1, 1, 1, 0, 0]


def test_every_template_gets_its_share_and_candidates_are_topped_up(tmp_path):
    plain = run(config(tmp_path / "plain", episodes=20))
    made = run(config(tmp_path / "quota", episodes=20, quotas=TEMPLATES))
    found = Counter(e.metadata["template"] for e in open_dataset(made.path).episodes("train"))
    assert found == Counter({name: 4 for name in TASK.templates if not name.startswith("held_out")})
    assert made.filters["train"]["candidates"] > plain.filters["train"]["candidates"]
    report = read_json(made.path / "report.json")["train"]
    assert [cell["written"] for cell in report["quotas"][0]["cells"]] == [4] * 5
    assert report["surplus"] > 0
    seeds = [e.metadata["seed"] for e in open_dataset(made.path).episodes("train")]
    assert seeds == sorted(seeds)


def test_cells_of_two_knobs_are_balanced_at_once_whatever_the_workers(tmp_path):
    quotas = (QuotaConfig("cube.position[0]", bins=2), QuotaConfig("cube.mass", bins=3))
    made = run(config(tmp_path / "a", episodes=12, val_episodes=0, quotas=quotas))
    draws = drawn(made)
    assert sum(d["cube.position"][0] < 0.58 for d in draws) == 6
    masses = np.searchsorted(np.quantile([0.032, 0.2], [1 / 3, 2 / 3]), [d["cube.mass"] for d in draws])
    assert Counter(masses.tolist()) == {0: 4, 1: 4, 2: 4}
    run(config(tmp_path / "b", episodes=12, val_episodes=0, quotas=quotas, workers=2))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ((QuotaConfig("cube.colour"),), "Did you mean 'cube.color'"),
        ((QuotaConfig("light.ambient"),), "Unknown quota"),
        ((QuotaConfig("template"), QuotaConfig("template")), "same thing"),
    ],
)
def test_quotas_that_cannot_be_are_refused_before_anything_starts(tmp_path, quotas, message):
    with pytest.raises(UserError, match=message):
        run(config(tmp_path, quotas=quotas))
    assert not list(tmp_path.iterdir())


def test_a_selection_says_what_is_short():
    axis = Axis("quota m", "m", cuts=(1.0,))
    selection = Selection(4, axes=(axis,))
    verdicts = [selection.offer([k, 0, 0], {"m": m}).reason for k, m in enumerate((0.5, 0.5, 0.5, 1.5))]
    assert verdicts == ["", "", SURPLUS, ""]
    assert [str(s) for s in selection.shortages()] == ["m = from 1: 1 of 2"]
    assert not selection.full


def test_start_distance_is_that_of_the_nearest_earlier_start():
    stream = np.random.default_rng(0)
    rows = np.round(np.concatenate([stream.uniform(0, 0.08, (300, 2)), stream.uniform(0, 0.01, (300, 4))], axis=1), 6)
    starts = Starts()
    for k, row in enumerate(rows):
        found = starts.distance(row)
        points = (rows[:k] - row).reshape(k, 2, 3)
        brute = np.sqrt((points**2).sum(-1)).max(-1).min(initial=np.inf)
        assert found == (pytest.approx(brute, abs=1e-6) if brute <= 0.02 else None)
        starts.add(row)


def test_near_duplicate_starts_are_rejected_counted_and_measured(tmp_path):
    near = FilterConfig(min_start_distance=0.001)
    # In the toy world every episode of a split begins at the same place.
    with pytest.raises(UserError, match=r"Hardly any|fits what is still wanted"):
        run(config(tmp_path, filters=near, unit_episodes=2048, episodes=3, val_episodes=0))
    made = run(config(tmp_path / "one", filters=near, episodes=1, val_episodes=0))
    (only,) = open_dataset(made.path).episodes("train")
    assert json.loads(only.metadata["measurements"])["start_distance"] is None
    made = run(config(tmp_path / "all"))
    measured = [json.loads(e.metadata["measurements"]) for e in open_dataset(made.path).episodes("train")]
    assert [m["start_distance"] for m in measured] == [None] + [0.0] * 20
    assert DUPLICATE not in made.filters["train"]["rejected"]


def test_failures_go_into_a_split_of_their_own(tmp_path):
    plain = run(config(tmp_path / "plain"))
    made = run(config(tmp_path / "failures", failures=5))
    dataset = open_dataset(made.path)
    failed = list(dataset.episodes("failures"))
    assert made.episodes == {"train": 21, "val": 3, "failures": 5}
    assert dataset.splits["failures"] == (4, 1)
    assert not any(e.metadata["success"] for e in failed)
    assert not {e.metadata["seed"] for e in failed} & {e.metadata["seed"] for e in dataset.episodes("train")}
    shards = [name for name in digests(plain.path) if "tfrecord" in name]
    assert len(shards) == 7
    assert all(digests(made.path)[name] == digests(plain.path)[name] for name in shards)
    run(config(tmp_path / "workers", failures=5, workers=2))
    assert digests(tmp_path / "workers") == digests(tmp_path / "failures")


def test_the_report_accounts_for_every_candidate(tmp_path):
    made = run(config(tmp_path), errors=0.05)
    report = read_json(made.path / "report.json")["train"]
    for entry in report["knobs"]:
        cells = entry["cells"]
        assert sum(c["drawn"] for c in cells) == report["candidates"], entry["knob"]
        assert sum(c["kept"] for c in cells) == report["kept"]
        assert sum(c["written"] for c in cells) == report["written"] == 21
        rejected = sum((Counter(c["rejected"]) for c in cells), Counter())
        assert rejected == report["rejected"]
    shown = {picture["reason"] for picture in report["pictures"]}
    assert shown == set(report["rejected"])
    for picture in report["pictures"]:
        assert (made.path / picture["file"]).stat().st_size > 500


def test_a_cell_that_fails_stops_the_task_with_its_name(tmp_path):
    def broken(env):
        step = env.step

        def failing(actions):
            made = step(actions)
            heavy = np.array([TASK.draw(int(s))["cube.mass"] > 0.158 for s in env._seeds])
            made.success[heavy] = False
            return made

        env.step = failing
        return env

    from datagen.generate import generate
    from datagen.progress import silent
    from tests.datagen_doubles import RENDERER, ToyEnv, ToyPolicy

    job = config(tmp_path, episodes=400, val_episodes=0, unit_episodes=128, quotas=(QuotaConfig("cube.mass"),))
    with pytest.raises(UserError, match=r"cube.mass = from 0.158: 0 of 100.*Where they fail: cube.mass: .*leans"):
        generate(job, policy=ToyPolicy(), progress=silent, worlds=lambda: broken(ToyEnv(128)), renderer=RENDERER)


def test_several_tasks_get_a_dataset_each_and_one_that_collapses_stops_alone(tmp_path):
    from datagen.diagnosis import AcceptanceCollapsed
    from datagen.job import GenerateConfig, TaskShare
    from datagen.several import SeveralResult, generate_job

    shares = (TaskShare("lift_cube", policy="a"), TaskShare("push_cube", policy="b", episodes=5))
    job = GenerateConfig(tasks=shares, out=tmp_path, episodes=7)
    ran = []

    def one(config, *, policy, progress):
        ran.append((config.task, policy, config.episodes))
        if policy == "A":
            raise AcceptanceCollapsed("hardly any")
        return run(GenerateConfig(**{**config_of(tmp_path), "episodes": config.episodes}))

    made = generate_job(job, load_policy=str.upper, run=one)
    assert isinstance(made, SeveralResult)
    assert ran == [("lift_cube", "A", 7), ("push_cube", "B", 5)]
    assert made.stopped == {"lift_cube": "hardly any"}
    assert not made.ok
    assert made.datasets[0].episodes == {"train": 5, "val": 3}
    assert "lift_cube was stopped. hardly any" in made.__rich__()
    for wrong in ({"task": "lift_cube", "tasks": shares}, {}, {"tasks": shares, "name": "x"}):
        with pytest.raises(UserError, match="names one task"):
            GenerateConfig(**wrong)
    with pytest.raises(UserError, match="Did you mean"):
        generate_job(GenerateConfig(tasks=(TaskShare("lift_cub"),)), load_policy=str, run=one)


def config_of(out):
    from dataclasses import fields

    made = config(out)
    return {field.name: getattr(made, field.name) for field in fields(made)}

"""Every number of every verb has its range, and what lies outside is refused by name before anything starts."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import demomill
from bench.ahead import check_ahead
from bench.overnight import OvernightConfig
from bench.study import StudyConfig
from sim.errors import UserError
from sim.jobs import from_mapping
from sim.ranges import ABOVE_0, EPISODES, SHARE, Numbers, require

DATA = {"sources": [{"path": "d"}]}
LEAST: dict[str, dict[str, Any]] = {
    "ablate": {"task": "lift_cube", "knobs": [{"setting": "synthetic.episodes", "values": [1, 2]}]},
    "bench": {},
    "check-engine": {"engine": "mujoco"},
    "check-policy": {"policy": "random"},
    "compare": {"runs": ["a", "b"]},
    "dagger": {"data": DATA, "out": "o", "task": "lift_cube", "policy": "p"},
    "doctor": {},
    "evaluate-expert": {"task": "lift_cube"},
    "finetune": {"data": DATA, "out": "o", "base": "b", "steps": 3},
    "generate": {"task": "lift_cube", "quotas": [{"by": "template"}]},
    "import": {"recording": "r", "instruction": "i", "out": "o", "name": "n"},
    "inspect": {"dataset": "d"},
    "mix": {**DATA},
    "overnight": {"task": "lift_cube"},
    "serve": {"policy": "random"},
    "train-expert": {"task": "lift_cube"},
    "train-vla": {"data": DATA, "out": "o", "steps": 3},
    "transfer": {"experts": ["lift_cube"]},
    "verify": {"dataset": "d"},
    "view": {"runs": ["a"]},
}
"""Verb -> the least that its options must say."""

FREE = ("seed", "seeds", "min_table_clearance", "min_self_clearance", "values", "workspace", "tasks")
"""Fields that may be below 0, that are checked together with something else, or that are no numbers."""


def options() -> dict[str, type[Any]]:
    """Return verb -> the dataclass of its options."""
    found = {}
    for verb in demomill.VERBS:
        module, name = verb.target.split(":")
        hints = typing.get_type_hints(getattr(importlib.import_module(module), name))
        if "config" in hints:
            found[verb.name] = hints["config"]
    return found


KINDS = options()


def numbers(kind: type[Any], place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], type[Any]]]:
    """Yield the place and the type of every number in a dataclass and in those below it."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, here = hints[field.name], (*place, field.name)
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            hint = next(each for each in typing.get_args(hint) if each is not type(None))
        inner = typing.get_args(hint)
        if field.name in FREE:
            continue
        if dataclasses.is_dataclass(hint):
            yield from numbers(hint, here)
        elif typing.get_origin(hint) is tuple and dataclasses.is_dataclass(inner[0]):
            yield from numbers(inner[0], (*here, 0))
        elif hint in (int, float):
            yield here, hint


def changed(job: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Return the nested tables and lists of `job` with another value at `place`."""
    if not place:
        return value
    first, *rest = place
    if isinstance(first, int):
        return [changed(job[0], tuple(rest), value), *job[1:]]
    return {**(job or {}), first: changed((job or {}).get(first), tuple(rest), value)}


def check(verb: str, job: dict[str, Any]) -> None:
    """Do what a verb does with its options before it does anything else."""
    config = from_mapping(job, KINDS[verb], where="job.toml")
    if isinstance(config, StudyConfig):
        same = {name: getattr(config, name) for name in ("synthetic", "stand_in", "vla", "bench")}
        config = OvernightConfig(task=config.task, **same)
    if isinstance(config, OvernightConfig):
        check_ahead(config)
    if hasattr(config, "resolved"):
        config.resolved()


CASES = [
    pytest.param(verb, place, hint, id=f"{verb} {'.'.join(map(str, place))}")
    for verb, kind in KINDS.items()
    for place, hint in numbers(kind)
]


def test_every_verb_with_options_is_looked_at() -> None:
    assert set(LEAST) == set(KINDS)
    assert len(CASES) > 150


@functools.cache
def passes(verb: str) -> bool:
    check(verb, LEAST[verb])
    return True


@pytest.mark.parametrize(("verb", "place", "hint"), CASES)
def test_a_number_that_cannot_be_is_refused_by_name(verb: str, place: tuple[str | int, ...], hint: type[Any]) -> None:
    assert passes(verb)
    for value in [hint(-1), *([math.nan, math.inf] if hint is float else [2**64])]:
        job = changed(LEAST[verb], place, value)
        if place[-1] == "minutes" and place[0] in ("vla", "dagger"):  # One budget is enough: the other would be asked.
            job = changed(job, (*place[:-1], "steps"), 3)
        if place[0] == "dagger" and place[-1] != "rounds":
            job = changed(job, ("dagger", "rounds"), 1)
        with pytest.raises(UserError) as refused:
            check(verb, job)
        told = str(refused.value)
        assert str(place[-1]) in told
        assert str(value) in told
        assert "Allowed" in told
        assert "\n" not in told


@dataclass(frozen=True)
class Config:
    """Something with numbers."""

    share: float = 0.5
    count: int | None = None


def test_what_is_allowed_is_told_in_words() -> None:
    told = {
        Numbers(1): "1 or more",
        ABOVE_0: "above 0",
        SHARE: "0 to 1",
        EPISODES: "1 to 1,048,576",
        Numbers(0, 1, above=True, below=True): "above 0 and below 1",
        Numbers(0, 1, below=True): "0 to below 1",
    }
    assert {numbers: str(numbers) for numbers in told} == told
    with pytest.raises(UserError, match=r"^part: share = 2.0 is not allowed. Allowed: 0 to 1.$"):
        require(Config(share=2.0), {"share": SHARE}, part="part")
    with pytest.raises(UserError, match=r"count = 0 is not allowed. Allowed: 1 or more, or leave it unset.$"):
        require(Config(count=0), {"count": Numbers(1)})
    require(Config(), {"share": SHARE, "count": Numbers(1)})


@given(
    st.floats(-10, 10),
    st.floats(0, 10),
    st.booleans(),
    st.booleans(),
    st.one_of(st.floats(-12, 22), st.sampled_from([0.0, math.nan, math.inf, -math.inf])),
)
def test_a_range_holds_what_lies_in_it(low: float, width: float, above: bool, below: bool, value: float) -> None:
    high = low + width
    over = value > low or (value == low and not above)
    under = value < high or (value == high and not below)
    assert (value in Numbers(low, high, above=above, below=below)) == (over and under)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[bench]\nhosts = ['robosuit']", "[bench] Unknown host 'robosuit'. Did you mean 'robosuite'?"),
        ("[bench]\nseed = 4000", "[bench] seed = 4000 is out of range for the benchmark split"),
        ("[bench]\nepisodes = 0", "[bench] episodes = 0 is not allowed"),
        ("[vla]\nexecute = 9", "[vla] execute = 9 is not allowed. Allowed: 1 to 8."),
        ("[vla]\npreset = 'cpu_minuts'", "[vla] Unknown preset 'cpu_minuts'"),
        ("[vla]\nsynthetic_episodes = 900", "[vla] synthetic_episodes = 900 is not allowed. Allowed: 1 to 800"),
        ("[vla]\nsynthetic_weight = 0\nstand_in_weight = 0", "[vla] The mixture has no source"),
        ("[synthetic]\npreset = 'trian'", "[synthetic] Task lift_cube-v1 has no randomization preset 'trian'"),
        ("[synthetic]\nseed = 600", "[synthetic] seed = 600 is out of range for the validation split"),
        ("[synthetic]\nhold = 60", "[synthetic] hold = 60 is not allowed: an episode of lift_cube-v1 has 60 steps"),
        ("[synthetic]\nannotations = ['point']", "[synthetic] Unknown annotation 'point'"),
        ("[stand_in]\nhost = 'isaac'", "[stand_in] Unknown host for the stand-in data 'isaac'"),
        ("[expert]\nworlds = 100", "[expert] worlds = 100 is not allowed"),
        ("[dagger]\nrounds = 1\nshare = 1.0", "[dagger] share = 1.0 is not allowed"),
    ],
)
def test_a_wrong_setting_of_any_stage_is_told_before_the_first_and_nothing_is_written(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.overnight._run", None)  # No stage may begin.
    job, out = tmp_path / "night.toml", tmp_path / "night"
    job.write_text(f"task = 'lift_cube'\nout = '{out}'\n{text}\n")
    assert demomill.main(["overnight", str(job)]) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_study_is_looked_through_cell_by_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, out = tmp_path / "study.toml", tmp_path / "study"
    knob = "[[knobs]]\nsetting = 'synthetic.preset'\nvalues = ['train', 'train[-lihgt]']\n"
    job.write_text(f"task = 'lift_cube'\nout = '{out}'\n{knob}")
    assert demomill.main(["ablate", str(job)]) == 2
    told = capsys.readouterr().err
    assert "synthetic.preset = train[-lihgt], seed 0: [synthetic]" in told
    assert "Did you mean 'light'" in told
    assert not out.exists()


def test_several_tasks_are_looked_through_before_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, out = tmp_path / "job.toml", tmp_path / "data"
    for text, told in [
        ("[[tasks]]\ntask = 'lift_cube'\n[[tasks]]\ntask = 'lift_cube-v1'", "are the same task, lift_cube-v1"),
        ("[[tasks]]\ntask = 'lift_cube'\n[[tasks]]\ntask = 'stack_cube'\nepisodes = 0", "episodes = 0 is not allowed"),
        ("hold = 70\n[[tasks]]\ntask = 'stack_cube'\n[[tasks]]\ntask = 'lift_cube'", "of lift_cube-v1 has 60 steps"),
    ]:
        job.write_text(f"out = '{out}'\n{text}\n")
        assert demomill.main(["generate", str(job)]) == 2
        assert told in capsys.readouterr().err
    assert not out.exists()

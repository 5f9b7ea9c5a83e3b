"""Any subset of a preset can be named; what is not in it is refused with the nearest name."""

from __future__ import annotations

import pytest

from sim.errors import UserError
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.laws import EXTRAS, HELD_OUT_EXTRAS
from tasks.presets import select
from tasks.randomization import is_visual, knobs

PHYSICAL = knobs("cube.mass *U(0.5, 2)", "cube.friction *U(0.5, 2)", "table.height =U(-0.1, 0)")
VISUAL = knobs("camera.fovy *U(0.9, 1.1)", "camera.roll =U(-1, 1)", "light.ambient *U(0.5, 2)")
PRESETS = {"none": (), "train": PHYSICAL + VISUAL, "held_out": PHYSICAL + VISUAL + knobs("cube.mass *U(0.1, 4)")}


def paths(text: str) -> list[str]:
    return [knob.path for knob in select(text, PRESETS, task="t").knobs]


ALL = [knob.path for knob in PRESETS["train"]]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("none", []),
        ("train", ALL),
        ("train[camera]", ["camera.fovy", "camera.roll"]),
        ("train[camera, cube.mass]", ["cube.mass", "camera.fovy", "camera.roll"]),
        ("train[-camera]", ["cube.mass", "cube.friction", "table.height", "light.ambient"]),
        ("train[visual,-camera.roll]", ["camera.fovy", "light.ambient"]),
        ("train[physical, -cube]", ["table.height"]),
        (" train [ -visual ] ", ["cube.mass", "cube.friction", "table.height"]),
        ("held_out[cube.mass]", ["cube.mass", "cube.mass"]),
        ("held_out[sentence]", []),
    ],
)
def test_parts_choose_knobs(text: str, chosen: list[str]) -> None:
    assert paths(text) == chosen


@pytest.mark.parametrize(
    ("text", "held_out"),
    [
        ("train", False),
        ("train[sentence]", False),
        ("held_out", True),
        ("held_out[-camera]", True),
        ("held_out[camera]", False),
        ("held_out[camera, sentence]", True),
        ("held_out[-sentence]", False),
    ],
)
def test_held_out_sentences_are_a_part_of_their_own(text: str, held_out: bool) -> None:
    assert select(text, PRESETS, task="t").held_out_sentences is held_out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trian", r"Did you mean 'train'\?.*Allowed: held_out, none, train"),
        ("trian[camera]", r"Did you mean 'train'\?"),
        ("train[camra]", r"names the part 'camra'.*Did you mean 'camera'\?"),
        ("train[-cube.mas]", r"Did you mean 'cube\.mass'\?"),
        ("train[]", "names the part ''"),
        ("train[camera", "no randomization preset"),
        ("none[camera]", "Allowed: sentence"),
        ("train[+ligths]", r"Did you mean '\+lights'\?.*Allowed: \+disturbed, \+grippers, \+jpeg, \+lights, \+shadows"),
        ("train[+camera]", r"names the part '\+camera'"),
    ],
)
def test_what_cannot_be_chosen(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        paths(text)


LIGHTS = [knob.path for knob in EXTRAS["lights"]]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("train[+lights]", [*ALL, *LIGHTS]),
        ("none[+jpeg, +shadows]", ["image.jpeg", "light.shadows"]),
        ("train[camera.roll, +jpeg]", ["camera.roll", "image.jpeg"]),
        ("train[-physical, -light, +jpeg]", ["camera.fovy", "camera.roll", "image.jpeg"]),
        ("held_out[cube.mass, +jpeg]", ["cube.mass", "cube.mass", "image.jpeg", "image.jpeg"]),
    ],
)
def test_extras_come_on_top(text: str, chosen: list[str]) -> None:
    assert paths(text) == chosen


def test_extras_are_drawn_apart_and_wider_where_held_out() -> None:
    task = load_task("lift_cube-v2")
    seeds = [episode_seed("train", 4, i) for i in range(40)]
    drawn = [task.draw(seed, preset="train[+lights, +jpeg]") for seed in seeds]
    for seed, values in zip(seeds, drawn, strict=True):
        usual = task.draw(seed, preset="train")
        assert set(values) - set(usual) == {*LIGHTS, "image.jpeg"}
        assert usual.items() <= values.items(), "no other draw is moved"
        assert task.sentence(seed, preset="held_out[+jpeg]") == task.sentence(seed, preset="held_out")
    assert {values["light.count"] for values in drawn} == {1.0, 2.0, 3.0}
    assert {values["image.jpeg"] for values in drawn} == {0.0, 90.0, 75.0, 60.0, 45.0, 30.0}
    tested = [task.draw(seed, preset="held_out[+lights, +jpeg]") for seed in seeds]
    assert {values["light.count"] for values in tested} == {2.0, 3.0}
    assert all(10 <= values["image.jpeg"] <= 30 for values in tested)
    assert max(max(values["light.diffuse2"]) for values in tested) > 0.4 > max(max(v["light.diffuse2"]) for v in drawn)


def test_each_frame_of_an_episode_can_have_lights_and_a_compression_of_its_own() -> None:
    task = load_task("lift_cube-v1")
    drawn = [task.redraw_visual(7, step, preset="train[+lights, +jpeg]") for step in range(30)]
    assert {values["light.count"] for values in drawn} == {1.0, 2.0, 3.0}
    assert len({values["image.jpeg"] for values in drawn}) > 3


def test_what_is_held_out_of_the_extras_names_knobs_of_theirs() -> None:
    for name, laws in HELD_OUT_EXTRAS.items():
        assert {law.path for law in laws} <= {law.path for law in EXTRAS[name]}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_part_draws_what_the_whole_draws(name: str) -> None:
    task, seed = load_task(name), episode_seed("train", 2, 5)
    whole, still = task.draw(seed, preset="train"), task.draw(seed, preset="none")
    part = task.draw(seed, preset="train[camera, light]")
    drawn = {path: value for path, value in whole.items() if path not in task.meaning(seed).values}
    looks = {path: value for path, value in drawn.items() if path.split(".")[0] in ("camera", "light")}
    assert looks
    assert part == looks | still, "and the objects are the nominal ones"
    physical = task.draw(seed, preset="train[-visual]")
    assert {p: v for p, v in physical.items() if not is_visual(p)} == task.draw(seed, preset="train", visual=False)


@pytest.mark.parametrize("name", [name for name in sorted(TASKS) if load_task(name).semantics is not None])
def test_what_is_meant_is_a_part_of_its_own(name: str) -> None:
    task, seed = load_task(name), episode_seed("train", 2, 5)
    meant = task.meaning(seed, preset="train")
    assert task.meaning(seed, preset="train[semantics]") == meant
    assert task.meaning(seed, preset="train[-camera]") == meant
    assert task.meaning(seed, preset="train[camera]") == task.meaning(seed, preset="none")
    assert task.draw(seed, preset="train[semantics]") == meant.values
    assert task.sentence(seed, preset="held_out[-camera]") == task.sentence(seed, preset="held_out")


def test_a_task_without_semantics_has_no_such_part() -> None:
    with pytest.raises(UserError, match="names the part 'semantics'"):
        load_task("lift_cube-v1").draw(1, preset="train[semantics]")

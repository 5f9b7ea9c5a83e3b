"""Every sentence denotes its target and nothing else, and what is held out is never drawn in training."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.grammar import HELD_OUT_NOUNS, NOUNS, Phrase, Thing, denoted, descriptions, parse, read
from tasks.layout import Dice, Layout
from tasks.things import HALF, HELD_OUT_HALF

MEANT = [name for name in sorted(TASKS) if load_task(name).semantics is not None]
SEEDS = 1000


def thing(name: str, kind: str, color: str, size: str, x: float, y: float) -> Thing:
    return Thing(name, kind, color, size, (x, y))


SCENE = (
    thing("a", "cube", "red", "small", 0.5, -0.1),
    thing("b", "cube", "red", "large", 0.6, 0.1),
    thing("c", "cylinder", "red", "medium", 0.7, 0.0),
    thing("d", "ball", "blue", "small", 0.6, -0.2),
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("the blue ball", ("d",)),
        ("the ball", ("d",)),
        ("the red cube", ("a", "b")),
        ("the small red cube", ("a",)),
        ("the large block", ("b",)),
        ("the leftmost red cube", ("a",)),
        ("the rightmost cube", ("b",)),
        ("the leftmost object", ("d",)),
        ("the cube closest to the robot", ("a",)),
        ("the object farthest from the robot", ("c",)),
        ("the cube that is right of the ball", ("a", "b")),
        ("the large cube that is right of the ball", ("b",)),
        ("the object that is left of the small red cube", ("d",)),
        ("the cube that is nearer to the robot than the can", ("a", "b")),
        # Undecidable: a middling size, things that are level, one cube cannot be the leftmost cylinder.
        ("the small red object", ()),
        ("the leftmost cylinder", ()),
        ("the ball that is nearer to the robot than the large cube", ()),
        # No single anchor.
        ("the ball that is left of the red cube", ()),
        ("the green cube", ()),
    ],
)
def test_phrases_denote_what_a_person_would_pick(text: str, names: tuple[str, ...]) -> None:
    phrase = parse(text)
    assert phrase is not None
    assert str(phrase) == text
    assert denoted(phrase, SCENE) == names


@pytest.mark.parametrize("text", ["red cube", "the red red cube", "the cube that is above the ball", "the small", ""])
def test_what_is_no_phrase_is_not_read(text: str) -> None:
    assert parse(text) is None


def test_perspective_can_make_left_undecidable() -> None:
    """Farther left on the table but nearer the middle of the picture: nobody could say."""
    far, near = thing("far", "cube", "red", "small", 0.43, -0.2), thing("near", "cube", "blue", "small", 0.75, -0.14)
    assert denoted(Phrase("cube", rank="leftmost"), (far, near)) == ()


def test_every_description_is_unique_and_can_be_read_back() -> None:
    for held_out in (False, True):
        for each in SCENE:
            found = descriptions(SCENE, each.name, held_out=held_out)
            assert found
            for phrase in found:
                assert denoted(phrase, SCENE) == (each.name,)
                assert parse(str(phrase)) == phrase


@pytest.mark.parametrize("preset", ["train", "held_out", "none"])
@pytest.mark.parametrize("name", MEANT)
def test_every_sentence_denotes_its_target_and_nothing_else(name: str, preset: str) -> None:
    task = load_task(name)
    assert task.semantics is not None
    slots = [role.slot for role in task.semantics.roles]
    for k in range(SEEDS):
        seed = episode_seed("train", 2, k)
        text, template = task.sentence(seed, preset=preset)
        got = read(text, task.templates)
        assert got is not None, text
        assert got[0] == template
        things = task.meaning(seed, preset=preset).things
        assert {role: denoted(phrase, things) for role, phrase in got[1].items()} == {s: (s,) for s in slots}, text


@pytest.mark.parametrize("name", MEANT)
def test_what_is_held_out_is_never_trained_on_and_is_drawn_in_the_test(name: str) -> None:
    task = load_task(name)
    assert task.semantics is not None
    held = task.semantics.held_out
    shown: dict[str, set[object]] = {}
    for preset in ("train", "physical", "held_out"):
        looks, halves, templates, nouns = set(), set(), set(), set()
        for k in range(SEEDS // 2):
            seed = episode_seed("train", 3, k)
            meaning = task.meaning(seed, preset=preset)
            looks |= {(t.color, t.kind) for t in meaning.things}
            halves |= {_halves(meaning.values, t, task.semantics.peg_thickness) for t in meaning.things}
            text, template = task.sentence(seed, preset=preset)
            templates.add(template.startswith("held_out"))
            nouns |= {word for word in text.split() if word in HELD_OUT_NOUNS}
        shown[preset] = looks
        ranges = [*HALF.values(), *(HELD_OUT_HALF.values() if preset == "held_out" else ())]
        for least, most in halves:
            assert any(max(low, least) <= min(high, most) + 1e-9 for low, high in ranges)
        assert templates == {preset == "held_out"}
        assert preset == "held_out" or not nouns
        if preset == "held_out":
            assert any(most < HALF["small"][0] - 1e-4 for _, most in halves)
            assert not task.semantics.roles or nouns
    for preset in ("train", "physical"):
        assert all(held.allows(color, kind) for color, kind in shown[preset])  # type: ignore[misc]
    kinds = {*task.semantics.other_kinds, *(kind for role in task.semantics.roles for kind in role.kinds)}
    never = {(color, kind) for color, kind in held.pairs if kind in kinds}
    assert never <= shown["held_out"]
    assert {color for color, _ in shown["held_out"]} >= set(held.colors)  # type: ignore[misc]


def _halves(values: object, thing: Thing, peg_thickness: tuple[float, float]) -> tuple[float, float]:
    """Return the least and the largest half an edge, as the size words mean it, that a thing of this size can have."""
    x, y, _ = values[f"{thing.name}.half_size"]  # type: ignore[index]
    if thing.kind == "peg":
        thin, thick = peg_thickness
        return max(x / 5.0, y / thick), min(x / 4.4, y / thin)
    half = {"cube": x, "cylinder": x, "ball": x / 1.1}[thing.kind]
    return half, half


def test_pegs_of_peg_upright_are_of_all_sizes_around_that_of_its_twin() -> None:
    """ManiSkill's peg is 24 cm long, 5 cm thick, lies 51.5 to 71.5 cm ahead, up to 10 cm aside, and weighs 0.6 kg."""
    task = load_task("peg_upright-v1")
    draws = [task.draw(episode_seed("train", 3, k), preset="physical") for k in range(SEEDS)]
    halves = [draw["target.half_size"] for draw in draws]
    places = [draw["target.position"] for draw in draws]
    masses = [draw["target.mass"] for draw in draws]
    for values, low, high in (
        ([half[0] for half in halves], 0.115, 0.125),  # type: ignore[index]
        ([half[1] for half in halves], 0.024, 0.026),  # type: ignore[index]
        ([place[0] for place in places], 0.515, 0.715),  # type: ignore[index]
        ([place[1] for place in places], -0.1, 0.1),  # type: ignore[index]
        (masses, 0.55, 0.65),
    ):
        assert min(sum(v < low for v in values), sum(v > high for v in values)) > 20  # type: ignore[operator]
    assert any(half[0] > 0.115 and half[1] > 0.024 for half in halves)  # type: ignore[index,operator]


@pytest.mark.parametrize("name", MEANT)
def test_a_draw_is_json_and_the_same_again(name: str) -> None:
    task = load_task(name)
    for preset, k in itertools.product(("none", "physical", "train", "held_out"), range(20)):
        draw = task.draw(k, preset=preset)
        assert json.loads(json.dumps(draw, allow_nan=False)).keys() == draw.keys()
        assert draw == task.draw(k, preset=preset)
        assert set(draw) <= set(task.scene.nominal())
        physical = task.draw(k, preset=preset, visual=False)
        assert physical.items() <= draw.items()
    same = [task.draw(7, preset=preset, visual=False) for preset in ("physical", "train")]
    assert same[0] == same[1]


@pytest.mark.parametrize("name", MEANT)
def test_colours_that_sentences_name_stay_when_looks_are_redrawn(name: str) -> None:
    task = load_task(name)
    named = {path for path in task.meaning(1).values if path.endswith(".color")}
    assert not named & set(task.redraw_visual(1, 3))


@pytest.mark.parametrize("name", MEANT)
def test_objects_do_not_overlap(name: str) -> None:
    task = load_task(name)
    for k in range(400):
        for preset in ("train", "held_out"):
            values = task.meaning(k, preset=preset).values
            things = task.meaning(k, preset=preset).things
            for a, b in itertools.combinations(things, 2):
                clear = min(math.dist(p, q) for p in _spine(values, a) for q in _spine(values, b))
                assert clear > 0.06, (k, a, b)


def _spine(values: Mapping[str, Any], thing: Thing) -> list[tuple[float, float]]:
    """Return points along the middle of a thing."""
    half, yaw = values[f"{thing.name}.half_size"], values[f"{thing.name}.yaw"]
    reach = half[0] if thing.kind == "peg" else 0.0
    (x, y), c, s = thing.place, math.cos(yaw), math.sin(yaw)
    return [(x + k / 8 * reach * c, y + k / 8 * reach * s) for k in range(-8, 9)]


def test_layout_keeps_things_clear_of_what_is_taken() -> None:
    layout, dice = Layout(), Dice(0, "layout")
    layout.take((0.0, 0.0), radius=0.1, to=(0.4, 0.0))
    for _ in range(50):
        place = layout.find(dice, ((-0.2, -0.3), (0.6, 0.3)), clear=0.05)
        assert place is not None
        nearest = (min(max(place[0], 0.0), 0.4), 0.0)
        assert math.dist(place, nearest) >= 0.15
    assert layout.find(dice, ((0.1, 0.0), (0.2, 0.01)), clear=0.0) is None


def test_nouns_of_training_and_of_the_test_are_apart() -> None:
    assert set(HELD_OUT_NOUNS) < set(NOUNS)
    assert {NOUNS[n] for n in HELD_OUT_NOUNS} == {NOUNS[n] for n in NOUNS if n not in HELD_OUT_NOUNS}

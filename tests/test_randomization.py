"""Laws in = * + notation apply to nominal values, one stream per knob, and wrong ones are refused in words."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import UserError
from sim.scene import Value
from tasks.randomization import Knob, draw_values, is_visual, knob, knobs

NOMINAL: dict[str, Value] = {
    "cube.mass": 0.1,
    "cube.position": (0.5, -0.1),
    "cube2.half_size": (0.02, 0.02, 0.02),
    "table.texture": "plain",
}


def drawn(text: str, *, count: int = 400) -> np.ndarray:
    law = knob(text)
    return np.array([law.draw(NOMINAL[law.path], seed, "t") for seed in range(count)])


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("cube.mass =U(2, 3)", 2, 3),
        ("cube.mass *U(0.5, 2)", 0.05, 0.2),
        ("cube.mass +U(-0.05, .05)", 0.05, 0.15),
        ("cube.mass =U(-1e-3, 1e-3)", -1e-3, 1e-3),
    ],
)
def test_uniform_laws_fill_their_range(text: str, low: float, high: float) -> None:
    values = drawn(text)
    assert low <= values.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < values.max() <= high


def test_normal_laws_have_their_mean_and_deviation() -> None:
    values = drawn("cube.mass *N(1, 0.2)", count=4000)
    assert values.mean() == pytest.approx(0.1, rel=0.01)
    assert values.std() == pytest.approx(0.02, rel=0.05)


def test_a_normal_law_may_have_no_deviation() -> None:
    assert (drawn("cube.mass *N(2, 0)", count=3) == 0.2).all()


def test_choices_are_all_made() -> None:
    values = drawn("table.texture =choice(plain, checker, wood)")
    assert set(values) == {"plain", "checker", "wood"}
    assert min((values == name).mean() for name in set(values)) > 0.25


def test_vectors_draw_each_component_on_its_own() -> None:
    values = drawn("cube.position +U([-.1, -.2], [.1, .2])")
    assert values.shape == (400, 2)
    assert (np.abs(values - NOMINAL["cube.position"]) <= [0.1, 0.2]).all()
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.15


def test_one_number_scales_all_components_alike() -> None:
    values = drawn("cube2.half_size *U(0.5, 2)")
    assert (values == values[:, :1]).all()
    assert len(np.unique(values[:, 0])) == 400


def test_draws_never_walk() -> None:
    """A law applies to the nominal value: drawing twice is drawing once."""
    law = knob("cube.mass *U(0.5, 2)")
    assert law.draw(0.1, 3, "t") == law.draw(0.1, 3, "t")


def test_a_new_knob_shifts_no_other() -> None:
    few = draw_values(knobs("cube.mass *U(0.5, 2)"), NOMINAL, 5)
    more = draw_values(knobs("cube.position +U(-.1, .1)", "cube.mass *U(0.5, 2)"), NOMINAL, 5)
    assert more["cube.mass"] == few["cube.mass"]


def test_seeds_and_names_make_new_draws() -> None:
    law = knobs("cube.mass *U(0.5, 2)")
    values = [
        draw_values(law, NOMINAL, seed, names=names)["cube.mass"] for seed in (1, 2) for names in ((), ("step", 7))
    ]
    assert len(set(values)) == 4


def test_the_last_of_two_laws_for_one_path_applies() -> None:
    values = draw_values(knobs("cube.mass =U(1, 2)", "cube.mass =U(5, 6)"), NOMINAL, 0)
    assert 5 <= float(str(values["cube.mass"])) <= 6


def test_kinds_are_kept() -> None:
    assert isinstance(knob("cube.mass *U(1, 2)").draw(0.1, 0), float)
    assert isinstance(knob("cube.position +U(-.1, .1)").draw((0.5, 0.0), 0), tuple)


def test_text_is_kept() -> None:
    assert knob("cube.mass *U(0.5, 2)") == Knob(
        "cube.mass", "*", "U", arguments=((0.5,), (2.0,)), text="cube.mass *U(0.5, 2)"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cube.mass U(1, 2)", "cannot be read"),
        ("mass *U(1, 2)", "cannot be read"),
        ("cube.mass *V(1, 2)", "cannot be read"),
        ("cube.mass *U(1)", "two arguments"),
        ("cube.mass *U(1, 2, 3)", "two arguments"),
        ("cube.position +U([1, 2], [1])", "equal length"),
        ("cube.mass *U(one, 2)", "not a number"),
        ("cube.mass *U(2, 1)", "low <= high"),
        ("cube.mass *N(1, -1)", "standard deviation"),
        ("table.texture *choice(a, b)", "=choice"),
        ("table.texture =choice()", "=choice"),
    ],
)
def test_laws_that_cannot_be_read(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        knob(text)


@pytest.mark.parametrize(
    "text",
    [
        "cube.mass *U([1, 1], [2, 2])",
        "cube.position +U([0, 0, 0], [1, 1, 1])",
        "table.texture =U(1, 2)",
        "cube.mass =choice(a, b)",
    ],
)
def test_laws_that_do_not_fit_their_parameter(text: str) -> None:
    with pytest.raises(UserError, match="The law"):
        draw_values(knobs(text), NOMINAL, 0)


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'cube\.mass'\?"):
        draw_values(knobs("cube.mas *U(1, 2)"), NOMINAL, 0)


@pytest.mark.parametrize(
    ("path", "visual"),
    [
        ("cube.color", True),
        ("table.texture", True),
        ("light.direction", True),
        ("camera.fovy", True),
        ("image.noise", True),
        ("cube.half_size", False),
        ("table.height", False),
        ("observation.noise", False),
        ("action.noise", False),
        ("robot.damping", False),
    ],
)
def test_what_only_pixels_show(path: str, visual: bool) -> None:
    assert is_visual(path) is visual

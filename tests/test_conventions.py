"""Conventions are compared field by field; what arithmetic can adapt is adapted, everything else is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.adapters import adapt_actions
from sim.conventions import CANONICAL, LATER, Convention, differences, from_json, to_json
from sim.errors import UserError
from sim.rotation_forms import FORMS
from sim.rotations import from_axis_angle, to_euler_xyz, to_matrix
from sim.streams import generator

EULER = "delta euler xyz extrinsic"
HOST = replace(CANONICAL, position_unit=0.05, rotation_unit=0.5, rotation=EULER, gripper_open=-1.0, gripper_closed=1.0)


@pytest.fixture
def actions() -> NDArray[np.float64]:
    """Canonical actions (50, 7) within their limits."""
    drawn = generator(0, "actions").uniform(-1, 1, (50, 7))
    return drawn * [0.05, 0.05, 0.05, 0.25, 0.25, 0.25, 0.5] + [0, 0, 0, 0, 0, 0, 0.5]


def test_equal_conventions_change_nothing(actions: NDArray[np.float64]) -> None:
    adapter, names = adapt_actions(CANONICAL, CANONICAL)
    assert names == ()
    assert np.array_equal(adapter(actions), actions)


def test_every_step_is_named_and_does_what_it_says(actions: NDArray[np.float64]) -> None:
    adapter, names = adapt_actions(CANONICAL, HOST)
    made = adapter(actions)
    assert names == ("position_unit", f"delta axis-angle to {EULER}", "rotation_unit from rad", "gripper_range")
    assert np.allclose(made[:, :3], actions[:, :3] / 0.05)
    assert np.allclose(made[:, 3:6], to_euler_xyz(from_axis_angle(actions[:, 3:6])) / 0.5)
    assert np.allclose(made[:, 6], 1 - 2 * actions[:, 6])


def test_there_and_back_is_the_same(actions: NDArray[np.float64]) -> None:
    there, back = adapt_actions(CANONICAL, HOST)[0], adapt_actions(HOST, CANONICAL)[0]
    assert np.allclose(back(there(actions)), actions, atol=1e-12)


def test_any_leading_shape_and_no_change_in_place(actions: NDArray[np.float64]) -> None:
    before = actions.copy()
    adapter, _ = adapt_actions(CANONICAL, HOST)
    assert np.allclose(adapter(actions.reshape(5, 10, 7)).reshape(50, 7), adapter(actions))
    assert np.allclose(adapter(actions[0]), adapter(actions)[0])
    assert np.array_equal(actions, before)


def test_rotation_units_alone() -> None:
    half = replace(CANONICAL, rotation_unit=0.5)
    action = np.array([0, 0, 0, 0.1, 0.2, -0.2, 1.0])
    assert np.allclose(adapt_actions(CANONICAL, half)[0](action)[3:6], [0.2, 0.4, -0.4])
    assert np.allclose(adapt_actions(half, CANONICAL)[0](action)[3:6], [0.05, 0.1, -0.1])
    assert adapt_actions(half, half)[1] == ()


def test_the_gripper_saturates() -> None:
    adapter, _ = adapt_actions(CANONICAL, HOST)
    wide = np.zeros((2, 7))
    wide[:, 6] = [1.5, -0.5]
    assert adapter(wide)[:, 6].tolist() == [-1.0, 1.0]


ADAPTABLE = {"position_unit", "rotation_unit", "rotation", "gripper_open", "gripper_closed"}
OF_OBSERVATIONS = {
    "state", "state_source", "camera", "wrist_camera", "image_size", "channels", "first_row", "first_column", "crop",
}  # fmt: skip


def changed(name: str) -> Convention:
    value = getattr(CANONICAL, name)
    return replace(CANONICAL, **{name: f"other {value}" if isinstance(value, str) else value + 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [f.name for f in fields(Convention) if f.name not in ADAPTABLE])
def test_what_cannot_be_adapted_is_refused_with_both_sides(name: str) -> None:
    other = changed(name)
    with pytest.raises(UserError) as told:
        adapt_actions(CANONICAL, other)
    assert f"{name}: policy {getattr(CANONICAL, name)!r}, environment {getattr(other, name)!r}" in str(told.value)


@pytest.mark.parametrize("name", [f.name for f in fields(Convention) if f.name not in ADAPTABLE])
def test_who_sees_nothing_need_not_agree_on_what_is_seen(name: str) -> None:
    if name in OF_OBSERVATIONS:
        adapt_actions(CANONICAL, changed(name), action_only=True)
    else:
        with pytest.raises(UserError):
            adapt_actions(CANONICAL, changed(name), action_only=True)


@pytest.mark.parametrize("form", ["delta euler zyx", "absolute axis-angle", "axis-angle", "delta none"])
def test_a_rotation_form_that_is_not_known_is_refused(form: str) -> None:
    with pytest.raises(UserError, match="rotation: policy"):
        adapt_actions(CANONICAL, replace(CANONICAL, rotation=form))


@pytest.mark.parametrize("form", [name for name, form in FORMS.items() if form.size])
def test_every_form_of_a_rotation_change_is_adapted_there_and_back(form: str, actions: NDArray[np.float64]) -> None:
    other = replace(CANONICAL, rotation=f"delta {form}")
    there, names = adapt_actions(CANONICAL, other)
    back, _ = adapt_actions(other, CANONICAL)
    made = there(actions)
    assert made.shape == (50, other.action_size)
    assert np.allclose(back(made), actions, atol=1e-9)
    assert names == (() if form == "axis-angle" else (f"delta axis-angle to delta {form}",))
    meant = FORMS[form].read(made[:, 3:-1])
    assert np.allclose(to_matrix(meant), to_matrix(from_axis_angle(actions[:, 3:6])), atol=1e-9)


def test_the_size_of_an_action_follows_from_its_rotation_form() -> None:
    sizes = {
        form: replace(CANONICAL, rotation=f"delta {form}").action_size for form in ("euler xyz intrinsic", "6d rows")
    }
    assert sizes == {"euler xyz intrinsic": 7, "6d rows": 10}
    assert replace(CANONICAL, rotation="delta turns").action_size is None
    assert replace(CANONICAL, control="joint").action_size is None


def test_each_side_opens_at_its_own_threshold() -> None:
    early = replace(CANONICAL, gripper_open=255.0, gripper_threshold=0.2)
    adapter, names = adapt_actions(early, CANONICAL)
    assert names == ("gripper_range", "gripper_threshold")
    actions = np.zeros((5, 7))
    actions[:, 6] = [0.0, 50.0, 52.0, 153.0, 255.0]
    made = adapter(actions)[:, 6]
    assert (made > 0.5).tolist() == [False, False, True, True, True]
    assert np.allclose(made[[0, 3, 4]], [0.0, 0.75, 1.0])
    assert np.allclose(adapt_actions(CANONICAL, early)[0](adapter(actions))[:, 6], actions[:, 6])


@pytest.mark.parametrize(
    "wrong",
    [{"gripper_open": 0.0}, {"position_unit": 0.0}, {"rotation_unit": -1.0}, {"gripper_threshold": 1.0}, {"crop": 0.0}],
)
def test_a_convention_that_cannot_be_is_refused_and_never_divided_by(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        adapt_actions(CANONICAL, replace(CANONICAL, **wrong))  # type: ignore[arg-type]


def test_differences_are_listed_in_field_order() -> None:
    found = differences(CANONICAL, HOST)
    assert [d.field for d in found] == [
        "position_unit",
        "rotation",
        "rotation_unit",
        "gripper_open",
        "gripper_closed",
    ]
    assert (found[0].policy, found[0].environment) == (1.0, 0.05)


def test_a_convention_of_before_means_what_was_meant_then() -> None:
    stored = {name: value for name, value in to_json(HOST).items() if name not in LATER}
    assert from_json(stored, source="an old checkpoint") == HOST


def test_json_there_and_back() -> None:
    stored = json.loads(json.dumps(to_json(HOST)))
    assert from_json(stored, source="a checkpoint") == HOST


@pytest.mark.parametrize(
    ("change", "told"),
    [({"ratte": 3}, "unknown field 'ratte'. Did you mean 'rate'?"), ({"rate": None}, "lacks rate")],
)
def test_json_of_another_version_is_refused(change: dict[str, Any], told: str) -> None:
    stored = {k: v for k, v in (to_json(CANONICAL) | change).items() if v is not None}
    with pytest.raises(UserError) as fault:
        from_json(stored, source="data/x")
    assert told in str(fault.value)
    assert str(fault.value).startswith("data/x: ")

"""A policy and an environment are compared in every field; what the policy does not read does not matter."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.compatibility import agree, compare
from sim.conventions import CANONICAL, Convention
from sim.episodes import SHOWN, EnvSpec, Observation, PolicySpec
from sim.errors import UserError
from sim.rotation_forms import FORMS
from sim.rotations import from_axis_angle, to_matrix, wxyz_to_xyzw
from sim.state_layouts import GRIPPERS, SIGNS, StateLayout, convert_state, parse_layout

SEES = frozenset({"image", "state", "instruction"})
ENV = EnvSpec("lift_cube-v1", "test", "Lift", CANONICAL, horizon=60, engine="none")


def policy(inputs: frozenset[str] = SEES, *, horizon: int | None = None, **changes: Any) -> PolicySpec:
    return PolicySpec("p", replace(CANONICAL, **changes), inputs, chunk=8, execute=8, horizon=horizon)


def shown(frames: np.ndarray[Any, Any], state: np.ndarray[Any, Any] | None = None) -> Observation:
    count = len(frames)
    return Observation(
        ids=np.arange(count),
        seeds=tuple(range(count)),
        steps=np.zeros(count, np.intp),
        state=np.zeros((count, 8), np.float32) if state is None else state,
        privileged=np.zeros((count, 0), np.float32),
        instructions=("lift it",) * count,
        render=lambda camera: frames,
    )


def test_every_field_has_a_row_and_equals_need_no_adapter() -> None:
    agreement = agree(policy(), ENV)
    assert [row.field for row in agreement.rows][: len(fields(Convention))] == [f.name for f in fields(Convention)]
    assert {row.verdict for row in agreement.rows} == {"equal"}
    assert agreement.adapters == ()
    observation = shown(np.zeros((1, 256, 256, 3), np.uint8))
    assert agreement.observation(observation) is observation


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ({"channels": "bgr"}, (slice(None), slice(None), slice(None), slice(None, None, -1))),
        ({"first_row": "bottom"}, (slice(None), slice(None, None, -1))),
        ({"first_column": "right"}, (slice(None), slice(None), slice(None, None, -1))),
        ({"crop": 0.875, "image_size": 224}, (slice(None), slice(16, 240), slice(16, 240))),
    ],
)
def test_frames_are_turned_into_those_that_the_policy_reads(changes: dict[str, Any], index: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    agreement = agree(policy(**changes), ENV)
    assert len(agreement.adapters) == 1
    assert agreement.adapters[0].startswith("image " + next(iter(changes)))
    assert np.array_equal(agreement.observation(shown(frames)).render("image"), frames[index])
    blind = agree(policy(frozenset({"state"}), **changes), ENV)
    assert blind.adapters == ()
    assert {row.verdict for row in blind.rows if row.field in changes} == {"not read"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_size": 224}, "--image-size 224"),
        ({"crop": 0.9}, "crop: policy 0.9, environment 1.0"),
        ({"camera": "on the ceiling"}, "camera: policy 'on the ceiling'"),
        ({"channels": "grey"}, "channels: policy 'grey'"),
        ({"state_source": "commanded"}, "state_source: policy 'commanded', environment 'measured'"),
        ({"state": "tcp position 3, quaternion xyzw 4 (any sign), opening fraction 1"}, "any sign"),
        ({"inputs": SEES | {"wrist_image"}}, "inputs: policy 'image, instruction, state, wrist_image'"),
        ({"horizon": 61}, "horizon: policy '61 steps', environment '60 steps'"),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_both_sides(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as refused:
        agree(policy(**changes), ENV)
    assert told in str(refused.value)


def test_compare_tells_it_without_refusing() -> None:
    rows = {row.field: row for row in compare(policy(rate=5.0, position_unit=0.1, channels="bgr"), ENV)}
    assert (rows["rate"].verdict, rows["position_unit"].verdict, rows["channels"].verdict) == (
        "refused",
        "adapted",
        "adapted",
    )
    assert rows["tcp"].verdict == "equal"


def test_a_wrist_camera_matters_to_who_reads_it() -> None:
    wrist = replace(ENV, offers=SHOWN | {"wrist_image"})
    agree(policy(wrist_camera="beside the table"), wrist)
    with pytest.raises(UserError, match="wrist_camera"):
        agree(policy(SEES | {"wrist_image"}, wrist_camera="beside the table"), wrist)


LAYOUTS = [
    StateLayout(rotation, sign, gripper)
    for rotation, form in FORMS.items()
    if form.size
    for sign in (SIGNS if rotation.startswith("quaternion") else [""])
    for gripper in GRIPPERS
]


def text(layout: StateLayout) -> str:
    sign = f" ({layout.sign})" if layout.sign else ""
    size, width = FORMS[layout.rotation].size, GRIPPERS[layout.gripper].size
    return f"tcp position 3, {layout.rotation} {size}{sign}, {layout.gripper} {width}"


@given(
    layout=st.sampled_from(LAYOUTS),
    vector=st.tuples(*[st.floats(-1.7, 1.7)] * 3),
    opening=st.floats(0, 1),
)
def test_every_known_layout_is_adapted_there_and_back(
    layout: StateLayout, vector: tuple[float, float, float], opening: float
) -> None:
    quaternion = np.asarray(wxyz_to_xyzw(from_axis_angle(np.array(vector))))
    quaternion *= np.sign(quaternion[np.argmax(np.abs(quaternion))])
    state = np.concatenate([[0.5, -0.1, 0.2], quaternion, [opening]]).astype(np.float32)[None]
    agreement = agree(policy(state=text(layout)), ENV)
    told = agreement.observation(shown(np.zeros((1, 256, 256, 3), np.uint8), state)).state
    assert told.shape == (1, layout.size)
    canonical = parse_layout(CANONICAL.state)
    assert canonical is not None
    back = convert_state(told, layout, canonical)
    assert np.allclose(back[0, [0, 1, 2, 7]], state[0, [0, 1, 2, 7]], atol=1e-5)
    meant = [to_matrix(row[[6, 3, 4, 5]].astype(np.float64)) for row in (back[0], state[0])]
    assert np.allclose(meant[0], meant[1], atol=1e-5), "the rotation itself is the same, whatever its sign"
    assert agreement.adapters == (
        () if text(layout) == CANONICAL.state else (f"state: {CANONICAL.state} to {text(layout)}",)
    )


@pytest.mark.parametrize(
    "unknown",
    [
        "joint angles 7, opening 1",
        "tcp position 3, quaternion xyzw 4, opening fraction 1",
        "tcp position 3, axis-angle 3 (w positive), opening fraction 1",
        "tcp position 3, axis-angle 4, opening fraction 1",
        "tcp position 3, euler zyx 3, opening fraction 1",
        "tcp position 3, axis-angle 3, opening inches 1",
    ],
)
def test_a_layout_that_does_not_say_all_is_not_known(unknown: str) -> None:
    assert parse_layout(unknown) is None


def test_the_grippers_numbers_are_what_they_are_called() -> None:
    half = np.array([0.5])
    written = {name: form.write(half)[0].tolist() for name, form in GRIPPERS.items()}
    assert written["opening m"] == [0.04]
    assert written["closed 0-255"] == [127.5]
    assert written["fingers m, second negative"] == [0.02, -0.02]
    for name, form in GRIPPERS.items():
        assert form.read(form.write(np.array([0.25])))[0] == pytest.approx(0.25), name

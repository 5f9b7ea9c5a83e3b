"""Conversions have inverses: what is declared, converted and written back is what was stored."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from datagen.canonical import action_from_canonical, action_to_canonical, state_from_canonical, state_to_canonical
from datagen.declaration import SHIPPED, DeclaredAction, DeclaredState, find_declaration
from datagen.frames import resize, to_canonical_frame
from datagen.resample import resample
from sim.errors import UserError
from sim.rotation_forms import FORMS
from sim.rotations import canonical_sign, from_axis_angle, multiply, wxyz_to_xyzw
from tests.foreign_data import motion

SEEDS = st.integers(0, 10_000)
TURNS = [name for name in FORMS if name != "none"]


def quaternions(seed, count=20):
    values = np.random.default_rng(seed).normal(size=(count, 4))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def same(a, b):
    return np.allclose(np.abs((a * b).sum(axis=-1)), 1, atol=1e-9)


@pytest.mark.parametrize("form", TURNS)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_every_rotation_form_reads_what_it_wrote(form, seed):
    turns = quaternions(seed)
    written = FORMS[form].write(turns)
    assert written.shape == (20, FORMS[form].size)
    assert same(FORMS[form].read(written), turns)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_rotation_forms_mean_what_scipy_means(seed):
    turns = quaternions(seed)
    theirs = Rotation.from_quat(turns[:, [1, 2, 3, 0]])
    matrix = theirs.as_matrix()
    assert np.allclose(FORMS["euler xyz extrinsic"].write(turns), theirs.as_euler("xyz"), atol=1e-7)
    assert np.allclose(FORMS["euler xyz intrinsic"].write(turns), theirs.as_euler("XYZ"), atol=1e-7)
    assert np.allclose(FORMS["axis-angle"].write(turns), theirs.as_rotvec(), atol=1e-7)
    assert np.allclose(FORMS["6d columns"].write(turns), np.concatenate([matrix[:, :, 0], matrix[:, :, 1]], axis=1))
    assert np.allclose(FORMS["6d rows"].write(turns), np.concatenate([matrix[:, 0], matrix[:, 1]], axis=1))


ACTIONS = st.builds(
    DeclaredAction,
    pose=st.sampled_from(["delta", "absolute"]),
    rotation=st.sampled_from(TURNS),
    gripper=st.sampled_from(["absolute", "relative"]),
    gripper_open=st.sampled_from([1.0, -1.0, 255.0]),
    gripper_closed=st.sampled_from([0.0, 0.5]),
    frame=st.sampled_from(["base", "tool"]),
    position_unit=st.sampled_from([1.0, 0.05, 0.001]),
    rotation_unit=st.sampled_from([1.0, 0.5, np.pi / 180]),
)
STATES = st.builds(
    DeclaredState,
    rotation=st.sampled_from(TURNS),
    gripper_open=st.sampled_from([1.0, 0.04, 0.0]),
    gripper_closed=st.sampled_from([-1.0, 255.0]),
    position_unit=st.sampled_from([1.0, 0.001]),
)


@settings(max_examples=120, deadline=None)
@given(
    action=ACTIONS,
    state=STATES,
    base=st.tuples(*[st.floats(-1, 1)] * 3),
    turn=st.floats(-3, 3),
    seed=st.integers(0, 50),
)
def test_states_and_actions_go_to_canonical_and_back(action, state, base, turn, seed):
    declared = replace(find_declaration("libero"), action=action, state=state, base_position=base, base_turn=turn)
    states, actions = motion(seed, steps=12)
    stored = state_from_canonical(states, declared)
    assert stored.shape[1] == 3 + FORMS[state.rotation].size + 1
    assert np.allclose(state_to_canonical(stored, declared), states, atol=1e-9)
    written = action_from_canonical(actions, states, declared)
    assert np.allclose(action_to_canonical(written, states, declared), actions, atol=1e-9)


def test_an_absolute_pose_is_the_change_to_it():
    declared = replace(find_declaration("droid"), base_turn=0.0)
    states, actions = motion(3, steps=5)
    written = action_from_canonical(actions, states, declared)
    assert np.allclose(written[:-1, :3], states[1:, :3])
    target = Rotation.from_euler("xyz", written[:-1, 3:6])
    assert np.allclose((target * Rotation.from_quat(states[1:, 3:7]).inv()).magnitude(), 0, atol=1e-7)


def test_a_change_in_the_hands_own_frame_is_turned_into_the_base():
    declared = replace(
        find_declaration("bridge"),
        action=replace(find_declaration("bridge").action, frame="tool", rotation="axis-angle"),
    )
    down = np.array([[0.0, 0, 0, 1, 0, 0, 0, 1.0]])  # Half a turn about x: the hand's z points down.
    told = np.array([[0.0, 0.01, 0.02, 0, 0, 0.1, 1.0]])
    assert np.allclose(action_to_canonical(told, down, declared), [[0, -0.01, -0.02, 0, 0, -0.1, 1]])


def test_relative_grippers_keep_what_was_last_said():
    declared = find_declaration("fractal")
    states = np.zeros((6, 8))
    states[:, 6], states[:, 7] = 1.0, 1.0
    said = np.zeros((6, 7))
    said[:, 6] = [0, 1, 0, 0, -1, 0]
    assert action_to_canonical(said, states, declared)[:, 6].tolist() == [1, 0, 0, 0, 1, 1]
    states[:, 7] = 0.0
    assert action_to_canonical(said, states, declared)[0, 6] == 0


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, rate=st.sampled_from([3.0, 5.0, 10.0, 15.0, 30.0, 50.0]), steps=st.integers(1, 60))
def test_another_rate_keeps_the_path_and_the_time(seed, rate, steps):
    states, actions = motion(seed, steps=steps, rate=rate)
    other = resample(states, actions, rate=rate, target=20.0)
    assert len(other.actions) == max(1, round(steps * 20 / rate))
    assert np.allclose(other.actions[:, :3].sum(axis=0), actions[:, :3].sum(axis=0))
    assert same(product(other.actions[:, 3:6]), product(actions[:, 3:6]))
    assert np.allclose(np.linalg.norm(other.states[:, 3:7], axis=1), 1)
    assert (np.diff(other.source) >= 0).all()
    assert other.source.max() < steps


def product(vectors):
    whole = np.array([1.0, 0, 0, 0])
    for turn in np.asarray(from_axis_angle(vectors)):
        whole = np.asarray(multiply(turn, whole))
    return whole


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, factor=st.integers(1, 6))
def test_to_a_multiple_of_the_rate_and_back_changes_nothing(seed, factor):
    states, actions = motion(seed, steps=17)
    finer = resample(states, actions, rate=20.0, target=20.0 * factor)
    assert (finer.source == np.arange(17).repeat(factor)).all()
    back = resample(finer.states, finer.actions, rate=20.0 * factor, target=20.0)
    assert np.allclose(back.actions, actions, atol=1e-12)
    assert np.allclose(back.states, states, atol=1e-12)


def test_between_two_steps_the_state_is_interpolated():
    states, actions = motion(0, steps=4)
    finer = resample(states, actions, rate=10.0, target=20.0)
    assert np.allclose(finer.states[1, :3], (states[0, :3] + states[1, :3]) / 2)
    half = multiply(from_axis_angle(actions[0, 3:6] / 2), np.roll(states[0, 3:7], 1))
    assert np.allclose(finer.states[1, 3:7], canonical_sign(wxyz_to_xyzw(np.asarray(half))))


def frame_declaration(**changes):
    return replace(find_declaration("bridge").frame, **changes)


def test_frames_are_put_upright_cut_square_and_resized():
    frame = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    declared = frame_declaration(height=6, width=10)
    middle = frame[:, 2:8]
    assert (to_canonical_frame(frame, declared, size=6) == middle).all()
    turned = replace(declared, flip=("rows", "columns"), channels="bgr")
    assert (to_canonical_frame(frame[::-1, ::-1, ::-1], turned, size=6) == middle).all()
    with pytest.raises(UserError, match="not square"):
        to_canonical_frame(frame, replace(declared, crop="none"), size=6)
    with pytest.raises(UserError, match=r"\(6, 10, 3\); declared are 10 rows of 6"):
        to_canonical_frame(frame, frame_declaration(height=10, width=6), size=6)


def test_frames_grow_by_linear_interpolation():
    ramp = np.repeat(np.arange(0, 40, 10, dtype=np.uint8)[None, :, None], 4, axis=0).repeat(3, axis=2)
    grown = resize(ramp, 8)[0, :, 0]
    assert grown.tolist() == [0, 3, 8, 13, 18, 23, 28, 30]
    assert (resize(np.full((4, 4, 3), 77, np.uint8), 9) == 77).all()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_declarations_name_the_source_of_their_facts(path):
    head, _, body = path.read_text().partition("label =")
    facts = re.findall(r"\[(\d)\]", head)
    assert facts
    assert set(facts) == set(re.findall(r"# .*?\[(\d)\]", body))
    assert find_declaration(path.stem).label

"""The engine contract, over every engine that is present."""

from __future__ import annotations

import numpy as np
import pytest

from sim.engine import ENGINES, make_engine
from sim.errors import UserError
from sim.rotations import conjugate, multiply, to_axis_angle
from sim.streams import episode_seed, generator
from tasks.catalogue import load_task

TASK = load_task("lift_cube")
NOMINAL = TASK.scene.nominal()


def values_of(index: int) -> dict:
    return NOMINAL | TASK.draw(episode_seed("train", 7, index), visual=False)


def actions_of(index: int, step: int) -> np.ndarray:
    stream = generator(index, "actions", step)
    return np.concatenate([stream.uniform(-0.04, 0.04, 3), stream.uniform(-0.2, 0.2, 3), [step % 20 < 10]])


def trajectory(engine_name: str, indices: list[int], *, steps: int, threads: int) -> dict[int, np.ndarray]:
    engine = make_engine(engine_name, TASK.scene, n=len(indices), threads=threads)
    engine.reset(np.arange(len(indices)), [values_of(i) for i in indices])
    rows = [engine.positions()]
    for step in range(steps):
        engine.step(np.array([actions_of(i, step) for i in indices]))
        rows.append(engine.positions())
    engine.close()
    return {index: np.array([row[k] for row in rows]) for k, index in enumerate(indices)}


@pytest.fixture(params=sorted(ENGINES))
def name(request) -> str:
    return request.param


def test_start_is_what_the_values_say(name):
    engine = make_engine(name, TASK.scene, n=3)
    chosen = [values_of(i) for i in range(3)]
    engine.reset(np.arange(3), chosen)
    state = engine.state()
    for k, values in enumerate(chosen):
        np.testing.assert_allclose(state.q[k], values["robot.q"], atol=1e-9)
        np.testing.assert_allclose(state.poses["cube"][k, :2], values["cube.position"], atol=1e-9)
        np.testing.assert_allclose(state.half_sizes["cube"][k], values["cube.half_size"], atol=1e-9)
        assert state.table[k] == pytest.approx(values["table.height"])
        assert state.poses["cube"][k, 2] == pytest.approx(values["table.height"] + values["cube.half_size"][2])
    assert not engine.diverged().any()
    engine.close()


@pytest.mark.parametrize("axis", range(6))
def test_each_action_axis_moves_the_tcp_its_own_way(name, axis):
    engine = make_engine(name, TASK.scene, n=2)
    engine.reset(np.arange(2), [NOMINAL] * 2)
    before = engine.state().tcp
    action = np.zeros((2, 7))
    action[:, 6] = 1.0
    amount = 0.02 if axis < 3 else 0.1
    action[0, axis], action[1, axis] = amount, -amount
    for _ in range(3):
        after = engine.step(action).tcp
    engine.close()
    linear = after[:, :3] - before[:, :3]
    angular = to_axis_angle(multiply(after[:, 3:], conjugate(before[:, 3:])))
    moved, other = (linear, angular) if axis < 3 else (angular, linear)
    k = axis % 3
    assert moved[0, k] > amount
    assert moved[1, k] < -amount
    rest = np.delete(moved, k, axis=1)
    assert np.abs(rest).max() < 0.25 * abs(moved[:, k]).min()
    assert np.abs(other).max() < (0.08 if axis < 3 else 0.01)


def test_gripper_opens_at_one_and_closes_at_zero(name):
    engine = make_engine(name, TASK.scene, n=1)
    action = np.zeros((1, 7))
    for _ in range(15):
        state = engine.step(action)
    assert state.opening[0] < 0.005
    action[:, 6] = 1.0
    for _ in range(15):
        state = engine.step(action)
    assert state.opening[0] > 0.075
    engine.close()


def test_every_size_of_cube_rests_on_the_table(name):
    """A cube larger than the compiled one must be felt at its own surface, not at the compiled one's."""
    sizes = [0.014, 0.02, 0.026]
    engine = make_engine(name, TASK.scene, n=3)
    engine.reset(np.arange(3), [NOMINAL | {"cube.half_size": (s, s, s)} for s in sizes])
    hold = np.zeros((3, 7))
    hold[:, 6] = 1.0
    for _ in range(20):
        state = engine.step(hold)
    np.testing.assert_allclose(state.poses["cube"][:, 2] - state.table, sizes, atol=1e-3)
    engine.close()


def test_closed_fingers_stop_at_the_surface_of_every_size_of_cube(name):
    sizes = np.array([0.014, 0.02, 0.026])
    engine = make_engine(name, TASK.scene, n=3)
    engine.reset(np.arange(3), [NOMINAL | {"cube.half_size": (s, s, s)} for s in sizes])
    tcp = engine.state().tcp[0, :3]
    under = {"cube.position": (tcp[0], tcp[1]), "cube.yaw": 0.0}
    engine.reset(np.arange(3), [NOMINAL | under | {"cube.half_size": (s, s, s)} for s in sizes])
    for step in range(40):
        state = engine.state()
        offset = state.poses["cube"][:, :3] - state.tcp[:, :3]
        close = np.full((3, 1), float(step < 25))
        engine.step(np.concatenate([np.clip(offset, -0.03, 0.03), np.zeros((3, 3)), close], axis=1))
    opening = engine.state().opening
    engine.close()
    np.testing.assert_allclose(opening, 2 * sizes, atol=2.5e-3)


def test_a_trajectory_does_not_depend_on_batch_order_or_threads(name):
    if not make_engine(name, TASK.scene, n=1).capabilities.deterministic:
        pytest.skip(f"{name} does not claim to be deterministic")
    whole = trajectory(name, list(range(24)), steps=30, threads=2)
    alone = trajectory(name, [5], steps=30, threads=1)
    shuffled = trajectory(name, [23, 5, 11, 2, 17, 8, 14], steps=30, threads=2)
    assert whole[5].tobytes() == alone[5].tobytes()
    for index, rows in shuffled.items():
        assert whole[index].tobytes() == rows.tobytes()


def test_a_reset_leaves_the_neighbours_alone_and_forgets_the_past(name):
    engine = make_engine(name, TASK.scene, n=4)
    engine.reset(np.arange(4), [values_of(i) for i in range(4)])
    for step in range(10):
        engine.step(np.array([actions_of(i, step) for i in range(4)]))
    before = engine.positions()
    engine.reset(np.array([2]), [values_of(9)])
    after = engine.positions()
    assert np.delete(before, 2, axis=0).tobytes() == np.delete(after, 2, axis=0).tobytes()
    for step in range(10):
        engine.step(np.array([actions_of(9, step)] * 4))
    fresh = trajectory(name, [9], steps=10, threads=1)[9]
    assert engine.positions()[2].tobytes() == fresh[-1].tobytes()
    engine.close()


def test_a_world_that_diverges_is_told_and_harms_no_neighbour(name):
    engine = make_engine(name, TASK.scene, n=3)
    broken = NOMINAL | {"robot.damping": float("nan")}
    engine.reset(np.arange(3), [values_of(0), broken, values_of(1)])
    for step in range(30):
        state = engine.step(np.array([actions_of(0, step), actions_of(3, step), actions_of(1, step)]))
    assert engine.diverged().tolist() == [False, True, False]
    assert all(np.isfinite(getattr(state, part)).all() for part in ("q", "qd", "tcp", "opening", "contact"))
    positions = engine.positions()
    assert positions[0].tobytes() == trajectory(name, [0], steps=30, threads=1)[0][-1].tobytes()
    engine.reset(np.array([1]), [values_of(4)])
    assert not engine.diverged().any()
    engine.close()


def test_unknown_engine_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"Did you mean 'mujoco'"):
        make_engine("mujocco", TASK.scene, n=1)


def test_twists_are_in_the_base_frame():
    """A spinning cube in free fall turns about the axis that the twist names, though its body frame is tilted."""
    engine = make_engine("mujoco", TASK.scene, n=1)
    row = engine._state[0]
    row[1 + 9 + 2] = 1.0
    row[1 + 9 + 3 : 1 + 9 + 7] = [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    row[1 + 16 + 9 + 5] = 4.0
    before = engine.state()
    hold = np.zeros((1, 7))
    after = engine.step(hold)
    engine.close()
    turn = to_axis_angle(multiply(after.poses["cube"][:, 3:], conjugate(before.poses["cube"][:, 3:])))[0]
    np.testing.assert_allclose(before.twists["cube"][0, 3:], [0.0, -4.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(turn / 0.05, before.twists["cube"][0, 3:], atol=1e-3)
    np.testing.assert_allclose(after.twists["cube"][0, :3], [0.0, 0.0, -9.81 * 0.05], atol=1e-2)

"""Physical knobs: their nominal values change nothing, and each of them does what it says."""

from __future__ import annotations

import copy

import mujoco
import numpy as np
import pytest

from sim.engine import make_engine
from sim.episodes import Resting
from sim.errors import UserError
from sim.mjcf import build_spec
from sim.model_values import ModelWriter
from sim.streams import episode_seed, generator
from tasks.catalogue import TASKS, load_task
from tasks.dynamics import DYNAMICS
from tasks.env import make_env
from tasks.noise import MAX_LATENCY, finger_speed, latency, toward
from tasks.randomization import draw_values

TASK = load_task("lift_cube-v1")
NOMINAL = TASK.scene.nominal()


def model_fields(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    names = [name for name in dir(model) if not name.startswith("_")]
    arrays = {name: getattr(model, name) for name in names if isinstance(getattr(model, name), np.ndarray)}
    return {name: np.array(array) for name, array in arrays.items()}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_nominal_values_leave_the_compiled_dynamics_as_they_are(name: str) -> None:
    scene = load_task(name).scene
    base = build_spec(scene).compile()
    written = copy.copy(base)
    ModelWriter(base, scene).write(written, scene.nominal())
    before, after = model_fields(base), model_fields(written)
    for field in ("actuator_gainprm", "actuator_biasprm", "geom_solref"):
        np.testing.assert_array_equal(after[field], before[field], err_msg=field)
    np.testing.assert_array_equal(after["dof_damping"][:9], before["dof_damping"][:9])
    table = base.geom("table").id
    np.testing.assert_array_equal(after["geom_friction"][table], before["geom_friction"][table])


def reached(values: dict[str, object], *, steps: int = 6) -> np.ndarray:
    """Return where the TCP gets, m, under the same actions in the nominal world and in one with `values`."""
    engine = make_engine("mujoco", TASK.scene, n=2, threads=1)
    engine.reset(np.arange(2), [NOMINAL, NOMINAL | values])
    action = np.zeros((2, 7))
    action[:, 0], action[:, 6] = 0.03, 1.0
    start = engine.state().tcp[:, 0]
    for _ in range(steps):
        state = engine.step(action)
    engine.close()
    return state.tcp[:, 0] - start


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ({"robot.stiffness": 0.5}, 0.3, 0.8),
        ({"robot.stiffness": 1.5}, 1.2, 1.7),
        ({"robot.joint_damping": 60.0}, 0.4, 0.9),
        ({"robot.damping": 2.0}, 0.4, 0.8),
    ],
)
def test_servos_and_joints_change_how_far_the_arm_gets(values: dict[str, object], low: float, high: float) -> None:
    nominal, changed = reached(values)
    assert low * nominal < changed < high * nominal


def dropped(values: dict[str, object]) -> tuple[float, float]:
    """Return the deepest overlap, m, and the highest bounce, m, of a cube that falls on the table from 5 cm."""
    engine = make_engine("mujoco", TASK.scene, n=1, threads=1)
    engine.reset(np.arange(1), [NOMINAL | values])
    engine._state[0, 1 + 9 + 2] += 0.05
    hold = np.zeros((1, 7))
    depths, heights = [], []
    for _ in range(20):
        state = engine.step(hold)
        depths.append(float(state.depth[0]))
        heights.append(float(state.poses["cube"][0, 2] - state.half_sizes["cube"][0, 2] - state.table[0]))
    engine.close()
    return max(depths), max(heights[3:])


def test_soft_contacts_give_way_and_undamped_ones_bounce() -> None:
    hard, soft = dropped({}), dropped({"contact.softness": 3.0})
    bouncy = dropped({"contact.damping": 0.1})
    assert soft[0] > 2 * hard[0]
    assert bouncy[1] > hard[1] + 0.005


def test_a_rough_table_holds_what_a_smooth_one_lets_slide() -> None:
    engine = make_engine("mujoco", TASK.scene, n=2, threads=1)
    smooth = NOMINAL | {"cube.friction": 0.2}
    engine.reset(np.arange(2), [smooth, smooth | {"table.friction": 1.2}])
    start = engine.state().poses["cube"][:, 0]
    engine._state[:, 1 + 16 + 9] = 0.5
    for _ in range(20):
        state = engine.step(np.zeros((2, 7)))
    engine.close()
    slid = state.poses["cube"][:, 0] - start
    assert slid[0] > 2.5 * slid[1] > 0


def test_a_late_action_is_executed_when_it_is_due() -> None:
    """A world with a latency of 2 does two steps later what the prompt one does at once."""
    env = make_env("lift_cube-v1", n=2, preset="none", threads=1)
    env.reset(np.arange(2), [1, 1])
    env._latency[1] = 2
    stream, sent = generator(4, "actions"), []
    executed: list[np.ndarray] = []
    inner = env.engine.step
    env.engine.step = lambda actions: executed.append(np.array(actions)) or inner(actions)
    for _ in range(6):
        sent.append(np.append(stream.uniform(-0.02, 0.02, 6), 1.0))
        env.step(np.array([sent[-1]] * 2))
    env.close()
    np.testing.assert_array_equal([row[0] for row in executed], sent)
    hold = np.append(np.zeros(6), 1.0)
    np.testing.assert_array_equal([row[1] for row in executed], [hold, hold, *sent[:4]])


@pytest.mark.parametrize("value", [-1, 0.5, MAX_LATENCY + 1, "late", (1.0,)])
def test_a_latency_is_a_whole_number_of_steps(value: object) -> None:
    with pytest.raises(UserError, match=r"action\.latency"):
        latency(value)  # type: ignore[arg-type]


def test_the_reusable_laws_draw_what_the_engine_takes() -> None:
    engine = make_engine("mujoco", TASK.scene, n=8, threads=1)
    drawn = [draw_values(DYNAMICS, NOMINAL, episode_seed("train", 0, i), names=("t",)) for i in range(8)]
    engine.reset(np.arange(8), [NOMINAL | values for values in drawn])
    for _ in range(10):
        engine.step(np.zeros((8, 7)))
    assert not engine.diverged().any()
    engine.close()
    late = {draw_values(DYNAMICS, NOMINAL, seed)["action.latency"] for seed in range(60)}
    assert late == {0.0, 1.0, 2.0}


def test_a_resting_world_stands_still_and_wakes_at_its_reset() -> None:
    env = make_env("lift_cube-v1", n=3, threads=1)
    assert isinstance(env, Resting)
    env.reset(np.arange(3), [1, 2, 3])
    move = np.tile([0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], (3, 1))
    env.step(move)
    env.rest(np.array([1]))
    before = env.engine.positions()
    env.step(move)
    after = env.engine.positions()
    assert before[1].tobytes() == after[1].tobytes()
    assert before[0].tobytes() != after[0].tobytes()
    env.reset(np.array([1]), [2])
    env.step(move)
    assert env.engine.positions()[1].tobytes() == before[1].tobytes(), "one step from the same start"
    env.close()


def test_slow_fingers_take_as_long_as_they_are_told_to_and_quick_ones_no_time():
    """From open to closed at a tenth of the way per step; the quick world's set point is the action, bit for bit."""
    env = make_env("lift_cube-v1", n=2, preset="none", threads=1)
    env.reset(np.arange(2), [1, 1])
    env._speed[1] = 0.1
    executed: list[np.ndarray] = []
    inner = env.engine.step
    env.engine.step = lambda actions: executed.append(np.array(actions)) or inner(actions)
    for gripper in [0.0] * 12 + [1.0] * 3:
        env.step(np.tile([0, 0, 0, 0, 0, 0, gripper], (2, 1)))
    openings = np.asarray(env.engine.state().opening)
    env.close()
    points = np.array([step[:, 6] for step in executed])
    np.testing.assert_array_equal(points[:, 0], [0.0] * 12 + [1.0] * 3)
    np.testing.assert_allclose(points[:, 1], [*np.arange(9, -1, -1) / 10, 0, 0, 0.1, 0.2, 0.3], atol=1e-12)
    assert openings[1] < 0.6 * openings[0], "only the quick fingers are open again"


def test_fingers_begin_where_the_episode_has_them_and_never_overshoot():
    fingers = np.array([0.35, 0.95, 0.5, 0.2])
    moved = toward(fingers, np.array([0.0, 2.0, 0.45, -1.0]), np.array([0.1, 0.1, 0.1, 1.0]))
    np.testing.assert_allclose(moved, [0.25, 1.0, 0.45, 0.0])
    env = make_env("lift_cube-v1", n=1, preset="physical[+grippers]", threads=1)
    drawn = next(env._drawn(seed) for seed in range(100) if env._drawn(seed)["gripper.speed"] < 1)
    seed = next(seed for seed in range(100) if env._drawn(seed) == drawn)
    env.reset(np.arange(1), [seed])
    assert env._fingers[0] == drawn["gripper.opening"]
    assert env._speed[0] == drawn["gripper.speed"]
    env.close()


@pytest.mark.parametrize("value", [0, -0.5, "slow", float("nan")])
def test_fingers_without_a_speed_are_refused(value):
    with pytest.raises(UserError, match=r"gripper\.speed = .* is not allowed"):
        finger_speed(value)

"""The engine contract: one suite over every engine of the registry; one that cannot run here is skipped, with why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from sim.engine import ENGINES, Capabilities, Engine, Keeping, make_engine
from sim.errors import UserError
from sim.isaacgym_python import VARIABLE
from sim.rotations import conjugate, multiply, to_axis_angle
from sim.state import State
from sim.streams import episode_seed, generator
from tasks.catalogue import load_task
from tests.isaacgym_support import double_interpreter

TASK = load_task("lift_cube-v1")
NOMINAL = TASK.scene.nominal()
OPEN, CLOSED = 1.0, 0.0


def as_numpy(value: Any) -> Any:
    """Return an array, or every array of a State, as numpy on the CPU."""
    if isinstance(value, State):
        return State(**{field.name: as_numpy(getattr(value, field.name)) for field in fields(State)})
    if isinstance(value, dict):
        return {name: as_numpy(part) for name, part in value.items()}
    return value if value is None else np.array(value.cpu() if hasattr(value, "cpu") else value)


class Worlds:
    """An engine whose states and positions are read as numpy."""

    def __init__(self, name: str, n: int, *, threads: int = 1) -> None:
        self.engine: Engine = make_engine(name, TASK.scene, n=n, threads=threads)
        if isinstance(self.engine, Keeping):
            self.engine.stock([values_of(index) for index in range(100)])

    def __enter__(self) -> Worlds:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    @property
    def state(self) -> State:
        return as_numpy(self.engine.state())

    @property
    def positions(self) -> np.ndarray:
        return as_numpy(self.engine.positions())

    @property
    def diverged(self) -> list[bool]:
        return as_numpy(self.engine.diverged()).tolist()

    def reset(self, values: list[dict[str, Any]], ids: list[int] | None = None) -> State:
        self.engine.reset(np.arange(len(values)) if ids is None else np.array(ids), values)
        return self.state

    def offered(self, world: int, values: dict[str, Any]) -> dict[str, Any]:
        """Return `values` with what this world has in the place of some of them."""
        return {**values, **self.engine.fixed_values(world, values)} if isinstance(self.engine, Keeping) else values

    def step(self, actions: np.ndarray, times: int = 1) -> State:
        for _ in range(times):
            state = self.engine.step(actions)
        return as_numpy(state)


def values_of(index: int) -> dict[str, Any]:
    return NOMINAL | TASK.draw(episode_seed("train", 7, index), visual=False)


def actions_of(index: int, step: int) -> np.ndarray:
    stream = generator(index, "actions", step)
    return np.concatenate([stream.uniform(-0.04, 0.04, 3), stream.uniform(-0.2, 0.2, 3), [step % 20 < 10]])


def hold(n: int, gripper: float = OPEN) -> np.ndarray:
    actions = np.zeros((n, 7))
    actions[:, 6] = gripper
    return actions


def trajectory(
    name: str, indices: list[int], *, steps: int, threads: int = 1, values: dict[int, dict[str, Any]] | None = None
) -> dict[int, np.ndarray]:
    """Return positions (steps + 1, nq) by index, of worlds that start and act as their index, or `values`, says."""
    with Worlds(name, len(indices), threads=threads) as worlds:
        worlds.reset([(values or {}).get(i, values_of(i)) for i in indices])
        rows = [worlds.positions]
        for step in range(steps):
            worlds.step(np.array([actions_of(i, step) for i in indices]))
            rows.append(worlds.positions)
    return {index: np.array([row[k] for row in rows]) for k, index in enumerate(indices)}


def tolerance(state: State) -> float:
    """Return how far a number of this engine may be off where only its precision counts."""
    return 1e-9 if state.q.dtype == np.float64 else 1e-5


@pytest.fixture(params=sorted(ENGINES), scope="module")
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the name of an engine that can run here; Isaac Gym's worker runs on the test double of Isaac Gym."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "isaacgym" and VARIABLE not in os.environ:
            patch.setenv(VARIABLE, str(double_interpreter(tmp_path_factory.mktemp("python"))))
        try:
            make_engine(request.param, TASK.scene, n=1).close()
        except UserError as missing:
            pytest.skip(str(missing))
        yield request.param


@pytest.fixture(scope="module")
def capabilities(name: str) -> Capabilities:
    with Worlds(name, 1) as worlds:
        return worlds.engine.capabilities


def test_an_engine_says_what_it_is(name: str, capabilities: Capabilities) -> None:
    assert capabilities.name == name
    assert capabilities.version
    assert capabilities.device in ("cpu", "cuda")
    assert capabilities.max_worlds >= 64


def test_no_worlds_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="n = 0"):
        make_engine(name, TASK.scene, n=0)


def test_every_array_has_a_row_per_world(name: str) -> None:
    with Worlds(name, 3) as worlds:
        assert worlds.engine.n == 3
        assert worlds.engine.scene == TASK.scene
        state = worlds.step(hold(3))
        widths = {"time": (), "q": (7,), "qd": (7,), "tcp": (7,), "opening": (), "table": (), "contact": ()}
        for part, width in widths.items():
            assert getattr(state, part).shape == (3, *width), part
            assert np.isfinite(getattr(state, part)).all(), part
        for group, width in (("poses", 7), ("twists", 6), ("half_sizes", 3)):
            assert {item: array.shape for item, array in getattr(state, group).items()} == {"cube": (3, width)}
        assert worlds.positions.shape[0] == 3
        np.testing.assert_allclose(worlds.positions[:, :7], state.q, atol=tolerance(state))


def test_a_control_step_takes_its_time(name: str) -> None:
    with Worlds(name, 2) as worlds:
        period = TASK.scene.substeps * TASK.scene.timestep
        np.testing.assert_allclose(worlds.state.time, 0.0)
        np.testing.assert_allclose(worlds.step(hold(2), times=4).time, 4 * period, rtol=1e-5)
        worlds.reset([NOMINAL], ids=[1])
        np.testing.assert_allclose(worlds.state.time, [4 * period, 0.0], rtol=1e-5)


def test_a_state_is_not_changed_by_later_steps(name: str) -> None:
    with Worlds(name, 2) as worlds:
        early = worlds.engine.step(hold(2))
        before = as_numpy(early)
        worlds.step(np.array([actions_of(i, 0) for i in range(2)]), times=3)
        for part in ("time", "q", "tcp", "opening"):
            np.testing.assert_array_equal(as_numpy(getattr(early, part)), getattr(before, part), err_msg=part)


def test_the_start_is_what_the_values_say(name: str) -> None:
    chosen = [values_of(i) for i in range(3)]
    with Worlds(name, 3) as worlds:
        state = worlds.reset(chosen)
        assert not any(worlds.diverged)
    near = tolerance(state)
    for k, values in enumerate(chosen):
        half, table = values["cube.half_size"], values["table.height"]
        np.testing.assert_allclose(state.q[k], values["robot.q"], atol=near)
        np.testing.assert_allclose(state.qd[k], 0.0, atol=near)
        np.testing.assert_allclose(state.poses["cube"][k, :2], values["cube.position"], atol=near)
        np.testing.assert_allclose(state.poses["cube"][k, 2], table + half[2], atol=near)
        np.testing.assert_allclose(state.half_sizes["cube"][k], half, atol=near)
        assert state.table[k] == pytest.approx(table, abs=near)
        yaw = to_axis_angle(state.poses["cube"][k, 3:])[2]
        assert np.cos(yaw - values["cube.yaw"]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("axis", range(6))
def test_each_action_axis_moves_the_tcp_its_own_way(name: str, axis: int) -> None:
    action = hold(2)
    amount = 0.02 if axis < 3 else 0.1
    action[0, axis], action[1, axis] = amount, -amount
    with Worlds(name, 2) as worlds:
        before = worlds.reset([NOMINAL] * 2).tcp
        after = worlds.step(action, times=3).tcp
    linear = after[:, :3] - before[:, :3]
    angular = to_axis_angle(multiply(after[:, 3:], conjugate(before[:, 3:])))
    moved, other = (linear, angular) if axis < 3 else (angular, linear)
    k = axis % 3
    assert moved[0, k] > amount
    assert moved[1, k] < -amount
    rest = np.delete(moved, k, axis=1)
    assert np.abs(rest).max() < 0.25 * abs(moved[:, k]).min()
    assert np.abs(other).max() < (0.08 if axis < 3 else 0.01)


def test_an_action_beyond_the_limits_is_the_limit(name: str) -> None:
    far, limit = hold(2), hold(2)
    far[:, 0], limit[:, 0] = 3.0, 0.05
    far[:, 5], limit[:, 5] = -9.0, -0.25
    with Worlds(name, 2) as worlds:
        worlds.reset([NOMINAL] * 2)
        a = worlds.step(far, times=2)
        worlds.reset([NOMINAL] * 2)
        b = worlds.step(limit, times=2)
    np.testing.assert_allclose(a.q, b.q, atol=tolerance(a))


def test_the_gripper_opens_at_one_and_closes_at_zero(name: str) -> None:
    with Worlds(name, 1) as worlds:
        assert worlds.step(hold(1, CLOSED), times=15).opening[0] < 0.005
        assert worlds.step(hold(1, OPEN), times=15).opening[0] > 0.075


def test_a_slow_arm_reaches_less(name: str) -> None:
    action = hold(2)
    action[:, 0] = 0.03
    with Worlds(name, 2) as worlds:
        before = worlds.reset([NOMINAL, NOMINAL | {"robot.response": 0.4}]).tcp[:, 0]
        moved = worlds.step(action, times=4).tcp[:, 0] - before
    assert 0.2 * moved[0] < moved[1] < 0.6 * moved[0]


def test_every_size_of_cube_rests_on_the_table(name: str) -> None:
    """A cube larger than the nominal one must be felt at its own surface, not at the nominal one's."""
    sizes = [0.014, 0.02, 0.026]
    with Worlds(name, 3) as worlds:
        worlds.reset([NOMINAL | {"cube.half_size": (s, s, s)} for s in sizes])
        state = worlds.step(hold(3), times=20)
    np.testing.assert_allclose(state.poses["cube"][:, 2] - state.table, sizes, atol=1e-3)
    np.testing.assert_allclose(state.twists["cube"], 0.0, atol=0.02)


def test_closed_fingers_stop_at_the_surface_of_every_size_of_cube_and_feel_it(name: str) -> None:
    sizes = np.array([0.014, 0.02, 0.026])
    cubes = [NOMINAL | {"cube.half_size": (s, s, s)} for s in sizes]
    with Worlds(name, 3) as worlds:
        tcp = worlds.reset(cubes).tcp[0, :3]
        under = {"cube.position": (float(tcp[0]), float(tcp[1])), "cube.yaw": 0.0}
        worlds.reset([cube | under for cube in cubes])
        for step in range(40):
            state = worlds.state
            offset = np.clip(state.poses["cube"][:, :3] - state.tcp[:, :3], -0.03, 0.03)
            close = np.full((3, 1), OPEN if step < 25 else CLOSED)
            worlds.step(np.concatenate([offset, np.zeros((3, 3)), close], axis=1))
        state = worlds.state
    np.testing.assert_allclose(state.opening, 2 * sizes, atol=2.5e-3)
    assert (state.contact > 5.0).all()


def test_a_reset_leaves_the_neighbours_alone(name: str) -> None:
    with Worlds(name, 4) as worlds:
        worlds.reset([values_of(i) for i in range(4)])
        for step in range(5):
            worlds.step(np.array([actions_of(i, step) for i in range(4)]))
        before = worlds.positions
        worlds.reset([worlds.offered(2, values_of(9))], ids=[2])
        after = worlds.positions
    assert np.delete(before, 2, axis=0).tobytes() == np.delete(after, 2, axis=0).tobytes()
    assert before[2].tobytes() != after[2].tobytes()


def test_a_reset_forgets_the_past(name: str, capabilities: Capabilities) -> None:
    with Worlds(name, 3) as worlds:
        worlds.reset([values_of(i) for i in range(3)])
        for step in range(8):
            worlds.step(np.array([actions_of(i, step) for i in range(3)]))
        values = worlds.offered(1, values_of(9))
        worlds.reset([values], ids=[1])
        for step in range(8):
            worlds.step(np.array([actions_of(9, step)] * 3))
        again = worlds.positions[1]
    fresh = trajectory(name, [9], steps=8, values={9: values})[9]
    np.testing.assert_allclose(again, fresh[-1], atol=1e-12 if capabilities.deterministic else 1e-3)


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_a_trajectory_does_not_depend_on_batch_order_or_threads(name: str, capabilities: Capabilities, n: int) -> None:
    if not capabilities.deterministic:
        pytest.skip(f"{name} does not claim to be deterministic")
    reference = trajectory(name, [5, 3], steps=20)
    order = generator(n, "order").permutation(64)[:n].tolist()
    indices = [5, *(i for i in order if i != 5)][:n]
    shuffled = [indices[k] for k in generator(n, "places").permutation(n)]
    for threads in (1, 2):
        found = trajectory(name, shuffled, steps=20, threads=threads)
        for index in {5, 3} & set(shuffled):
            assert found[index].tobytes() == reference[index].tobytes()


def test_a_world_that_diverges_is_told_and_harms_no_neighbour(name: str, capabilities: Capabilities) -> None:
    broken = NOMINAL | {"robot.damping": float("nan")}
    with Worlds(name, 3) as worlds:
        worlds.reset([values_of(0), broken, values_of(1)])
        for step in range(10):
            state = worlds.step(np.array([actions_of(k, step) for k in (0, 3, 1)]))
        assert worlds.diverged == [False, True, False]
        for part in ("q", "qd", "tcp", "opening", "contact"):
            assert np.isfinite(getattr(state, part)).all(), part
        alone = trajectory(name, [0], steps=10)[0][-1]
        np.testing.assert_allclose(worlds.positions[0], alone, atol=1e-12 if capabilities.deterministic else 1e-3)
        worlds.reset([worlds.offered(1, values_of(4))], ids=[1])
        assert worlds.diverged == [False, False, False]
        worlds.step(hold(3))
        assert worlds.diverged == [False, False, False]

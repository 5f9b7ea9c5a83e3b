"""Slots and fixtures: shapes and presence per world, things that stay, doors that turn, and how they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from sim.engine import make_engine
from sim.errors import UserError
from sim.fixtures import SHAPES, mirrored
from sim.renderer import Renderer
from sim.scene import Scene, Value
from sim.streams import episode_seed, generator
from tasks import bins, doors, open_door, place_in_bin
from tasks.catalogue import load_task
from tasks.env import make_env

SCENE = place_in_bin.TASK.scene
NOMINAL = SCENE.nominal()
HOLD = np.array([0.0] * 6 + [1.0])


def other(**values: Value) -> dict[str, Value]:
    return {f"other1.{name}": value for name, value in values.items()}


def held(values: list[dict[str, Value]], *, steps: int, threads: int = 1):
    """Return the engine after so many steps with a resting hand."""
    engine = make_engine("mujoco", SCENE, n=len(values), threads=threads)
    engine.reset(np.arange(len(values)), [NOMINAL | chosen for chosen in values])
    for _ in range(steps):
        engine.step(np.tile(HOLD, (len(values), 1)))
    return engine


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_and_size_rests_at_its_own_surface(shape: str) -> None:
    halves = [(h, h, h if shape == "sphere" else 1.2 * h) for h in (0.013, 0.02, 0.028)]
    engine = held([other(shape=shape, half_size=h, present=1.0, position=(0.5, -0.2)) for h in halves], steps=20)
    state = engine.state()
    engine.close()
    np.testing.assert_allclose(state.poses["other1"][:, 2] - state.table, [h[2] for h in halves], atol=1e-3)
    assert state.shapes["other1"].tolist() == [SHAPES.index(shape)] * 3


def test_an_absent_object_stays_where_it_waits_and_touches_nothing() -> None:
    engine = held([other(present=0.0), other(present=1.0, position=(0.5, -0.2))], steps=0)
    before = engine.positions()
    for _ in range(60):
        state = engine.step(np.tile(HOLD, (2, 1)))
    after = engine.positions()
    engine.close()
    assert state.present["other1"].tolist() == [False, True]
    assert before[0, 16:].tobytes() == after[0, 16:].tobytes()
    assert state.poses["other1"][0, 2] < -1 < state.poses["other1"][1, 2]


def test_an_absent_object_is_not_lost() -> None:
    env = make_env("lift_cube-v2", n=32)
    env.reset(np.arange(32), [episode_seed("train", 0, i) for i in range(32)])
    step = env.step(np.tile(HOLD, (32, 1)))
    absent = ~env.engine.state().present["other1"]
    env.close()
    assert absent.any()
    assert not step.terminated.any()


def test_a_slot_that_was_absent_can_come_back() -> None:
    engine = held([other(present=0.0)], steps=5)
    engine.reset(np.arange(1), [NOMINAL | other(present=1.0, position=(0.5, -0.2))])
    for _ in range(10):
        state = engine.step(HOLD[None])
    engine.close()
    assert state.poses["other1"][0, 2] - state.table[0] == pytest.approx(0.02, abs=1e-3)


def test_worlds_of_different_shapes_do_not_touch_each_other() -> None:
    """The same bytes for a world alone and among others, shapes drawn per world, hand moving."""

    def run(indices: list[int], threads: int) -> dict[int, bytes]:
        task = load_task("lift_cube-v2")
        engine = make_engine("mujoco", task.scene, n=len(indices), threads=threads)
        values = [task.scene.nominal() | task.draw(i, preset="physical", visual=False) for i in indices]
        engine.reset(np.arange(len(indices)), values)
        for step in range(25):
            engine.step(np.array([_action(i, step) for i in indices]))
        rows = {i: row.tobytes() for i, row in zip(indices, engine.positions(), strict=True)}
        engine.close()
        return rows

    whole, some = run(list(range(12)), 2), run([7, 3, 11], 1)
    assert all(whole[i] == row for i, row in some.items())


def _action(index: int, step: int) -> np.ndarray:
    stream = generator(index, "actions", step)
    return np.concatenate([stream.uniform(-0.04, 0.03, 3), stream.uniform(-0.1, 0.1, 3), [step % 20 < 10]])


def test_an_unknown_shape_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'cylinder'"):
        held([other(shape="cylindre")], steps=0)


def test_a_ball_dropped_over_the_bin_stays_inside() -> None:
    half = (0.02, 0.02, 0.02)
    values = {"bin.position": (0.5, -0.2), "bin.yaw": 0.4, "target.shape": "sphere", "target.half_size": half}
    engine = make_engine("mujoco", SCENE, n=1)
    engine.reset(np.arange(1), [NOMINAL | values])
    engine._state[0, 1 + 9 : 1 + 12] = 0.53, -0.22, 0.1
    for _ in range(60):
        state = engine.step(HOLD[None])
    engine.close()
    assert bins.inside(state).all()
    np.testing.assert_allclose(state.fixtures["bin"][0, :2], (0.5, -0.2))
    assert place_in_bin.success(state).all()


def pulled(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the door's angle (n,) after a scripted pull, and whether the task calls it open."""
    env = make_env("open_door-v1", n=n, preset="none")
    env.reset(np.arange(n), [0] * n)
    for step in range(env.spec.horizon):
        state = env.engine.state()
        way = doors.handle(state) - state.tcp[:, :3]
        beside = np.linalg.norm(way[:, :2], axis=1) > 0.012
        way[:, 2] += np.where(beside, 0.08, 0.0)
        action = np.tile(HOLD, (n, 1))
        action[:, :3] = np.clip(way, -0.03, 0.03)
        if step > 30:
            action[:, 6] = 0.0
        if step > 36:
            action[:, :3] = np.clip(doors.handle(state) - state.tcp[:, :3], -0.02, 0.02)
            action[:, 0] -= 0.02
        result = env.step(action)
    angle = env.engine.state().joints["door"]
    env.close()
    return angle, result.success


def test_a_hand_that_pulls_the_handle_opens_the_door() -> None:
    angle, success = pulled(1)
    assert angle[0] > open_door.OPEN
    assert success[0]


@pytest.mark.parametrize("door", doors.DOORS, ids=lambda door: door.fixture.name)
def test_the_handle_turns_with_the_door(door: doors.Door) -> None:
    """The task's own geometry agrees with the engine's: a turned door has its bar where `handle` says."""
    import mujoco

    from sim.mjcf import build_spec

    scene, name = open_door.TASK.scene, door.fixture.name
    engine = make_engine("mujoco", scene, n=1)
    there = {f"{other}.present": float(other == name) for other in open_door.NAMES}
    engine.reset(np.arange(1), [scene.nominal() | there | {f"{name}.yaw": 0.3, f"{name}.position": (0.6, 0.05)}])
    engine._state[0, 1 + engine._joints[name]] = 0.7
    state = engine.state()
    engine.close()
    model = build_spec(scene).compile()
    data = mujoco.MjData(model)
    body = model.body(name).id
    model.body_pos[body], model.body_quat[body] = state.fixtures[name][0, :3], state.fixtures[name][0, 3:]
    data.qpos[model.joint(name).qposadr[0]] = state.joints[name][0]
    mujoco.mj_kinematics(model, data)
    bar = data.geom(f"{name}_bar")
    np.testing.assert_allclose(doors.handle(state)[0, :2], bar.xpos[:2], atol=1e-9)
    np.testing.assert_allclose(doors.inward(doors.view(state))[0], bar.xmat.reshape(3, 3)[:, 0], atol=1e-9)
    assert open_door.success(state)[0]


@pytest.mark.parametrize("door", doors.DOORS, ids=lambda door: door.fixture.name)
def test_a_door_that_is_led_by_its_handle_comes_towards_the_robot(door: doors.Door) -> None:
    """Where it is put for an episode, opening brings the handle nearer to the plane that the robot stands on."""
    scene, name = open_door.TASK.scene, door.fixture.name
    seeds = (episode_seed("train", 2, i) for i in range(60))
    draws = (scene.nominal() | open_door.TASK.draw(seed, preset="physical", visual=False) for seed in seeds)
    values = next(draw for draw in draws if draw[f"{name}.present"] == 1.0)
    engine = make_engine("mujoco", scene, n=1)
    engine.reset(np.arange(1), [values])
    closed = doors.handle(engine.state())[0]
    engine._state[0, 1 + engine._joints[name]] = 0.4
    opened = doors.handle(engine.state())[0]
    engine.close()
    assert np.linalg.norm(opened[:2]) < np.linalg.norm(closed[:2]) - 0.02


def test_the_mirror_image_of_a_fixture_is_its_own_inverse() -> None:
    again = mirrored(mirrored(doors.TALL, "image"), doors.TALL.name)
    assert again == doors.TALL
    image = mirrored(doors.TALL, "image")
    assert {part.position[1] for part in image.parts} == {-part.position[1] for part in doors.TALL.parts}


def test_a_fixture_that_is_absent_touches_nothing_and_is_not_seen(renderer) -> None:
    held_still = {"bin.position": (0.5, -0.2), "target.position": (0.5, -0.2), "target.half_size": (0.02, 0.02, 0.02)}
    heights = []
    for present in (1.0, 0.0):
        engine = make_engine("mujoco", SCENE, n=1)
        engine.reset(np.arange(1), [NOMINAL | held_still | {"bin.present": present}])
        engine._state[0, 1 + 9 : 1 + 12] = 0.5, -0.2, 0.1
        for _ in range(40):
            state = engine.step(HOLD[None])
        engine.close()
        heights.append(float(state.poses["target"][0, 2] - state.table[0]))
    assert heights[0] > heights[1] + 0.003, "the bin's floor is above the table"
    assert state.fixtures["bin"][0, 2] < -2
    empty = frame(renderer, bin__present=0.0)
    assert (empty != frame(renderer)).any()
    assert np.array_equal(empty, frame(renderer, bin__present=0.0, bin__position=(0.6, 0.1)))


def test_what_scenes_did_not_always_have_leaves_old_digests_alone() -> None:
    assert load_task("lift_cube-v1").digest() == "48eed1e9c3e5e1fc"
    assert load_task("lift_cube-v2").digest() == "83168deea70ad431"


@pytest.fixture(scope="module")
def renderer():
    try:
        made = Renderer(SCENE)
    except UserError as error:
        pytest.skip(str(error))
    with made:
        yield made


def frame(renderer: Renderer, **changes: Value) -> np.ndarray:
    from sim.model_values import start_positions

    values = NOMINAL | {"other1.position": (0.55, -0.2)} | {k.replace("__", "."): v for k, v in changes.items()}
    return renderer.render(start_positions(SCENE, values), values)


def test_presence_shape_and_fixtures_show_and_are_forgotten(renderer) -> None:
    empty = frame(renderer)
    box = frame(renderer, other1__present=1.0)
    ball = frame(renderer, other1__present=1.0, other1__shape="sphere")
    moved = frame(renderer, bin__position=(0.5, 0.0), bin__yaw=0.5)
    painted = frame(renderer, bin__color="purple")
    larger = frame(renderer, bin__size=(0.11, 0.09, 0.04))
    assert all((picture != empty).any() for picture in (box, ball, moved, painted, larger))
    assert (box != ball).any()
    assert np.array_equal(frame(renderer), empty)


def opened_door(positions: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the positions with the first fixture's joint, behind which those of the others come, turned by 1 rad."""
    positions[-len(scene.fixtures)] = 1.0
    return positions


def test_a_fixture_is_an_instance_of_its_own_with_its_moving_part() -> None:
    from sim.annotations import AnnotatedRenderer
    from sim.instances import ROBOT, instance_names
    from sim.model_values import start_positions

    scene = open_door.TASK.scene
    try:
        made = AnnotatedRenderer(scene)
    except UserError as error:
        pytest.skip(str(error))
    values = scene.nominal()
    with made as renderer:
        renderer.render(start_positions(scene, values), values)
        closed = renderer.annotations().instances
        renderer.render(opened_door(start_positions(scene, values), scene), values)
        opened = renderer.annotations().instances
    door = instance_names(scene)["door"]
    assert ((opened == door) & (closed != door)).sum() > 30
    assert (closed == ROBOT).any()


def test_absent_objects_are_no_reason_to_reject_an_episode() -> None:
    """They wait 5 m away, outside of every workspace."""
    from datagen.filters import FilterConfig
    from datagen.measurements import measure
    from policies.expert import load_expert
    from sim.rollouts import rollout

    env = make_env("lift_cube-v2", n=4)
    episodes = list(rollout(env, load_expert("lift_cube-v2"), [episode_seed("train", 5, i) for i in range(4)]))
    env.close()
    assert any(episode.draw["other3.present"] == 0.0 for episode in episodes)
    workspace = FilterConfig().workspace
    assert all(measure(episode, workspace=workspace)["workspace_excess"] == 0.0 for episode in episodes)

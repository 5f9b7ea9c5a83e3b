"""What a variation changes in a host is what it says, and without one the host is what it was, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from bench.hosts.changes import applied
from bench.hosts.registry import OWN, host_knobs, make_host, make_world
from sim.errors import UserError
from sim.rotations import to_matrix
from tasks.catalogue import load_task
from tasks.randomization import knobs
from tests.host_support import ONE, mask, needs

STILL = np.array([0, 0, 0, 0, 0, 0, 1.0])
HOSTS = [("robosuite", "Lift"), ("maniskill", "PickCube-v1")]


@pytest.fixture(scope="module", params=HOSTS, ids=lambda pair: pair[0])
def world(request):
    needs(request.param[0])
    world = make_world(*request.param, image_size=128)
    world.host = request.param[0]
    yield world
    world.close()


def _begin(world, changes, *, seed=3):
    world.reset(seed, changes)
    return world.state()


def _settled(world, steps=8):
    for _ in range(steps):
        world.step(STILL)
    state = world.state()
    return state, float(state.poses["target"][0, 2] - state.half_sizes["target"][0, 2] - state.table[0])


def _yaw(state):
    turn = to_matrix(state.poses["target"][0, 3:])
    return float(np.arctan2(turn[1, 0], turn[0, 0]))


def _model_value(world, what):
    """Return mass and frictions as the simulator itself has them."""
    body = world._scene.bodies["target"]
    if world.host == "robosuite":
        model = world._env.sim.model
        pad = model.geom_name2id("gripper0_right_finger1_pad_collision")
        table = model.geom_name2id("table_collision")
        return {
            "target.mass": float(model.body_mass[body.body]),
            "target.friction": float(model.geom_friction[body.solid[0], 0]),
            "gripper.friction": float(model.geom_friction[pad, 0]),
            "table.friction": float(model.geom_friction[table, 0]),
        }[what]
    actors = {"target": body.actor, "gripper": world._scene.links["panda_leftfinger"]}
    actors["table"] = world._env.table_scene.table
    component = actors[what.split(".")[0]]._bodies[0]
    return (
        float(component.mass)
        if what == "target.mass"
        else component.collision_shapes[0].physical_material.static_friction
    )


def test_a_place_and_a_turn_are_where_they_are_put(world):
    _begin(world, {"target.position": ("=", (0.52, 0.11)), "target.yaw": ("=", 0.4)})
    state, under = _settled(world)
    np.testing.assert_allclose(state.poses["target"][0, :2], (0.52, 0.11), atol=2e-3)
    assert abs(_yaw(state) - 0.4) < 0.02
    assert abs(under) < 2e-3


def test_an_offset_counts_from_where_the_host_itself_puts_it(world):
    before = _begin(world, {}).poses["target"][0, :2]
    after = _begin(world, {"target.position": ("+", (0.03, -0.05))}).poses["target"][0, :2]
    np.testing.assert_allclose(after - before, (0.03, -0.05), atol=1e-6)
    assert world.changed()["target.position"] == pytest.approx(after, abs=1e-6)


@pytest.mark.parametrize("factor", [0.75, 1.3])
def test_an_object_of_another_size_rests_on_the_table_and_is_as_heavy(world, factor):
    nominal = _begin(world, {}).half_sizes["target"][0]
    mass = _model_value(world, "target.mass")
    _begin(world, {"target.half_size": ("*", factor)})
    state, under = _settled(world)
    np.testing.assert_allclose(state.half_sizes["target"][0], factor * nominal, atol=1e-5)
    assert abs(under) < 2e-3
    assert _model_value(world, "target.mass") == pytest.approx(mass, rel=1e-4)


def test_a_larger_object_stops_the_fingers_earlier(world):
    """The new size is solid: fingers that close around it stop at its faces."""
    half = _begin(world, {}).half_sizes["target"][0]
    for factor in (1.0, 1.3):
        world.reset(3, {"target.half_size": ("*", factor), "target.yaw": ("=", 0.0)})
        for _ in range(70):
            state = world.state()
            way = state.poses["target"][0, :3] - state.tcp[0, :3]
            near = np.linalg.norm(way) < 0.012
            way[2] += 0.07 * (np.hypot(*way[:2]) > 0.012)
            world.step(np.array([*np.clip(way, -0.05, 0.05), 0, 0, 0, 0.0 if near else 1.0]))
        # robosuite's hand starts a few hundredths of a radian turned about z.
        assert float(world.state().opening[0]) == pytest.approx(2 * factor * half[1], abs=0.004)


@pytest.mark.parametrize(("shape", "index"), [("cylinder", 1), ("sphere", 2)])
def test_an_object_of_another_shape_is_seen_and_named_so(world, shape, index):
    _begin(world, {"target.shape": ("=", shape)})
    state, under = _settled(world, 3)
    assert state.shapes["target"][0] == index
    assert abs(under) < 3e-3
    assert world.things()[0].kind == {"cylinder": "cylinder", "sphere": "ball"}[shape]


@pytest.mark.parametrize("path", ["target.mass", "target.friction", "gripper.friction", "table.friction"])
def test_mass_and_friction_are_multiples_of_the_host_s_own(world, path):
    world.reset(3)
    nominal = _model_value(world, path)
    world.reset(3, {path: ("*", 0.5)})
    assert _model_value(world, path) == pytest.approx(0.5 * nominal, rel=1e-4)
    assert world.changed()[path] == pytest.approx(0.5 * nominal, rel=1e-4)
    world.reset(3, {path: ("*", 0.5)})
    assert _model_value(world, path) == pytest.approx(0.5 * nominal, rel=1e-4), "it applied to what it had changed"
    world.reset(3)
    assert _model_value(world, path) == nominal


def test_the_arm_starts_turned_by_what_is_added(world):
    before = _begin(world, {}).q[0]
    delta = np.array([0.1, -0.1, 0.05, 0.1, -0.05, 0.1, 0.2])
    after = _begin(world, {"robot.q": ("+", tuple(delta))})
    np.testing.assert_allclose(after.q[0] - before, delta, atol=1e-5)
    world.step(STILL)
    assert np.abs(world.state().q[0] - after.q[0]).max() < 0.03, "the controller pulls the arm back to its usual start"


def test_other_objects_stand_clear_on_the_table_and_are_seen(world):
    assert set(_begin(world, {}).poses) == {"target"}
    _begin(world, {"others.count": ("=", 3.0)})
    state, _ = _settled(world)
    assert set(state.poses) == {"target", "other1", "other2", "other3"}
    places = np.array([pose[0, :2] for pose in state.poses.values()])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(4)
    assert gaps.min() > 0.05
    for name, pose in state.poses.items():
        assert abs(pose[0, 2] - state.half_sizes[name][0, 2] - state.table[0]) < 4e-3, name
    assert mask(world.image("image"), "yellow").sum() > 15
    assert [thing.name for thing in world.things()] == ["target", "other1", "other2", "other3"]


def test_colours_are_those_that_were_named(world):
    _begin(world, {})
    nominal = world.image("image")
    cube = mask(nominal, "red")
    assert cube.sum() > 15
    _begin(world, {"target.color": ("=", "blue")})
    frame = world.image("image")
    assert mask(frame, "blue")[cube].mean() > 0.8
    changed = np.abs(frame.astype(int) - nominal).max(axis=-1) > 20
    assert changed.sum() < 3 * cube.sum(), "more than the cube has another colour"
    assert world.things()[0].color == "blue"


def _pixels(world, changes):
    _begin(world, changes)
    return world.image("image").astype(float)


def test_the_table_takes_colour_and_texture(world):
    plain = _pixels(world, {"table.color": ("=", (0.2, 0.7, 0.3))})
    r, g, b = plain[90:120, 30:100].reshape(-1, 3).mean(axis=0)
    assert g > 1.5 * r
    assert g > 1.5 * b
    checked = _pixels(world, {"table.color": ("=", (0.2, 0.7, 0.3)), "table.texture": ("=", "checker")})
    assert checked[90:120, 30:100, 1].std() > 1.5 * plain[90:120, 30:100, 1].std()
    with pytest.raises(UserError, match="checker"):
        world.reset(3, {"table.texture": ("=", "cheker")})


def test_light_changes_brightness_colour_and_shading(world):
    nominal = _pixels(world, {})
    assert _pixels(world, {"light.diffuse": ("*", 0.5)}).mean() < 0.9 * nominal.mean()
    warm = _pixels(world, {"light.diffuse": ("*", (1.0, 0.7, 0.4))})
    assert warm[..., 2].mean() / warm[..., 0].mean() < 0.95 * nominal[..., 2].mean() / nominal[..., 0].mean()
    assert _pixels(world, {"light.ambient": ("*", 0.3)}).mean() < nominal.mean()
    assert np.abs(_pixels(world, {"light.direction": ("=", (0.8, -0.6, -0.4))}) - nominal).mean() > 2


def test_the_camera_moves_turns_and_zooms(world):
    def cube(changes):
        found = np.argwhere(mask(_pixels(world, changes).astype(int), "red"))
        return len(found), *found.mean(axis=0)

    area, row, column = cube({})
    (seen,) = world.pinhole("image").project(world.state().poses["target"][:, :3])
    np.testing.assert_allclose(128 * seen, (column, row), atol=5)
    assert cube({"camera.fovy": ("*", 0.7)})[0] > 1.5 * area
    left = {"camera.offset": ("+", (0.0, 0.06, 0.0)), "camera.target_offset": ("+", (0.0, 0.06, 0.0))}
    _, row, moved = cube(left)
    (seen,) = world.pinhole("image").project(world.state().poses["target"][:, :3])
    np.testing.assert_allclose(128 * seen, (moved, row), atol=5)
    assert moved < column - 5, "what stands still moves to the left of a camera that moves to +y, its right"
    assert np.abs(_pixels(world, {"camera.roll": ("=", 0.2)}) - _pixels(world, {})).mean() > 3


def test_after_any_change_the_host_is_what_it_was(world):
    def trace():
        world.reset(11)
        rows = []
        for k in range(10):
            world.step(np.array([0.02, -0.01, -0.03, 0.02, 0.0, 0.1, float(k < 5)]))
            state = world.state()
            rows.append(
                np.concatenate([state.q[0], state.qd[0], state.tcp[0], state.poses["target"][0], state.contact])
            )
        return np.array(rows).tobytes(), world.image("image").tobytes()

    before = trace()
    every = {
        "target.position": ("+", (0.02, 0.02)),
        "target.yaw": ("+", 0.3),
        "target.half_size": ("*", 1.2),
        "target.shape": ("=", "cylinder"),
        "target.mass": ("*", 2.0),
        "target.friction": ("*", 0.7),
        "target.color": ("=", "green"),
        "gripper.friction": ("*", 0.7),
        "table.friction": ("*", 0.7),
        "table.color": ("=", (0.1, 0.2, 0.3)),
        "table.texture": ("=", "wood"),
        "light.direction": ("=", (0.3, 0.3, -1.0)),
        "light.diffuse": ("*", 0.6),
        "light.ambient": ("*", 0.6),
        "camera.offset": ("+", (0.05, 0.05, 0.05)),
        "camera.target_offset": ("+", (0.01, 0.02, 0.0)),
        "camera.roll": ("+", 0.1),
        "camera.fovy": ("*", 1.1),
        "robot.q": ("+", 0.05),
        "others.count": ("=", 2.0),
    }
    assert set(every) == world.knobs
    for path in sorted(world.knobs - {"others.count", "target.half_size", "target.shape"}):
        world.reset(5, {path: every[path]})
        assert set(world.changed()) == {path}
    world.reset(5, every)
    assert set(world.changed()) == world.knobs
    world.step(STILL)
    assert trace() == before


def alike(frame: np.ndarray, other: np.ndarray) -> None:
    """Assert that two frames of one scene are equal but for a few pixels at edges, where lavapipe's rounding shows."""
    difference = np.abs(frame.astype(int) - other)
    assert difference.max() <= 8
    assert (difference > 0).mean() < 0.01


def test_a_second_world_is_the_same_and_stays_as_it_is_when_the_first_is_changed(world):
    pair = next(pair for pair in HOSTS if pair[0] == world.host)
    second = make_world(*pair, image_size=128)
    world.reset(9)
    second.reset(9)
    for k in range(4):
        action = np.array([0.03, 0.01 * k, -0.02, 0, 0, 0.1, 1.0])
        world.step(action)
        second.step(action)
    first, other = world.state(), second.state()
    np.testing.assert_array_equal(first.q, other.q)
    np.testing.assert_array_equal(first.poses["target"], other.poses["target"])
    shown = second.image("image")
    alike(shown, world.image("image"))
    world.reset(9, {"table.color": ("=", (0.1, 0.6, 0.2)), "target.color": ("=", "blue"), "light.diffuse": ("*", 0.3)})
    assert np.abs(world.image("image").astype(int) - shown).mean() > 10
    alike(second.image("image"), shown)
    second.close()


def test_laws_are_drawn_per_episode_and_recorded(world):
    pair = next(pair for pair in HOSTS if pair[0] == world.host)
    env = make_host(*pair, task=load_task("lift_cube-v2"), horizon=5, image_size=64)
    env.vary(knobs("target.color =choice(blue, yellow)", "target.mass *U(0.5, 2)"))
    drawn = []
    for seed in range(6):
        env.reset(ONE, [seed])
        drawn.append(env.draw(0))
        assert drawn[-1]["target.color"] in env.observe(ONE).instructions[0]
    assert {each["target.color"] for each in drawn} == {"blue", "yellow"}
    assert len({each["target.mass"] for each in drawn}) == 6
    env.reset(ONE, [2])
    assert env.draw(0) == drawn[2]
    env.vary(knobs("others.count =choice(0, 1, 2)"))
    counts = set()
    for seed in range(6):
        env.reset(ONE, [seed])
        state, draw = env.state(ONE), env.draw(0)
        assert set(state.poses) == {"target", "other1", "other2", "other3"}, "every world has the same names"
        there = [name for name in ("other1", "other2", "other3") if f"{name}.pose" in draw]
        assert len(there) == draw["others.count"] == sum(bool(state.present[f"other{k}"][0]) for k in (1, 2, 3))
        counts.add(len(there))
    assert len(counts) > 1
    env.vary(())
    env.reset(ONE, [2])
    assert set(env.state(ONE).poses) == {"target"}
    assert "target.mass" not in env.draw(0)
    assert "red" in env.observe(ONE).instructions[0]
    with pytest.raises(UserError, match=r"Did you mean 'target\.mass'"):
        env.vary(knobs("target.mas *U(0.5, 2)"))
    env.close()


def test_what_a_host_can_change_is_known_without_building_it():
    assert {"target.position", "camera.fovy", "others.count"} <= host_knobs("robosuite", "Lift")
    assert "target.half_size" not in host_knobs("robosuite", "PickPlaceCan"), "a mesh keeps its size"
    assert "door.position" in host_knobs("robosuite", "Door")


def test_our_own_engine_refuses_a_variation_here():
    task = load_task("lift_cube")
    with pytest.raises(UserError, match="presets"):
        make_host(OWN, task.id, task=task, variation=knobs("cube.mass *U(0.5, 2)"))


@pytest.mark.parametrize(
    ("path", "nominal", "change", "value"),
    [
        ("a.mass", 2.0, ("*", 0.5), 1.0),
        ("a.position", (1.0, 2.0), ("+", (0.5, -1.0)), (1.5, 1.0)),
        ("a.half_size", (1.0, 2.0, 3.0), ("*", 2.0), (2.0, 4.0, 6.0)),
        ("a.color", "red", ("=", "blue"), "blue"),
        ("a.color", "red", ("*", 0.5), (0.425, 0.04, 0.04)),
        ("light.diffuse", (0.7, 0.7, 0.7), ("=", (1.0, 0.5, 0.2)), (1.0, 0.5, 0.2)),
    ],
)
def test_a_change_applies_to_the_value_it_is_given(path, nominal, change, value):
    assert applied(path, nominal, change) == (value if isinstance(value, str) else pytest.approx(value))


@pytest.mark.parametrize(
    ("path", "nominal", "change"),
    [
        ("a.mass", 2.0, ("=", "heavy")),
        ("a.shape", "box", ("*", 2.0)),
        ("a.position", (1.0, 2.0), ("+", (1.0, 2.0, 3.0))),
        ("a.mass", 2.0, ("*", float("nan"))),
    ],
)
def test_a_change_that_does_not_fit_is_refused(path, nominal, change):
    with pytest.raises(UserError, match=path):
        applied(path, nominal, change)

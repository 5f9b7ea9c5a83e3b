"""Bins of a size per episode: where their walls are, where they are filled, and how place_in_bin draws them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sim import isaacgym_knobs
from sim.engine import make_engine
from sim.errors import UserError
from sim.fixtures import SHAPES, sized_parts
from sim.looks import look_at
from sim.mjcf import build_spec
from sim.model_values import ModelWriter
from sim.rotations import to_matrix
from sim.state import State
from sim.streams import episode_seed, generator
from tasks import bins
from tasks.catalogue import load_task
from tasks.place_in_bin import BIN

TASK = load_task("place_in_bin-v1")
NOMINAL = TASK.scene.nominal()
HOLD = np.array([[0.0] * 6 + [1.0]])
COMPARTMENT = {"center": (0.70, 0.505), "half": (0.09, 0.115)}
"""The can's compartment in robosuite's PickPlaceCan, base frame, m."""


def drawn(count: int, preset: str = "train") -> list[dict[str, Any]]:
    return [NOMINAL | TASK.draw(episode_seed("train", 9, i), preset=preset) for i in range(count)]


def walls(size: tuple[float, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the lowest and highest corner of every part of a bin, in its frame, as MuJoCo has it."""
    model = build_spec(TASK.scene).compile()
    ModelWriter(model, TASK.scene).write(model, NOMINAL | {"bin.size": size})
    found = {}
    for part in BIN.parts:
        geom = model.geom(f"bin_{part.name}")
        found[part.name] = geom.pos - geom.size, geom.pos + geom.size
        assert model.geom_rbound[geom.id] >= np.linalg.norm(geom.size) - 1e-12
        np.testing.assert_allclose(model.geom_aabb[geom.id], [0, 0, 0, *geom.size])
    return found


@pytest.mark.parametrize("size", [(0.045, 0.12, 0.01), (0.12, 0.05, 0.045), BIN.size])
def test_a_bin_s_walls_stand_around_its_inside(size):
    low, high = {}, {}
    for name, (first, last) in walls(size).items():
        low[name], high[name] = first, last
    x, y, half = size
    np.testing.assert_allclose([low["front"][0], -high["back"][0], low["left"][1], -high["right"][1]], [x, x, y, y])
    for name in ("front", "back", "left", "right"):
        np.testing.assert_allclose([low[name][2], high[name][2]], [0, 2 * half], atol=1e-12)
    np.testing.assert_allclose(high["floor"], [x + bins.WALL, y + bins.WALL, bins.WALL])
    np.testing.assert_allclose(high["front"][1], y + bins.WALL)
    np.testing.assert_allclose(high["left"][0], x)


@pytest.mark.parametrize("size", [(0.0, 0.1, 0.1), (0.1, 0.1), (0.1, math.nan, 0.1)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UserError, match=r"bin\.size"):
        sized_parts(BIN, size)


def test_worlds_have_bins_of_their_own_size_and_forget_them():
    engine = make_engine("mujoco", TASK.scene, n=2, threads=1)
    ball = {"target.shape": "sphere", "bin.position": (0.55, -0.2), "bin.yaw": 0.0}
    sizes = [(0.05, 0.05, 0.03), (0.11, 0.11, 0.03)]
    engine.reset(np.arange(2), [NOMINAL | ball | {"bin.size": size} for size in sizes])
    np.testing.assert_allclose(engine.state().half_sizes["bin"], sizes)
    engine._state[:, 1 + 9 : 1 + 12] = 0.55, -0.12, 0.1
    for _ in range(60):
        state = engine.step(np.tile(HOLD, (2, 1)))
    # The same fall ends beside the small bin and in the large one.
    assert bins.inside(state).tolist() == [False, True]
    engine.reset(np.arange(2), [NOMINAL, NOMINAL])
    np.testing.assert_allclose(engine.state().half_sizes["bin"], [BIN.size] * 2)
    engine.close()


def state_of(shape: str, half: tuple[float, ...], quaternion: np.ndarray) -> State:
    """Return a state whose target lies in the middle of a nominal bin."""
    one = np.zeros(1)
    frame = np.array([[0.58, 0.14, 0.0, 1.0, 0.0, 0.0, 0.0]])
    return State(
        time=one,
        q=np.zeros((1, 7)),
        qd=np.zeros((1, 7)),
        tcp=np.array([[0.5, 0.0, 0.2, 0.0, 1.0, 0.0, 0.0]]),
        opening=one + 0.08,
        poses={"target": np.array([[0.58, 0.14, 0.03, *quaternion]])},
        twists={"target": np.zeros((1, 6))},
        half_sizes={"target": np.array([half]), "bin": np.array([BIN.size])},
        table=one,
        contact=one,
        shapes={"target": np.array([SHAPES.index(shape)])},
        fixtures={"bin": frame},
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_lowest_point_is_that_of_the_shape(shape):
    """Against points on the surface, in any attitude."""
    stream = generator(4, "lowest", shape)
    for _ in range(20):
        quaternion = stream.standard_normal(4)
        quaternion /= np.linalg.norm(quaternion)
        radius, height = stream.uniform(0.01, 0.03), stream.uniform(0.02, 0.06)
        half = (radius, radius, radius if shape == "sphere" else height)
        turn = np.linspace(0, 2 * np.pi, 721)
        if shape == "box":
            points = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half
        elif shape == "cylinder":
            rings = [np.stack([np.cos(turn), np.sin(turn), 0 * turn + k], axis=1) for k in (-1, 1)]
            points = np.concatenate(rings) * half
        else:
            points = np.array([[0, 0, 0.0]])
        depth = -(points @ to_matrix(quaternion[None])[0].T)[:, 2].min() + (radius if shape == "sphere" else 0.0)
        assert bins.lowest(state_of(shape, half, quaternion))[0] == pytest.approx(depth, abs=2e-5)


def test_a_can_in_the_bin_counts_however_it_lies():
    upright, flat = np.array([1.0, 0, 0, 0]), np.array([math.sqrt(0.5), math.sqrt(0.5), 0, 0])
    for half_height, quaternion, counts in ((0.025, upright, True), (0.05, upright, True), (0.05, flat, True)):
        state = state_of("cylinder", (0.025, 0.025, half_height), quaternion)
        state.poses["target"][:, 2] = bins.WALL + (half_height if quaternion is upright else 0.025)
        assert bins.inside(state)[0] is np.bool_(counts)
        state.poses["target"][:, 2] += 0.03
        assert not bins.inside(state)[0]


def test_what_is_round_may_turn_where_it_lies_and_nothing_may_move():
    for shape, twist, rests in (
        ("cylinder", [0.01, 0, 0, 1.2, 0, 0], True),
        ("box", [0.01, 0, 0, 1.2, 0, 0], False),
        ("box", [0.01, 0, 0, 0.3, 0, 0], True),
        ("sphere", [0.04, 0, 0, 0, 0, 0], False),
    ):
        state = state_of(shape, (0.02, 0.02, 0.02), np.array([1.0, 0, 0, 0]))
        state.twists["target"][:] = twist
        assert bins.at_rest(state)[0] == rests, (shape, twist)


def test_a_tall_can_is_grasped_high_and_a_fallen_one_across():
    upright, flat = np.array([1.0, 0, 0, 0]), np.array([math.sqrt(0.5), math.sqrt(0.5), 0, 0])
    for half_height, quaternion, above in ((0.02, upright, 0.0), (0.05, upright, 0.05 - bins.PALM), (0.05, flat, 0.0)):
        state = state_of("cylinder", (0.02, 0.02, half_height), quaternion)
        np.testing.assert_allclose(bins.grip(state) - state.poses["target"][:, :3], [[0, 0, above]], atol=1e-12)
    np.testing.assert_allclose(bins.axis(state_of("cylinder", (0.02, 0.02, 0.05), flat)), [[0, -1, 0]], atol=1e-12)
    np.testing.assert_allclose(bins.axis(state_of("box", (0.02, 0.02, 0.02), flat)), [[0, 0, 1]])
    from tasks.scripted import load_script

    script = load_script("place_in_bin-v1")
    assert script is not None
    turns = []
    for quaternion in (upright, flat):
        state = state_of("cylinder", (0.02, 0.02, 0.05), quaternion)
        state.fixtures["bin"][:, :2] = 0.5, 0.5
        turns.append(script(state)[0, 5])
    assert abs(turns[0]) < 1e-9 < 0.1 < abs(turns[1]), "fingers go round the can, not along it"


def filled(center: tuple[float, float], yaw: float, room: tuple[float, float]) -> np.ndarray:
    facing = np.array([[math.cos(yaw), math.sin(yaw)]])
    return np.asarray(bins.spot(np.array([center]), facing, np.array([room])))[0]


def test_a_bin_is_filled_in_its_middle_or_where_the_arm_can_reach():
    np.testing.assert_allclose(filled((0.58, 0.14), 0.4, (0.05, 0.05)), (0.58, 0.14))
    room = tuple(half - 0.025 - 0.01 for half in COMPARTMENT["half"])
    place = filled(COMPARTMENT["center"], 0.0, room)
    assert math.hypot(*COMPARTMENT["center"]) > 0.86
    assert math.hypot(*place) < bins.REACH - 0.01
    assert all(abs(p - c) <= r + 1e-12 for p, c, r in zip(place, COMPARTMENT["center"], room, strict=True))
    for yaw in np.linspace(-3, 3, 13):
        local = filled((0.7, 0.5), yaw, (0.05, 0.08)) - (0.7, 0.5)
        c, s = math.cos(yaw), math.sin(yaw)
        assert abs(c * local[0] + s * local[1]) <= 0.05 + 1e-12
        assert abs(c * local[1] - s * local[0]) <= 0.08 + 1e-12


def test_what_is_drawn_is_clear_within_reach_and_in_the_picture():
    views = dict(TASK.scene.cameras)
    shown, aside, missed = set(), 0, 0
    for values in drawn(400):
        (x, y), size, yaw = values["bin.position"], values["bin.size"], values["bin.yaw"]
        target = values["target.position"]
        missed += math.dist((x, y), target) < math.hypot(*size[:2]) + 0.075
        room = (max(size[0] - 0.05, 0.0), max(size[1] - 0.05, 0.0))
        missed += math.hypot(*filled((x, y), yaw, room)) > bins.REACH + 1e-9
        aside += y > 0.3
        view = views[values["camera.view"]]
        shown.add(values["camera.view"])
        eye = np.array(view.position)
        seen = (np.array([[x, y, 0.0], [*target, 0.0]]) - eye) @ look_at(eye, np.array(view.target))
        image = seen[:, :2] / -seen[:, 2:] / math.tan(math.radians(view.fovy) / 2)
        assert (np.abs(image) < 0.97).all(), values["camera.view"]
    assert missed <= 8
    assert aside > 80
    assert shown == set(views)


def test_the_sizes_that_are_drawn_hold_the_host_s():
    """robosuite's compartment, wall and can lie inside of what is drawn, and so do its ways."""
    draws = drawn(600, preset="physical")
    sizes = np.array([values["bin.size"] for values in draws])
    assert (sizes.min(axis=0) < [0.05, 0.05, 0.012]).all()
    assert (sizes.max(axis=0) > [0.115, 0.115, 0.043]).all()
    cans = np.array([v["target.half_size"] for v in draws if v["target.shape"] == "cylinder"])
    assert cans[:, 2].max() > 0.05
    assert cans[:, 0].min() < 0.025 < cans[:, 0].max()
    assert min(values["target.mass"] for values in draws) < 0.016
    ways = [math.dist(values["bin.position"], values["target.position"]) for values in draws]
    assert max(ways) > 0.72


def test_no_start_touches_anything():
    engine = make_engine("mujoco", TASK.scene, n=128)
    engine.reset(np.arange(128), drawn(128, preset="physical"))
    state = engine.step(np.tile(HOLD, (128, 1)))
    engine.close()
    assert (state.contact == 0).all()
    assert not bins.inside(state).any()


def test_isaac_gym_builds_one_size_and_says_so():
    scene = TASK.scene
    assert isaacgym_knobs.nominal_sizes(scene) == {"bin.size": BIN.size}
    isaacgym_knobs.refuse_other_sizes(scene, NOMINAL)
    with pytest.raises(UserError, match=r"one size: bin\.size is .*fixed_values"):
        isaacgym_knobs.refuse_other_sizes(scene, NOMINAL | {"bin.size": (0.1, 0.1, 0.02)})


def test_mujoco_and_the_picture_agree_on_the_size():
    from sim.appearance import build_visual_spec
    from sim.looks import Look

    model = build_visual_spec(TASK.scene).compile()
    look, size = Look(TASK.scene, model), (0.1, 0.06, 0.04)
    look.apply({"bin.size": size})
    for name, (low, high) in walls(size).items():
        geom = model.geom(f"bin_{name}")
        np.testing.assert_allclose([geom.pos - geom.size, geom.pos + geom.size], [low, high])
    look.apply({})
    np.testing.assert_allclose(model.geom("bin_floor").size, BIN.parts[0].half_size)

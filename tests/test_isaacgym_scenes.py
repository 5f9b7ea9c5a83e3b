"""Every task of the catalogue in the Isaac Gym engine: bodies in stock, fixtures, joints, compared with MuJoCo."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim import isaacgym_border as border
from sim import isaacgym_knobs as knobs
from sim.errors import UserError
from sim.fixture_urdf import CARRIAGE, actors, fixture_urdf, groups, inertial, joint_inertia
from sim.fixtures import Articulation, Fixture, Part
from sim.isaacgym_engine import IsaacGymEngine
from sim.isaacgym_frames import FramePlan
from sim.isaacgym_python import VARIABLE
from sim.isaacgym_stock import SPREAD, Stock
from sim.isaacgym_worker.layout import CARRIAGE as WIRE_CARRIAGE
from sim.isaacgym_worker.stepping import resistance
from sim.mjcf import build_spec
from sim.mujoco_engine import MujocoEngine
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.doors import LOW, TALL
from tasks.env import TaskEnv
from tasks.place_in_bin import BIN
from tasks.things import HALF
from tests.isaacgym_support import double_interpreter

HOLD = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
DRAWER = Fixture(
    "drawer",
    parts=(
        Part("case", (0.1, 0.1, 0.05), (0.1, 0.0, 0.05)),
        Part("box", (0.08, 0.09, 0.04), (0.0, 0.0, 0.05), moves=True),
    ),
    position=(0.6, 0.0),
    joint=Articulation("slide", (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.15), mass=0.5, damping=2.0, resistance=0.4),
)


def drawn(name: str, count: int, *, first: int = 0, preset: str = "physical") -> list[dict]:
    task = load_task(name)
    seeds = [episode_seed("validation", 1, first + i) for i in range(count)]
    return [{**task.scene.nominal(), **task.draw(seed, preset=preset, visual=False)} for seed in seeds]


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory) -> str:
    return str(double_interpreter(tmp_path_factory.mktemp("python")))


def arrays_of(state) -> dict[str, np.ndarray]:
    """Return all that a state tells, by name."""
    plain = {name: getattr(state, name) for name in ("time", "q", "qd", "tcp", "opening", "table", "contact")}
    for group in ("poses", "twists", "half_sizes", "shapes", "present", "fixtures", "joints"):
        plain |= {f"{group}/{name}": array for name, array in getattr(state, group).items()}
    return plain


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_starts_where_mujoco_starts(name, interpreter, monkeypatch):
    """Two episodes one after another, each of other shapes and places, told by the draw alone."""
    monkeypatch.setenv(VARIABLE, interpreter)
    task, n = load_task(name), 3
    env = TaskEnv(task, IsaacGymEngine(task.scene, n=n), preset="physical")
    reference = MujocoEngine(task.scene, n=n, threads=1)
    try:
        for episode in range(2):
            env.reset(np.arange(n), [episode_seed("validation", 1, n * episode + world) for world in range(n)])
            values = [{**task.scene.nominal(), **env.draw(world)} for world in range(n)]
            reference.reset(np.arange(n), values)
            ours, theirs = arrays_of(env.engine.state()), arrays_of(reference.state())
            assert ours.keys() == theirs.keys()
            for part, wanted in theirs.items():
                np.testing.assert_allclose(ours[part], wanted, atol=1e-4, err_msg=part)
            np.testing.assert_allclose(env.engine.positions(), reference.positions(), atol=1e-4)
            step = env.step(np.tile(HOLD, (n, 1)))
            assert not step.errors
            check_physics(env.engine, reference.state())
    finally:
        env.close()
        reference.close()


def check_physics(engine: IsaacGymEngine, theirs) -> None:
    """Compare what the worker's physics itself says a step later, tables, fixtures and bodies, with MuJoCo's start.

    Of the double, bodies rest at their own height on the table: a wrong body or table would be seen.
    """
    ours, where = engine.state(), engine.where()
    for name, pose in theirs.poses.items():
        np.testing.assert_allclose(ours.poses[name], pose, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(where["tables"][:, 2] + 0.025, theirs.table, atol=1e-5)
    for k, actor in enumerate(border.stands(engine.scene)):
        np.testing.assert_allclose(where["stands"][:, k, :3], theirs.fixtures[actor.fixture.name][:, :3], atol=1e-5)
        turned = where["stands"][:, k, [6, 3, 4, 5]]
        np.testing.assert_allclose(turned, theirs.fixtures[actor.fixture.name][:, 3:], atol=1e-5)
    for k, fixture in enumerate(border.hinged(engine.scene)):
        pose = theirs.fixtures[fixture.name]
        np.testing.assert_allclose(where["carriages"][:, k, :3], pose[:, :3], atol=1e-4)
        np.testing.assert_allclose(where["carriages"][:, k, 3], 2 * np.arcsin(pose[:, 6]), atol=1e-4)
        np.testing.assert_allclose(ours.joints[fixture.name], theirs.joints[fixture.name], atol=1e-4)
    assert (where["waiting"] > 5.0).all()


def test_a_new_worker_has_what_the_dead_one_had(interpreter, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, interpreter)
    task, seeds = load_task("open_door-v1"), [episode_seed("validation", 1, i) for i in range(2)]
    env = TaskEnv(task, IsaacGymEngine(task.scene, n=2), preset="physical")
    env.reset(np.arange(2), seeds)
    before, drawn_before = arrays_of(env.engine.state()), env.draw(1)
    os.kill(env.engine._worker.pid, signal.SIGKILL)
    assert len(env.step(np.tile(HOLD, (2, 1))).errors) == 2
    assert "SIGKILL" in capsys.readouterr().err
    env.reset(np.arange(2), seeds)
    after = arrays_of(env.engine.state())
    for part, wanted in before.items():
        np.testing.assert_array_equal(after[part], wanted, err_msg=part)
    assert env.draw(1) == drawn_before
    assert not env.step(np.tile(HOLD, (2, 1))).errors
    where = env.engine.where()
    np.testing.assert_allclose(where["carriages"][:, 0, :2], before["fixtures/door"][:, :2], atol=1e-4)
    env.close()


class TestStock:
    """Bodies that cannot change, chosen so that nothing which a sentence says becomes wrong."""

    @pytest.mark.parametrize("name", [name for name in sorted(TASKS) if name != "lift_cube-v1"])
    def test_every_draw_finds_a_body_of_its_shape_and_size_word(self, name):
        task = load_task(name)
        stock = Stock(task.scene, drawn(name, 600), {}, n=5)
        for k, values in enumerate(drawn(name, 300, first=5000)):
            offered = stock.settled(k % 5, values)
            for path, half in offered.items():
                if not path.endswith("half_size"):
                    continue
                asked, slot = values[path], path.split(".")[0]
                np.testing.assert_allclose(np.log(half), np.log(asked), atol=2 * SPREAD.max())
                if values[f"{slot}.shape"] == "box" and asked[0] == asked[1]:
                    assert word(half[0]) == word(asked[0]), path
            taken = {**values, **offered}
            columns = [stock.column(item.name, k % 5, taken) for item in task.scene.objects]
            present = [values[f"{item.name}.present"] > 0.5 for item in task.scene.objects]
            assert [column >= 0 for column in columns] == present
            assert len({column for column in columns if column >= 0}) == sum(present)

    def test_first_episodes_keep_their_very_bodies(self):
        values = drawn("lift_cube-v2", 40)
        stock = Stock(load_task("lift_cube-v2").scene, values, dict(enumerate(values)), n=40)
        for world, chosen in enumerate(values):
            assert all(chosen[path] == kept for path, kept in stock.settled(world, chosen).items())

    def test_many_worlds_show_the_whole_variety(self):
        values = drawn("lift_cube-v1", 400)
        stock = Stock(load_task("lift_cube-v1").scene, values, {}, n=400)
        masses = stock.arrays(load_task("lift_cube-v1").scene, n=400)["mass"]
        assert masses.shape == (400, len(stock.columns))
        asked = np.array([each["cube.mass"] for each in values])
        np.testing.assert_allclose(np.quantile(masses, [0.1, 0.5, 0.9]), np.quantile(asked, [0.1, 0.5, 0.9]), rtol=0.1)

    def test_spare_slots_are_filled_alike(self):
        """What only one of them happened to get in the sample, the others can take too."""
        scene = load_task("lift_cube-v2").scene
        ball = {"other1.present": 1.0, "other1.shape": "sphere"}
        stock = Stock(scene, [scene.nominal() | ball], {}, n=2)
        other = scene.nominal() | {"other3.present": 1.0, "other3.shape": "sphere"}
        assert stock.column("other3", 1, other) != stock.column("other1", 1, scene.nominal() | ball)

    def test_a_law_that_needs_too_many_bodies_is_refused(self):
        scene = load_task("lift_cube-v1").scene
        sizes = np.geomspace(1e-4, 1e3, 80)
        wide = [scene.nominal() | {"cube.half_size": (float(s),) * 3} for s in sizes]
        with pytest.raises(UserError, match=r"need 80 bodies.*Narrow the law of cube\.half_size"):
            Stock(scene, wide, {}, n=1)

    def test_an_unknown_shape_is_refused_with_the_nearest_name(self):
        scene = load_task("lift_cube-v1").scene
        with pytest.raises(UserError, match="Did you mean 'cylinder'"):
            Stock(scene, [scene.nominal() | {"cube.shape": "cylindre"}], {}, n=1)


def word(half: float) -> str:
    """Return the size word whose range is nearest."""
    return min(HALF, key=lambda name: max(HALF[name][0] - half, half - HALF[name][1], 0.0))


class TestFixtures:
    """URDF and MJCF describe the same thing; MuJoCo reads both."""

    @pytest.mark.parametrize(("fixture", "angle"), [(LOW, 0.0), (LOW, 0.9), (TALL, 0.5), (DRAWER, 0.1), (BIN, 0.0)])
    def test_shapes_lie_where_mujocos_do(self, fixture, angle):
        scene = replace(load_task("open_door-v1").scene, fixtures=(fixture,), objects=())
        ours, place = build_spec(scene).compile(), (0.6, -0.1, scene.table_height, 0.4)
        expected = shapes(ours, {fixture.name: angle} if fixture.joint else {}, fixture=fixture.name, place=place)
        found = []
        for actor in actors(fixture):
            spec = mujoco.MjSpec.from_string(fixture_urdf(actor))
            spec.compiler.fusestatic = False
            joints = dict(zip((*CARRIAGE, "joint"), (*place, angle), strict=True)) if fixture.joint else {}
            found += shapes(spec.compile(), joints, place=None if fixture.joint else place)
        np.testing.assert_allclose(sorted(found), sorted(expected), atol=2e-6)

    @pytest.mark.parametrize("fixture", [LOW, TALL, DRAWER])
    def test_what_moves_is_as_heavy_as_in_mujoco(self, fixture):
        scene = replace(load_task("open_door-v1").scene, fixtures=(fixture,), objects=())
        model = build_spec(scene).compile()
        data, full = mujoco.MjData(model), np.zeros((model.nv, model.nv))
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, full, data.qM)
        dof = model.joint(fixture.name).dofadr[0]
        assert joint_inertia(fixture) == pytest.approx(full[dof, dof], rel=1e-6)
        moving = [group for group in groups(fixture) if group.link.startswith("moving")]
        assert sum(inertial(fixture, group)[0] for group in moving) == pytest.approx(fixture.joint.mass)

    def test_colours_of_parts_are_links(self):
        values = load_task("open_door-v1").scene.nominal() | {"door.color": "green", "door.shade": (1.0, 1.0, 1.0)}
        (look,) = FramePlan(load_task("open_door-v1").scene, 64).looks(np.array([0]), [values], "image")
        assert look["fixtures"]["door"]["moving"] == [0.1, 0.6, 0.15]
        assert look["fixtures"]["door"]["moving_1"] == [0.75, 0.75, 0.78]
        assert set(look["fixtures"]["door"]) == {"base", "moving", "moving_1"}

    @pytest.mark.parametrize(("damping", "dry"), [(0.1, 0.1), (0.25, 0.0), (0.0, 0.2)])
    def test_a_joint_slows_down_as_in_mujoco(self, damping, dry):
        scene = load_task("open_door-v1").scene
        model = build_spec(replace(scene, objects=())).compile()
        dof = model.joint("door").dofadr[0]
        model.dof_damping[dof], model.dof_frictionloss[dof] = damping, dry
        data = mujoco.MjData(model)
        data.qpos[:7] = scene.home
        data.ctrl[:7] = scene.home
        data.qvel[dof] = speed = 1.5
        inertia, dt, angle = joint_inertia(LOW), scene.timestep, 0.0
        for step in range(100):
            mujoco.mj_step(model, data)
            arguments = [np.array([x]) for x in (speed, damping, dry, inertia)]
            speed += float(resistance(np, *arguments, dt)[0]) * dt / inertia
            angle += speed * dt
            assert angle == pytest.approx(data.joint("door").qpos[0], abs=0.01), step
        assert speed >= 0

    def test_dry_friction_holds_against_less_and_yields_to_more(self):
        one, inertia, dt = np.ones(1), joint_inertia(LOW), 0.005

        def pushed(torque: float) -> float:
            speed = np.zeros(1)
            for _ in range(200):
                speed = speed + (resistance(np, speed, 0 * one, 0.1 * one, inertia * one, dt) + torque) * dt / inertia
            return float(speed[0])

        assert pushed(0.08) < 0.04
        assert pushed(0.2) > 5.0

    def test_both_sides_know_the_same_carriage(self):
        assert CARRIAGE == WIRE_CARRIAGE


def shapes(model, joints, *, fixture: str = "", place=None) -> list[tuple[float, ...]]:
    """Return size, centre and first axis of every shape, of one fixture of a scene or of a whole URDF."""
    data = mujoco.MjData(model)
    if fixture:
        body = model.body(fixture).id
        model.body_pos[body], model.body_quat[body] = place[:3], (np.cos(place[3] / 2), 0, 0, np.sin(place[3] / 2))
    for name, value in joints.items():
        data.joint(name).qpos[0] = value
    mujoco.mj_kinematics(model, data)
    rows = []
    for i in range(model.ngeom):
        if fixture and not model.geom(i).name.startswith(f"{fixture}_"):
            continue
        center, turn = data.geom_xpos[i], data.geom_xmat[i].reshape(3, 3)
        if place is not None and not fixture:
            c, s = np.cos(place[3]), np.sin(place[3])
            whole = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            center, turn = whole @ center + place[:3], whole @ turn
        rows.append((*model.geom_size[i], *np.round(center, 6), *np.round(turn[:, 2], 6)))
    return rows


def test_every_knob_of_every_task_is_set_or_refused_in_words():
    """Nothing that a preset turns is ignored: it is set, taken from the stock, or no matter of physics."""
    for name in TASKS:
        task = load_task(name)
        for values in drawn(name, 10):
            knobs.refuse_what_cannot_vary(task.scene, values)
        unknown = knobs.unknown_paths(task.scene)
        assert set(unknown) == {"contact.softness", "contact.damping"}

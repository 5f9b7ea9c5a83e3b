"""Conversions between our conventions and Isaac Gym's, and the URDF, compared with the MuJoCo model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from sim import isaacgym_border as border
from sim import isaacgym_knobs as knobs
from sim import panda
from sim.controller import finger_targets
from sim.errors import UserError
from sim.isaacgym_frames import SAME_FOR_ALL, FramePlan, wrist_rotation
from sim.isaacgym_mirror import Mirror
from sim.isaacgym_worker.layout import DOFS
from sim.mjcf import build_spec
from sim.model_values import start_positions
from sim.mujoco_engine import MujocoEngine
from sim.panda_urdf import panda_urdf
from sim.rotations import to_matrix
from sim.scene import Camera, Scene
from sim.streams import episode_seed, generator
from tasks.catalogue import load_task

TASK = load_task("lift_cube")
NOMINAL = TASK.scene.nominal()


def drawn(count: int) -> list[dict]:
    return [NOMINAL | TASK.draw(episode_seed("train", 3, i), visual=False) for i in range(count)]


def test_root_states_and_back():
    positions = np.stack([start_positions(TASK.scene, values) for values in drawn(6)])
    roots = border.roots_from_positions(positions, 1)
    assert roots.shape == (6, 1, 13)
    assert roots.dtype == np.float32
    np.testing.assert_allclose(roots[:, 0, 6], positions[:, 12], atol=1e-6)  # w is last there, first here.
    np.testing.assert_allclose(border.poses_from_roots(roots)[:, 0], positions[:, 9:16], atol=1e-6)
    assert not border.twists_from_roots(roots).any()


def test_twists_keep_linear_before_angular():
    roots = np.zeros((1, 1, 13))
    roots[0, 0, 7:] = [1, 2, 3, 4, 5, 6]
    assert border.twists_from_roots(roots)[0, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_gripper_targets_are_half_the_opening_for_each_finger():
    targets = finger_targets(np.array([[1.0], [0.0], [0.25]]))
    np.testing.assert_allclose(targets, [[0.04, 0.04], [0.0, 0.0], [0.01, 0.01]])
    joints = np.concatenate([np.zeros((3, 7)), targets], axis=1)
    np.testing.assert_allclose(border.opening_from_joints(joints), [0.08, 0.0, 0.02])


def test_servos_and_joint_order_are_those_of_the_mujoco_model():
    model = build_spec(TASK.scene).compile()
    servos = border.servos()
    assert [model.joint(i).name for i in range(len(DOFS))] == list(DOFS)
    np.testing.assert_allclose(servos["stiffness"], model.actuator_gainprm[:, 0])
    np.testing.assert_allclose(servos["damping"], -model.actuator_biasprm[:, 2])
    np.testing.assert_allclose(servos["effort"], model.actuator_forcerange[:, 1])
    np.testing.assert_allclose(servos["armature"], model.dof_armature[: len(DOFS)])
    nominal = border.servo_gains(NOMINAL)
    np.testing.assert_allclose(nominal, [servos["stiffness"], servos["damping"]], rtol=1e-6)
    drawn_gains = {"robot.damping": 2.0, "robot.stiffness": 1.5, "robot.joint_damping": 0.5}
    stiffness, damping = border.servo_gains(NOMINAL | drawn_gains)
    np.testing.assert_allclose(stiffness[:7], 1.5 * nominal[0, :7], rtol=1e-6)
    np.testing.assert_allclose(damping[:7], 2 * nominal[1, :7] + 0.5, rtol=1e-6)
    np.testing.assert_array_equal([stiffness[7:], damping[7:]], nominal[:, 7:])


@pytest.mark.parametrize(("own", "gripper"), [(1.0, 1.5), (0.5, 0.9), (1.2, 2.1), (0.1, 1.0)])
def test_the_mean_of_two_frictions_is_mujocos_coefficient(own, gripper):
    values = NOMINAL | {"cube.friction": own, "gripper.friction": gripper}
    pads, table, fixtures, cube = border.frictions(TASK.scene, values)
    assert (pads + cube) / 2 == pytest.approx(gripper, abs=0.01)
    assert (table + cube) / 2 == pytest.approx(max(own, 0.3), abs=0.01)
    assert (fixtures + cube) / 2 == pytest.approx(max(own, 0.5), abs=0.01)


def test_frictions_are_set_for_the_objects_that_are_there():
    scene = load_task("lift_cube-v2").scene
    alone = scene.nominal() | {"target.friction": 0.6, "other1.friction": 1.1}
    pads = border.frictions(scene, alone)[0]
    assert (pads + 0.6) / 2 == pytest.approx(1.5, abs=0.01)
    both = border.frictions(scene, alone | {"other1.present": 1.0})[0]
    assert (both + (0.6 + 1.1) / 2) / 2 == pytest.approx(1.5, abs=0.01)


def test_frictions_make_few_materials():
    values = [border.frictions(TASK.scene, each) for each in drawn(400)]
    assert len(np.unique(np.round(np.concatenate(values), 4))) < 400
    assert np.concatenate(values).min() >= 0


@pytest.mark.parametrize(("yaw", "turned"), [(0.3, 0.3), (-3.0, -3.0), (4.0, 4.0 - 2 * np.pi), (-9.5, 4 * np.pi - 9.5)])
def test_a_carriage_turns_less_than_a_full_turn(yaw, turned):
    scene = load_task("open_door-v1").scene
    scene = replace(scene, fixtures=scene.fixtures[:1])
    ((x, y, z, angle),) = border.carriages(scene, scene.nominal() | {"door.yaw": yaw, "table.height": -0.1})
    assert (x, y, z) == pytest.approx((0.62, 0.0, -0.1), abs=1e-6)
    assert angle == pytest.approx(turned, abs=1e-5)


def test_no_object_no_trouble():
    assert border.frictions(Scene(objects=(), cameras=TASK.scene.cameras), NOMINAL).shape == (3,)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    spec = mujoco.MjSpec.from_string(panda_urdf())
    spec.compiler.fusestatic = False
    return spec.compile()


class TestUrdf:
    """MuJoCo reads the URDF too, so that it can be compared joint by joint."""

    def test_joints_limits_and_masses(self, model):
        ours = build_spec(TASK.scene).compile()
        names = {model.joint(i).name for i in range(model.njnt)}
        assert names == set(DOFS)
        for name in DOFS:
            np.testing.assert_allclose(model.joint(name).range, ours.joint(name).range, atol=1e-6)
        for link in [*panda.LINKS, SimpleNamespace(name="hand", mass=0.73, center=(0, 0, 0.03))]:
            assert model.body(link.name).mass[0] == pytest.approx(link.mass)
            np.testing.assert_allclose(model.body(link.name).ipos, link.center, atol=1e-9)
        fingers = sum(model.body(f"left_{part}").mass[0] for part in ("finger", "pad"))
        assert fingers == pytest.approx(ours.body("left_finger").mass[0])

    def test_forward_kinematics(self, model):
        data = mujoco.MjData(model)
        q = generator(0, "urdf").uniform(panda.LOW, panda.HIGH, (20, 7))
        wanted = panda.forward(q)
        for k in range(20):
            for i in range(7):
                data.joint(f"joint{i + 1}").qpos[0] = q[k, i]
            mujoco.mj_kinematics(model, data)
            rotation = data.body("hand").xmat.reshape(3, 3)
            tcp = data.body("hand").xpos + 0.1034 * rotation[:, 2]
            np.testing.assert_allclose(tcp, wanted.position[k], atol=1e-7)
            np.testing.assert_allclose(rotation, wanted.rotation[k], atol=1e-7)

    @pytest.mark.parametrize("opening", [0.0, 0.02, 0.04])
    def test_collision_boxes_lie_where_mujocos_do(self, model, opening):
        ours = build_spec(TASK.scene).compile()
        places = []
        for each in (model, ours):
            data = mujoco.MjData(each)
            for name in ("left_finger", "right_finger"):
                data.joint(name).qpos[0] = opening
            mujoco.mj_kinematics(each, data)
            bodies = ("hand", "left_finger", "right_finger", "left_pad", "right_pad")
            chosen = [i for i in range(each.ngeom) if each.body(each.geom_bodyid[i]).name in bodies]
            rows = [(*np.round(each.geom_size[i], 6), *np.round(data.geom_xpos[i], 6)) for i in chosen]
            places.append(sorted(rows))
        np.testing.assert_allclose(*places, atol=2e-6)

    def test_meshes_are_named_where_there_are_some(self):
        text = panda_urdf({"hand": ["hand_light.obj"], "right_finger": ["right_finger_dark.obj"]})
        assert text.count("<mesh") == 2
        assert 'filename="right_finger_dark.obj"' in text


class TestMirror:
    """What the client computes is what the MuJoCo engine computes of the same numbers."""

    def test_the_nominal_start_is_mujocos(self):
        ours, theirs = Mirror(TASK.scene, 2), MujocoEngine(TASK.scene, n=2, threads=1)
        mine, reference = ours.state(), theirs.state()
        for name in ("time", "q", "qd", "tcp", "opening", "table", "contact"):
            np.testing.assert_allclose(getattr(mine, name), getattr(reference, name), atol=1e-6, err_msg=name)
        np.testing.assert_allclose(mine.poses["cube"], reference.poses["cube"], atol=1e-6)
        np.testing.assert_allclose(mine.half_sizes["cube"], reference.half_sizes["cube"])
        np.testing.assert_allclose(ours.positions(), theirs.positions(), atol=1e-6)
        theirs.close()

    def test_targets_are_those_of_the_shared_controller(self):
        ours, theirs = Mirror(TASK.scene, 2), MujocoEngine(TASK.scene, n=2, threads=1)
        actions = generator(1, "actions").uniform(-0.05, 0.05, (2, 7))
        actions[:, 6] = [0.3, 1.0]
        theirs.step(actions)
        np.testing.assert_allclose(ours.targets(actions), theirs._controls[:, 0], atol=1e-6)
        theirs.close()

    def test_numbers_that_are_not_finite_are_a_divergence(self):
        mirror = Mirror(TASK.scene, 3)
        memory = {"q": np.zeros((3, 9)), "qd": np.zeros((3, 9)), "roots": np.zeros((3, 1, 13)), "contact": np.zeros(3)}
        memory["hinges"] = np.zeros((3, 0))
        memory["roots"][:, :, 6] = 1.0
        memory["qd"][1, 4] = np.nan
        before = mirror.state()
        mirror.read_step(memory)
        assert mirror.diverged.tolist() == [False, True, False]
        after = mirror.state()
        np.testing.assert_array_equal(after.q[1], before.q[1])
        assert np.isfinite(after.qd).all()
        assert after.time.tolist() == [0.05, 0.05, 0.05]
        mirror.begin(np.array([1]), [NOMINAL])
        assert not mirror.diverged.any()


class TestRefusals:
    """A knob that the engine does not know is refused where it is turned, and nowhere else."""

    @dataclass(frozen=True)
    class Softer(Scene):
        """A scene with parameters of other engines."""

        def nominal(self):
            return super().nominal() | {"contact.softness": 1.0, "table.friction": 0.3}

    @pytest.fixture
    def scene(self):
        return self.Softer(objects=TASK.scene.objects, cameras=TASK.scene.cameras)

    def test_nominal_passes(self, scene):
        knobs.refuse_what_cannot_vary(scene, scene.nominal())

    def test_all_that_lift_cube_draws_can_be_set(self):
        for i in range(20):
            knobs.refuse_what_cannot_vary(TASK.scene, NOMINAL | TASK.draw(episode_seed("train", 0, i)))

    def test_a_known_knob_passes(self, scene):
        knobs.refuse_what_cannot_vary(scene, scene.nominal() | {"table.friction": 0.5})

    def test_an_unknown_knob_is_refused_by_its_path(self, scene):
        with pytest.raises(UserError, match=r"cannot vary contact\.softness: it is 1\.0 here, and 2\.0 was asked"):
            knobs.refuse_what_cannot_vary(scene, scene.nominal() | {"contact.softness": 2.0})


def test_what_is_not_finite_is_named():
    values = NOMINAL | {"cube.mass": float("nan"), "robot.q": (0.0,) * 6 + (float("inf"),), "image.blur": float("nan")}
    assert set(knobs.not_finite(TASK.scene, values)) == {"cube.mass", "robot.q"}
    assert knobs.not_finite(TASK.scene, NOMINAL) == []


class TestFrames:
    """What the cameras are told."""

    def test_the_wrist_camera_looks_along_the_hand_with_its_x_up(self):
        rotation = wrist_rotation()
        np.testing.assert_allclose(rotation @ [1, 0, 0], [0, 0, 1])  # Isaac Gym's cameras look along x,
        np.testing.assert_allclose(rotation @ [0, 0, 1], [1, 0, 0])  # their z is up.
        assert np.linalg.det(rotation) == pytest.approx(1.0)

    def test_the_quaternion_of_the_wrist_is_xyzw(self, tmp_path):
        fields = FramePlan(TASK.scene, 64).fields(tmp_path, 2)
        x, y, z, w = fields["frames"]["wrist"]["quaternion"]
        np.testing.assert_allclose(to_matrix(np.array([[w, x, y, z]]))[0], wrist_rotation(), atol=1e-9)
        assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in fields["frames"]["textures"].values())

    def test_a_look_stands_on_the_table(self):
        plan = FramePlan(TASK.scene, 64)
        values = NOMINAL | {"table.height": 0.1, "camera.offset": (0.01, 0.0, 0.0), "cube.color": "blue"}
        (look,) = plan.looks(np.array([4]), [values], "image")
        view = dict(TASK.scene.cameras)[NOMINAL["camera.view"]]
        np.testing.assert_allclose(look["position"], np.add(view.position, (0.01, 0, 0.1)))
        assert look["world"] == 4
        assert look["colors"]["cube"] == [0.1, 0.2, 0.8]

    @pytest.mark.parametrize("path", SAME_FOR_ALL)
    def test_what_cannot_vary_is_refused_by_its_path(self, path):
        changed = tuple(np.add(NOMINAL[path], 0.1)) if isinstance(NOMINAL[path], tuple) else NOMINAL[path] + 0.1
        with pytest.raises(UserError, match=path):
            FramePlan(TASK.scene, 64).looks(np.array([0]), [{path: changed}], "image")

    def test_a_view_of_another_width_is_refused(self):
        cameras = (("a", Camera((1, 0, 1), (0, 0, 0), 45.0)), ("b", Camera((1, 0, 1), (0, 0, 0), 60.0)))
        with pytest.raises(UserError, match="field of view"):
            FramePlan(replace(TASK.scene, cameras=cameras), 64).looks(np.array([0]), [{"camera.view": "b"}], "image")
        with pytest.raises(UserError, match="Did you mean 'image'"):
            FramePlan(TASK.scene, 64).looks(np.array([0]), [{}], "imag")

"""The hosts: that canonical actions do in them what they say, and that equal seeds give equal episodes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.hosts.canonical import axis_angle_to_intrinsic_xyz, clip_canonical, turned_about_z
from bench.hosts.registry import OWN, make_host
from sim.conventions import CANONICAL
from sim.errors import UserError
from sim.rollouts import rollout
from sim.rotations import conjugate, from_axis_angle, multiply, to_axis_angle, to_matrix
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tests.host_support import absent
from tests.scripted_policy import ScriptedPolicy

TASK = load_task("lift_cube")
PAIRS = [("robosuite", "Lift"), ("maniskill", "PickCube-v1")]
ONE = np.arange(1)
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: pair[0])
def env(request):
    if reason := absent(request.param[0]):
        pytest.skip(reason)
    env = make_host(*request.param, task=TASK, horizon=80)
    yield env
    env.close()


def _command(env, action, *, gripper=1.0, steps=4, seed=7):
    """Return TCP displacement (3,), rotation vector (3,), base frame, and opening after `steps` of one action."""
    env.reset(ONE, [seed])
    still = np.array([[0, 0, 0, 0, 0, 0, gripper]])
    for _ in range(5):
        env.step(still)
    before = env.state(ONE)
    for _ in range(steps):
        env.step(np.array([[*action, gripper]]))
    for _ in range(3):
        env.step(still)
    after = env.state(ONE)
    rotation = to_axis_angle(multiply(after.tcp[:, 3:], conjugate(before.tcp[:, 3:])))[0]
    return after.tcp[0, :3] - before.tcp[0, :3], rotation, float(after.opening[0])


def _cosine(a, b):
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_position_change_moves_the_tcp_along_that_axis_of_the_base(env, axis, sign):
    action = np.zeros(6)
    action[axis] = 0.03 * sign
    moved, turned, _ = _command(env, action)
    assert _cosine(moved, action[:3]) > 0.98
    assert 0.02 < np.linalg.norm(moved) <= 4 * 0.03 * 1.05
    assert np.linalg.norm(turned) < 0.02


@pytest.mark.parametrize(
    "vector",
    [(0.08, 0, 0), (-0.08, 0, 0), (0, 0.08, 0), (0, -0.08, 0), (0, 0, 0.08), (0, 0, -0.08), (0.05, -0.05, 0.05)],
)
def test_a_rotation_change_turns_the_tcp_about_that_axis_of_the_base(env, vector):
    moved, turned, _ = _command(env, [0, 0, 0, *vector])
    assert _cosine(turned, vector) > 0.97
    assert 0.05 < np.linalg.norm(turned) <= 4 * np.linalg.norm(vector) * 1.05
    assert np.linalg.norm(moved) < 0.015


def test_the_gripper_opens_at_one_and_closes_at_zero(env):
    assert _command(env, np.zeros(6), gripper=0.0, steps=12)[2] < 0.01
    assert _command(env, np.zeros(6), gripper=1.0, steps=12)[2] > 0.07


def test_the_hand_starts_above_the_table_pointing_down_with_fingers_opening_along_y(env):
    env.reset(ONE, [11])
    state = env.state(ONE)
    axes = to_matrix(state.tcp[0, 3:])
    assert axes[2, 2] < -0.97
    assert abs(axes[1, 1]) > 0.97
    assert 0.3 < state.tcp[0, 0] < 0.75
    assert 0.05 < state.tcp[0, 2] - state.table[0] < 0.4
    assert abs(state.tcp[0, 1]) < 0.1


def test_the_fingers_lie_on_the_y_axis_of_the_tcp_frame(env):
    """Closing on the cube with its faces along y moves it along y only: here, by geometry of the finger links."""
    env.reset(ONE, [11])
    axes = to_matrix(env.state(ONE).tcp[0, 3:])
    world = env._worlds[0]
    if env.spec.host == "robosuite":
        data = world._env.sim.data
        across = data.get_body_xpos("gripper0_right_leftfinger") - data.get_body_xpos("gripper0_right_rightfinger")
    else:
        left, right = (world._scene.links[f"panda_{side}finger"].pose.p[0].numpy() for side in ("left", "right"))
        across = left - right
    assert abs(_cosine(across, axes[:, 1])) > 0.999


def test_the_tcp_is_where_the_panda_kinematics_put_it(env):
    from sim import panda

    env.reset(ONE, [3])
    state = env.state(ONE)
    ours = panda.forward(state.q)
    np.testing.assert_allclose(ours.rotation[0], to_matrix(state.tcp[0, 3:]), atol=2e-3)
    offset = (state.tcp[0, :3] - ours.position[0]) @ ours.rotation[0]
    expected = {"robosuite": (0.0, 0.0, -0.0065), "maniskill": (0.0, 0.0, 0.0)}[env.spec.host]
    np.testing.assert_allclose(offset, expected, atol=1e-3)


def test_the_cube_rests_on_the_table_within_reach(env):
    for seed in (1, 2, 3):
        env.reset(ONE, [seed])
        for _ in range(8):
            env.step(np.array([[0, 0, 0, 0, 0, 0, 1.0]]))
        state = env.state(ONE)
        underside = state.poses["cube"][0, 2] - state.half_sizes["cube"][0, 2] - state.table[0]
        assert abs(underside) < 0.002
        assert 0.4 < state.poses["cube"][0, 0] < 0.75
        assert not TASK.success(state)[0]


def test_equal_seeds_give_equal_episodes_whatever_ran_between(env):
    def trace(seed):
        env.reset(ONE, [seed])
        rows = [env.state(ONE)]
        for k in range(12):
            env.step(np.array([[0.02, -0.01, -0.03, 0.02, 0.0, 0.1, float(k < 6)]]))
            rows.append(env.state(ONE))
        return np.concatenate([np.concatenate([r.q, r.tcp, r.poses["cube"], r.opening[:, None]], axis=1) for r in rows])

    first = trace(episode_seed("benchmark", 0, 4))
    other = trace(episode_seed("benchmark", 0, 5))
    again = trace(episode_seed("benchmark", 0, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0, -8:-1] - other[0, -8:-1]).max() > 1e-3


def test_a_frame_is_upright_and_shows_the_red_cube(env):
    env.reset(ONE, [7])
    frame = env.observe(ONE).render("image")[0].astype(int)
    assert frame.shape == (256, 256, 3)
    red = (frame[..., 0] > 90) & (frame[..., 0] > 2 * frame[..., 1]) & (frame[..., 0] > 2 * frame[..., 2])
    rows, columns = np.nonzero(red)
    assert len(rows) > 60
    assert 40 < columns.mean() < 216
    assert rows.mean() > 100, "the cube lies in front of the robot, so in the lower part of the image"


def test_the_cube_appears_where_its_pose_says(env):
    """Right in the image is +y in the base frame and down is +x: both cameras face the robot."""
    seen = {}
    for seed in range(6):
        env.reset(ONE, [seed])
        frame = env.observe(ONE).render("image")[0].astype(int)
        red = (frame[..., 0] > 90) & (frame[..., 0] > 2 * frame[..., 1]) & (frame[..., 0] > 2 * frame[..., 2])
        seen[seed] = (*env.state(ONE).poses["cube"][0, :2], *np.argwhere(red).mean(axis=0))
    x, y, row, column = np.array(list(seen.values())).T
    assert np.corrcoef(x, row)[0, 1] > 0.8
    assert np.corrcoef(y, column)[0, 1] > 0.8


def test_observation_and_record_are_as_declared(env):
    env.reset(ONE, [7])
    observation = env.observe(ONE)
    assert env.spec.convention == CANONICAL
    assert env.spec.adapters
    assert observation.state.shape == (1, 8)
    assert observation.state.dtype == np.float32
    quaternion = observation.state[0, 3:7]
    assert quaternion[np.argmax(np.abs(quaternion))] > 0
    np.testing.assert_allclose(np.linalg.norm(quaternion), 1.0, atol=1e-5)
    assert observation.privileged.shape == (1, 20)
    assert observation.instructions == (TASK.instruction(7, color="red")[0],)
    assert env.spec.convention.image_size == 256
    step = env.step(np.array([[0, 0, 0, 0, 0, 0, 1.0]]))
    assert set(TASK.weights) < set(step.terms)
    assert step.terms["lifted"][0] == step.terms["task_success"][0] == 0
    assert not step.terminated[0]
    assert not step.truncated[0]
    assert {"tcp", "joints", "contact", "object/cube"} <= set(env.snapshot(ONE))
    assert env.draw(0)["instruction.template"] == TASK.instruction(7, color="red")[1]
    with pytest.raises(UserError, match="camera"):
        observation.render("side_image")
    assert env.spec.offers == {"image", "wrist_image", "state", "privileged", "instruction"}


def _scripted(env, seeds):
    return list(rollout(env, ScriptedPolicy(env.state), seeds))


def _check_pick(episode):
    assert episode.error is None
    assert episode.terms["lifted"][-1] == 1.0
    down = -to_matrix(episode.traces["tcp"][-1, 3:])[2, 2]
    assert np.degrees(np.arccos(min(1.0, down))) < 8, "the hand ended tilted: a rotation sign is wrong"
    if episode.spec.host == "robosuite":
        assert episode.succeeded
    assert episode.traces["contact"][-1] > 1.0


def test_a_scripted_pick_lifts_two_of_two(env):
    for episode in _scripted(env, [episode_seed("validation", 0, i) for i in range(2)]):
        _check_pick(episode)


@pytest.mark.slow
def test_a_scripted_pick_lifts_ten_of_ten(env):
    for episode in _scripted(env, [episode_seed("validation", 0, i) for i in range(10)]):
        _check_pick(episode)


def test_maniskill_judges_the_goal_not_the_lift():
    if reason := absent("maniskill"):
        pytest.skip(reason)
    env = make_host("maniskill", "PickCube-v1", task=TASK, horizon=40)
    world = env._worlds[0]
    env.reset(ONE, [5])
    import sapien

    goal = world._env.goal_site.pose.p[0].numpy()
    world._env.cube.set_pose(sapien.Pose(p=goal))
    info = world._env.evaluate()
    assert bool(info["is_obj_placed"][0])
    np.testing.assert_allclose(env.draw(0)["goal.position"], goal - [-0.615, 0, 0], atol=1e-5)
    env.close()


def test_an_episode_ends_once_the_cube_was_lifted_if_asked():
    if reason := absent("maniskill"):
        pytest.skip(reason)
    env = make_host("maniskill", "PickCube-v1", task=TASK, stop_lifted=5)
    episode = _scripted(env, [episode_seed("validation", 0, 1)])[0]
    env.close()
    assert episode.terminated
    assert episode.length < TASK.horizon
    assert episode.terms["lifted"][-5:].all()


def test_our_own_engine_is_a_host_too():
    env = make_host(OWN, TASK.id, task=TASK)
    assert env.spec.host == OWN
    env.close()


def test_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'maniskill'"):
        make_host("maniskil", "PickCube-v1", task=TASK)
    with pytest.raises(UserError, match="Did you mean 'PickCube-v1'"):
        make_host("maniskill", "PickCub-v1", task=TASK)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install.*robosuite==1\.5\.2"):
        make_host("robosuite", "Lift", task=TASK)


def test_a_missing_vulkan_driver_says_what_to_install():
    if importlib.util.find_spec("mani_skill") is None:
        pytest.skip("mani_skill is not installed")
    code = (
        "from bench.hosts.registry import make_host; from tasks.catalogue import load_task\n"
        "from sim.errors import UserError\n"
        "try: make_host('maniskill', 'PickCube-v1', task=load_task('lift_cube'))\n"
        "except UserError as error: print('REFUSED', error)"
    )
    environment = {**os.environ, "VK_ICD_FILENAMES": "/nonexistent.json", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "REFUSED ManiSkill needs a working Vulkan renderer" in done.stdout
    assert "mesa-vulkan-drivers" in done.stdout


def test_intrinsic_xyz_angles_are_the_rotation_they_came_from():
    vector = np.array([0.2, -0.15, 0.1])
    x, y, z = axis_angle_to_intrinsic_xyz(vector)
    parts = [from_axis_angle(angle * axis) for angle, axis in zip((x, y, z), np.eye(3), strict=True)]
    product = multiply(parts[0], multiply(parts[1], parts[2]))
    np.testing.assert_allclose(product, from_axis_angle(vector), atol=1e-12)


def test_actions_are_clipped_to_the_canonical_limits():
    np.testing.assert_allclose(
        clip_canonical(np.array([1, -1, 0.01, 1, -1, 0.1, 2.0])), [0.05, -0.05, 0.01, 0.25, -0.25, 0.1, 1.0]
    )


def test_turning_about_z_keeps_z():
    quaternion = from_axis_angle(np.array([0.3, 2.0, -0.4]))
    turned = to_matrix(turned_about_z(quaternion, np.pi / 2))
    np.testing.assert_allclose(turned[:, 2], to_matrix(quaternion)[:, 2], atol=1e-12)
    np.testing.assert_allclose(turned[:, 0], to_matrix(quaternion)[:, 1], atol=1e-12)

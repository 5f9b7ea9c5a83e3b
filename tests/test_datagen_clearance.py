"""Distances to the table and to itself, against MuJoCo's own geometry and against brute force."""

import mujoco
import numpy as np
import pytest

from datagen.clearance import segment_distance, self_clearance, table_clearance
from sim.mjcf import build_spec
from tasks.catalogue import load_task
from tasks.env import canonical_state, make_env

SCENE = load_task("lift_cube").scene
HAND = ("hand", "left_finger", "right_finger", "left_pad", "right_pad")


def lowest_point(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """Return the height of the lowest corner of the boxes of hand and fingers."""
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    corners = [
        data.geom(name).xpos + (signs * model.geom(name).size) @ data.geom(name).xmat.reshape(3, 3).T for name in HAND
    ]
    return float(np.concatenate(corners)[:, 2].min())


def test_table_clearance_is_that_of_the_collision_boxes():
    env = make_env("lift_cube", n=4, threads=1)
    env.reset(np.arange(4), [11, 12, 13, 14])
    stream = np.random.default_rng(0)
    model = build_spec(SCENE).compile()
    data = mujoco.MjData(model)
    for _ in range(12):
        actions = stream.uniform(-1, 1, (4, 7)) * [0.05, 0.05, 0.03, 0.2, 0.2, 0.2, 1]
        env.step(actions)
        states = canonical_state(env.engine.state())
        for world, positions in enumerate(env.engine.positions()):
            data.qpos[:] = positions
            mujoco.mj_kinematics(model, data)
            found = table_clearance(states[world : world + 1], np.array([-0.1]))
            assert found == pytest.approx(lowest_point(model, data) + 0.1, abs=2e-4)
    env.close()


def test_segment_distance_agrees_with_brute_force():
    a, b, c, d = np.random.default_rng(1).normal(size=(4, 300, 3))
    along = np.linspace(0, 1, 151)
    first = a[:, None] + along[:, None] * (b - a)[:, None]
    second = c[:, None] + along[:, None] * (d - c)[:, None]
    brute = np.sqrt(((first[:, :, None] - second[:, None]) ** 2).sum(-1)).min((1, 2))
    found = segment_distance(a, b, c, d)
    assert (found <= brute + 1e-9).all()
    np.testing.assert_allclose(found, brute, atol=0.01)
    parallel = segment_distance(*np.array([[[0, 0, 0]], [[1, 0, 0]], [[0, 1, 0]], [[1, 1, 0]]], float))
    assert parallel == pytest.approx([1.0])


def test_a_folded_arm_meets_itself_and_a_stretched_one_does_not():
    home = np.array([SCENE.home])
    assert self_clearance(home) > 0.1
    folded = np.array([[0.0, 0.3, 0.0, -3.05, 0.0, 0.5, 0.0]])
    assert self_clearance(folded) < 0.0
    assert self_clearance(np.concatenate([home, folded])) == self_clearance(folded)
    assert self_clearance(np.array([[0.0, 0.0, 0.0, -0.1, 0.0, 1.8, 0.0]])) > 0.1

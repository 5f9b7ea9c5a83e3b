"""The wrist camera of the hosts: it sees what ours sees, moves with the hand, and changes nothing else."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bench.hosts.registry import make_host
from bench.hosts.views import wrist_camera
from sim.looks import seen_at
from sim.rotations import to_matrix
from tasks.catalogue import load_task
from tests.host_support import ONE, needs

SIZE = 256
PAIRS = [("robosuite", "Lift"), ("maniskill", "PickCube-v1")]
CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))

HELD = {
    "straight above": ((-0.03, 0.03, 0.14), (0.0, 0.0, 0.0)),
    "turned": ((-0.02, -0.03, 0.12), (0.0, 0.0, 0.12)),
    "tilted": ((-0.03, 0.0, 0.16), (0.06, -0.05, -0.1)),
}
"""TCP from the cube, m, base frame, and the rotation that it is given in each of eight steps, rad."""


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: pair[0])
def env(request):
    needs(request.param[0])
    env = make_host(*request.param, task=load_task("lift_cube"), horizon=400)
    yield env
    env.close()


def shown(env, camera):
    return env.observe(ONE).render(camera)[0]


def hold(env, offset, turn, *, gripper=1.0, steps=22):
    """Bring the TCP to the cube's place plus `offset`, turning it on the way, and return the state there."""
    for step in range(steps):
        state = env.state(ONE)
        way = state.poses["cube"][0, :3] + offset - state.tcp[0, :3]
        env.step(np.array([[*np.clip(1.5 * way, -0.05, 0.05), *(turn if step < 8 else (0, 0, 0)), gripper]]))
    return env.state(ONE)


def silhouette(frame):
    """Return first and last column and row, as edges, of the cube: red, where ManiSkill's table is orange."""
    r, g, b = np.moveaxis(frame.astype(int), -1, 0)
    red = (r > 40) & (r > 1.8 * g) & (r > 1.8 * b) & (g - b < 12)
    columns, rows = np.flatnonzero(red.sum(axis=0) > 1), np.flatnonzero(red.sum(axis=1) > 1)
    return np.array([columns[0], columns[-1] + 1, rows[0], rows[-1] + 1])


@pytest.mark.parametrize("pose", HELD)
def test_the_cube_is_seen_where_our_own_wrist_camera_would_see_it(env, pose):
    env.reset(ONE, [7])
    state = hold(env, *HELD[pose])
    cube, half = state.poses["cube"][0], state.half_sizes["cube"][0]
    # The camera of sim.appearance, once more: 5 cm along x of the hand frame, y of which is right and x up.
    axes, tcp = to_matrix(state.tcp[0, 3:]), state.tcp[0, :3]
    eye = tcp + axes @ [0.05, 0.0, -0.1034]
    corners = cube[:3] + (CORNERS * half) @ to_matrix(cube[3:]).T
    places = SIZE * seen_at(corners, eye=eye, rotation=axes @ [[0, 1, 0], [1, 0, 0], [0, 0, -1.0]], fovy=75.0)
    expected = np.stack([places.min(axis=0), places.max(axis=0)], axis=1).ravel()
    assert expected.min() > 20
    assert expected.max() < 200, "the hand would hide a part of it"
    np.testing.assert_allclose(silhouette(shown(env, "wrist_image")), expected, atol=2.5)
    found = SIZE * env.points(ONE, camera="wrist_image")[0]
    centre = SIZE * wrist_camera(state.tcp[0]).project(cube[None, :3])[0]
    np.testing.assert_allclose(found[0], centre, atol=1e-9)
    np.testing.assert_allclose(found[1], (128.0, 208.7), atol=0.1)


def test_both_fingers_are_seen_at_equal_distances_from_the_middle(env):
    """What a closing gripper changes in the lower part of the frame is its own mirror image."""
    env.reset(ONE, [7])
    frames = []
    for gripper in (1.0, 0.0):
        hold(env, *HELD["straight above"], gripper=gripper)
        frames.append(shown(env, "wrist_image")[192:206].astype(int))
    moved = np.abs(frames[0] - frames[1]).max(axis=-1) > 60
    assert moved.sum() > 300
    both, either = (moved & moved[:, ::-1]).sum(), (moved | moved[:, ::-1]).sum()
    assert both / either > 0.75
    dark = frames[0].mean(axis=-1) < 70
    left, right = dark[:, 44:72].sum(), dark[:, 184:212].sum()
    assert min(left, right) > 60, "the black fingertips of an open gripper are 4 cm to either side of the TCP"


def test_the_frame_moves_with_the_hand(env):
    env.reset(ONE, [7])
    hold(env, *HELD["straight above"])
    before = silhouette(shown(env, "wrist_image"))
    hold(env, (-0.03, 0.06, 0.14), (0, 0, 0))
    after = silhouette(shown(env, "wrist_image"))
    assert np.abs(after - before)[:2].min() > 10
    assert np.abs(after - before)[2:].max() < 5


def test_neither_camera_changes_a_byte_of_the_other_or_of_the_episode(env):
    def episode(*cameras):
        env.reset(ONE, [9])
        found = []
        for step in range(5):
            seen = {camera: shown(env, camera) for camera in cameras}
            state = env.state(ONE)
            found.append((seen, np.concatenate([state.q[0], state.tcp[0], state.poses["cube"][0], state.contact])))
            env.step(np.array([[0.02, -0.01, -0.03, 0.02, 0.0, 0.1, float(step < 3)]]))
        return found

    alone, near = episode("image"), episode("wrist_image")
    for cameras in (("image", "wrist_image"), ("wrist_image", "image")):
        for both, far, close in zip(episode(*cameras), alone, near, strict=True):
            np.testing.assert_array_equal(both[0]["image"], far[0]["image"])
            np.testing.assert_array_equal(both[0]["wrist_image"], close[0]["wrist_image"])
            np.testing.assert_array_equal(both[1], far[1])
            np.testing.assert_array_equal(both[1], close[1])
    first = shown(env, "wrist_image")
    shown(env, "image")
    np.testing.assert_array_equal(shown(env, "wrist_image"), first)

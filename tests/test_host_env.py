"""What `HostEnv` makes of any world: names, sentences, variations, points and draws; without a simulator."""

from __future__ import annotations

import numpy as np
import pytest

from bench.hosts.changes import Turned, applied
from bench.hosts.host_env import HostEnv
from bench.hosts.others import OTHERS
from bench.hosts.views import View, changed_view, wrist_camera
from bench.hosts.words import thing
from sim.errors import UserError
from sim.state import State
from tasks.catalogue import load_task
from tasks.randomization import knobs

BOTH = np.arange(2)


def _lying(place, height, aside):
    return np.array([[place[0], place[1] + aside, height, 1.0, 0.0, 0.0, 0.0]])


class FakeWorld:
    """A cube that lies where the seed says, under a hand that moves as it is told."""

    engine, adapters, horizon = "none", ("none",), 0
    knobs = frozenset({"target.position", "target.color", "others.count", "camera.offset"})

    def __init__(self):
        self.camera = View((1.06, 0.0, 0.5), (0.5, 0.0, 0.0), 45.0)
        self.reset(0)

    def reset(self, seed, changes=None):
        changes = changes or {}
        nominal = {
            "target.position": (0.5 + 0.01 * (seed % 7), 0.0),
            "target.color": "red",
            "others.count": 0.0,
            "camera.offset": (0.0, 0.0, 0.0),
        }
        self._changed = {path: applied(path, nominal[path], change) for path, change in changes.items()}
        values = nominal | self._changed
        self.place, self.color, self.count = (
            values["target.position"],
            values["target.color"],
            int(values["others.count"]),
        )
        self.now = changed_view(self.camera, Turned(changes))
        self.tcp, self.raised = np.array([0.5, 0.0, 0.2]), 0.0

    def step(self, action):
        self.tcp = self.tcp + action[:3]

    def state(self):
        names = ["target", *(other.name for other in OTHERS[: self.count])]
        poses = {name: _lying(self.place, 0.02 + self.raised, 0.1 * k) for k, name in enumerate(names)}
        return State(
            time=np.zeros(1),
            q=np.zeros((1, 7)),
            qd=np.zeros((1, 7)),
            tcp=np.array([[*self.tcp, 0, 1, 0, 0.0]]),
            opening=np.full(1, 0.08),
            poses=poses,
            twists={name: np.zeros((1, 6)) for name in names},
            half_sizes={name: np.full((1, 3), 0.02) for name in names},
            table=np.zeros(1),
            contact=np.zeros(1),
            shapes={name: np.zeros(1, dtype=int) for name in names},
        )

    def things(self):
        return (thing("target", "cube", self.color, self.state()),)

    def changed(self):
        return self._changed

    def success(self):
        return False

    def fault(self):
        return None

    def pinhole(self, camera):
        return wrist_camera(self.state().tcp[0]) if camera == "wrist_image" else self.now.pinhole()

    def extras(self):
        return {"goal.position": [0.0, 0.0, 0.1]}

    def close(self):
        pass


def _env(task):
    worlds = [FakeWorld(), FakeWorld()]
    return HostEnv(worlds, load_task(task), host="fake", host_task="F", horizon=9, stop_lifted=None, image_size=64)


@pytest.mark.parametrize(("task", "name"), [("lift_cube-v1", "cube"), ("lift_cube-v2", "target")])
def test_the_target_bears_the_task_s_own_name(task, name):
    env = _env(task)
    env.reset(BOTH, [3, 4])
    assert set(env.state(BOTH).poses) == {name}
    assert {f"{name}.pose", f"{name}.half_size", f"{name}.color", "goal.position", "robot.q"} <= set(env.draw(1))
    assert f"object/{name}" in env.snapshot(BOTH)
    env.vary(knobs(f"{name}.color =choice(blue)", "target.position =U([0.6, 0.1], [0.6, 0.1])"))
    env.reset(BOTH, [3, 4])
    assert env.draw(0)[f"{name}.color"] == "blue"
    assert env.draw(0)[f"{name}.position"] == [0.6, 0.1]
    assert "red" not in env.observe(BOTH).instructions[0]


def test_the_terms_hold_our_task_s_own_success_and_the_step_the_host_s():
    env = _env("lift_cube-v2")
    env.reset(BOTH, [1, 2])
    env._worlds[1].raised = 0.1
    step = env.step(np.zeros((2, 7)))
    assert list(step.terms["task_success"]) == list(step.terms["lifted"]) == [0, 1]
    assert list(step.success) == [False, False]
    assert env.spec.convention.image_size == 64


def test_worlds_with_different_numbers_of_other_objects_are_one_batch():
    env = _env("lift_cube-v2")
    env.vary(knobs("others.count =choice(0, 1, 2, 3)"))
    counts = set()
    for seed in range(0, 12, 2):
        env.reset(BOTH, [seed, seed + 1])
        state = env.state(BOTH)
        assert set(state.poses) == {"target", *(other.name for other in OTHERS)}
        for world in (0, 1):
            there = [name for name in state.present if state.present[name][world]]
            assert len(there) == env.draw(world)["others.count"]
            assert all(f"{name}.pose" in env.draw(world) for name in there)
            gone = [name for name in state.present if not state.present[name][world]]
            assert all(state.poses[name][world, 2] < -1 and f"{name}.pose" not in env.draw(world) for name in gone)
            counts.add(len(there))
    assert len(counts) > 2
    env.vary(())
    assert set(env.state(BOTH).poses) == {"target"}


def test_points_follow_target_hand_and_camera():
    env = _env("lift_cube-v2")
    env.reset(BOTH, [0, 6])
    first = env.points(BOTH)
    assert first.shape == (2, 2, 2)
    assert first[1, 0, 1] > first[0, 0, 1], "what is nearer to the camera lies lower"
    env.step(np.array([[0, 0.05, 0, 0, 0, 0, 1.0], [0] * 7]))
    moved = env.points(BOTH)
    assert moved[0, 1, 0] > first[0, 1, 0], "+y is to the right of a camera that faces the robot"
    np.testing.assert_array_equal(moved[:, 0], first[:, 0])
    env.vary(knobs("camera.offset =U([0, 0, 0.1], [0, 0, 0.1])"))
    env.reset(BOTH, [0, 6])
    assert not np.allclose(env.points(BOTH)[:, 0], first[:, 0])


def test_points_of_the_wrist_camera_hold_the_tcp_still():
    env = _env("lift_cube-v2")
    env.reset(BOTH, [0, 6])
    first = env.points(BOTH, camera="wrist_image")
    env.step(np.array([[0, 0.05, 0, 0, 0, 0, 1.0], [0] * 7]))
    moved = env.points(BOTH, camera="wrist_image")
    np.testing.assert_allclose(moved[:, 1], first[:, 1])
    assert moved[0, 0, 0] != first[0, 0, 0]
    assert "wrist_image" in env.spec.offers


def test_a_law_that_the_host_cannot_follow_is_refused_with_the_nearest():
    env = _env("lift_cube-v1")
    with pytest.raises(UserError, match=r"Did you mean 'target\.color'"):
        env.vary(knobs("target.colour =choice(red)"))
    with pytest.raises(UserError, match="fake:F"):
        env.vary(knobs("cube.mass *U(0.5, 2)"))

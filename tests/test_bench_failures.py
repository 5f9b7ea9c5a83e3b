"""Why episodes failed: each mode from traces that show it, thresholds in metres, counts with intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.breakdowns import breakdowns
from bench.events import Hold, holds, measure_events
from bench.failures import MODES, counted, failure, progress, told
from bench.limits import contact_mean, contact_peak, joint_share, velocity_share, workspace_share
from bench.metrics import chunk_jump
from bench.record import judged
from sim.baselines import RandomPolicy
from sim.conventions import CANONICAL
from sim.episodes import EnvSpec, Episode
from sim.rollouts import rollout
from sim.streams import episode_seed
from tasks.catalogue import TASKS
from tasks.env import make_env

STEPS = 60
TABLE = 0.0


def _pose(positions):
    return np.concatenate([positions, np.tile([1.0, 0, 0, 0], (len(positions), 1))], axis=1)


def _path(*points):
    """Positions (STEPS + 1, 3) that go evenly through (step, x, y, z)."""
    steps = [p[0] for p in points]
    t = np.arange(STEPS + 1)
    return np.stack([np.interp(t, steps, [p[k] for p in points]) for k in (1, 2, 3)], axis=1)


def _episode(tcp, cube, *, close=None, others=None, terminated=False, terms=("grasp", "lifted")):
    """An episode in which the hand goes along `tcp`, the cube along `cube`, and the gripper closes at step `close`."""
    opening = np.ones(STEPS + 1)
    if close is not None:
        opening[close:] = np.maximum(0.4, 1 - 0.2 * np.arange(1, STEPS + 2 - close))
    states = np.zeros((STEPS + 1, 8), dtype=np.float32)
    states[:, 7] = opening
    lifted = cube[1:, 2] > TABLE + 0.07
    objects = {"cube": cube, **(others or {})}
    return Episode(
        spec=EnvSpec("lift_cube-v1", "demomill", "lift_cube-v1", CANONICAL, STEPS, "none"),
        seed=7,
        draw={"cube.color": "red"},
        instruction="lift the cube",
        states=states,
        actions=np.zeros((STEPS, 7), dtype=np.float32),
        executed=np.zeros((STEPS, 7), dtype=np.float32),
        rewards=np.zeros(STEPS, dtype=np.float32),
        terms={name: (lifted if name == "lifted" else np.zeros(STEPS)).astype(np.float32) for name in terms},
        success=lifted,
        traces={
            "tcp": _pose(tcp),
            "joints": np.tile([0, 0.2, 0, -2, 0, 2.5, 0.8], (STEPS + 1, 1)).astype(float),
            "contact": np.zeros(STEPS + 1),
            "table": np.full(STEPS + 1, TABLE),
            **{f"object/{name}": _pose(path) for name, path in objects.items()},
        },
        terminated=terminated,
    )


REST = _path((0, 0.5, 0, 0.02), (STEPS, 0.5, 0, 0.02))
DESCENT = _path((0, 0.3, 0, 0.3), (20, 0.5, 0, 0.02), (STEPS, 0.5, 0, 0.02))
RAISE = _path((0, 0.3, 0, 0.3), (20, 0.5, 0, 0.02), (30, 0.5, 0, 0.02), (45, 0.5, 0, 0.2), (STEPS, 0.5, 0, 0.2))
CARRIED = _path((0, 0.5, 0, 0.02), (30, 0.5, 0, 0.02), (45, 0.5, 0, 0.2), (STEPS, 0.5, 0, 0.2))
FALLS = _path((0, 0.5, 0, 0.02), (30, 0.5, 0, 0.02), (45, 0.5, 0, 0.2), (48, 0.5, 0, 0.02), (STEPS, 0.5, 0, 0.02))
ASIDE = DESCENT + [0.0, 0.05, 0.0]
FAR = _path((0, 0.3, 0, 0.3), (STEPS, 0.3, 0, 0.3))
NEIGHBOUR = REST + [0.0, 0.12, 0.0]
LOWERED = _path((0, 0.5, 0, 0.02), (30, 0.5, 0, 0.02), (38, 0.5, 0, 0.1), (48, 0.5, 0, 0.02), (STEPS, 0.5, 0, 0.02))
RETREAT = _path(
    (0, 0.3, 0, 0.3),
    (20, 0.5, 0, 0.02),
    (30, 0.5, 0, 0.02),
    (38, 0.5, 0, 0.1),
    (48, 0.5, 0, 0.02),
    (STEPS, 0.5, 0, 0.3),
)

CASES = {
    "never reached": (FAR, REST, {}),
    "missed grasp": (ASIDE, REST, {"close": 25}),
    "dropped": (RAISE, FALLS, {"close": 25}),
    "put down": (RETREAT, LOWERED, {"close": 25}),
    "knocked over": (FAR, REST, {"others": {"can": NEIGHBOUR + np.linspace(0, 0.05, STEPS + 1)[:, None] * [1, 0, 0]}}),
    "wrong object": (RAISE + [0, 0.12, 0], REST, {"close": 25, "others": {"can": CARRIED + [0, 0.12, 0]}}),
    "timeout": (DESCENT, REST, {}),
    "unsafe stop": (DESCENT, _path((0, 0.5, 0, 0.02), (30, 0.5, 0, 0.02), (STEPS, 0.9, 0, -0.5)), {}),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_told_from_traces_that_show_it(mode):
    tcp, cube, changes = CASES[mode]
    episode = _episode(tcp, cube, **changes)
    found = failure(episode, measure_events(episode, target="cube"), success=False)
    assert found["mode"] == mode
    assert json.loads(json.dumps(found)) == found


def test_a_success_has_no_failure():
    episode = _episode(RAISE, CARRIED, close=25)
    record = judged("demomill:lift_cube-v1", "p", episode, target="cube", execute=4)
    assert record["lifted"]
    assert record["failure"] is None
    assert record["metrics"]["progress"] == 1.0
    assert record["metrics"]["drops"] == 0
    json.dumps(record, allow_nan=False)


def test_a_miss_says_by_how_much():
    episode = _episode(ASIDE, REST, close=25)
    found = failure(episode, measure_events(episode, target="cube"), success=False)
    assert found["distance"] == pytest.approx(0.05)
    assert told(found) == "missed grasp by 5.0 cm"
    assert told({"mode": "wrong object", "distance": None, "object": "can"}) == "wrong object (can)"


def test_closing_on_another_object_is_the_wrong_object_and_an_absent_one_is_nobody():
    moved = DESCENT + [0.0, 0.12, 0.0]
    episode = _episode(moved, REST, close=25, others={"can": NEIGHBOUR})
    found = failure(episode, measure_events(episode, target="cube"), success=False)
    assert (found["mode"], found["object"]) == ("wrong object", "can")
    absent = _episode(moved, REST, close=25, others={"can": NEIGHBOUR + [0, 0, -5.0]})
    assert failure(absent, measure_events(absent, target="cube"), success=False)["mode"] == "never reached"


def test_a_drop_and_a_second_grasp_are_a_recovery():
    cube = np.concatenate([FALLS[:50], CARRIED[30 : 30 + STEPS + 1 - 50]])
    hand = np.concatenate([RAISE[:50], RAISE[30 : 30 + STEPS + 1 - 50]])
    events = measure_events(_episode(hand, cube, close=25), target="cube")
    assert [hold.dropped for hold in events.holds] == [True, False]
    assert (events.drops, events.regrasps) == (1, 1)
    assert holds(_pose(RAISE), _pose(REST)) == ()
    assert holds(_pose(RAISE), _pose(CARRIED)) == (Hold(31, STEPS, dropped=False),)


def test_progress_counts_quarters():
    never = measure_events(_episode(FAR, REST), target="cube")
    reached = measure_events(_episode(DESCENT, REST), target="cube")
    held = measure_events(_episode(RAISE, FALLS, close=25), target="cube")
    assert [progress(e, once=False, success=False) for e in (never, reached, held)] == [0, 0.25, 0.5]
    assert progress(held, once=True, success=False) == 0.75
    assert progress(never, once=True, success=True) == 1.0


def test_modes_are_counted_with_intervals():
    failed = {"mode": "dropped", "distance": None, "object": None}
    records = [{"seed": 1, "failure": failed}, {"seed": 2, "failure": None}, {"seed": 3}]
    (found,) = counted(records)
    assert (found["mode"], found["seeds"]) == ("dropped", [1])
    assert found["rate"]["n"] == 3
    assert found["rate"]["low"] < 1 / 3 < found["rate"]["high"]


def _drawn(seed, color, half, x, y, lifted):
    draw = {"cube.color": color, "cube.half_size": [half] * 3, "cube.position": [x, y]}
    return {"seed": seed, "target": "cube", "draw": draw, "lifted": lifted}


def test_breakdowns_show_where_data_is_missing():
    records = [
        _drawn(k, ("red", "blue")[k % 2], 0.016 + 0.001 * (k % 9), 0.5 + 0.01 * k, 0.0, k % 2 == 0) for k in range(12)
    ]
    color, size, position = breakdowns(records)
    assert [(g["label"], g["rate"]["estimate"]) for g in color["groups"]] == [("blue", 0.0), ("red", 1.0)]
    assert sum(g["rate"]["n"] for g in size["groups"]) == 12
    assert [g["rate"]["n"] for g in position["groups"]] == [4, 4, 4]
    assert position["groups"][0]["label"].startswith("x 0.50 to 0.54, y 0.00")
    assert breakdowns([_drawn(1, "red", 0.02, 0.5, 0, True)] * 3) == []
    assert breakdowns([{"seed": 1, "lifted": True, "draw": {}}]) == []


def test_limits_and_forces():
    joints = np.zeros((5, 7))
    joints[:, 3] = -1.0
    joints[:, 5] = 1.0
    assert joint_share(joints) == 0.0
    joints[4, 1] = 1.7628
    assert joint_share(joints) == pytest.approx(0.2)
    assert velocity_share(joints, rate=20.0) == pytest.approx(0.25)
    positions = np.array([[0.5, 0, 0.1], [0.5, 0, -0.02], [0.9, 0, 0.1], [0.5, 0, 0.0]])
    assert workspace_share(positions, np.zeros(4)) == 0.5
    assert contact_peak(np.array([0.0, 3.0])) == 3.0
    assert contact_peak(np.array([np.nan])) is None
    assert contact_mean(np.array([0.0, 2.0, 4.0])) == 3.0
    assert contact_mean(np.zeros(3)) is None


def test_jumps_at_the_borders_of_chunks():
    actions = np.zeros((8, 7))
    actions[4:, 0] = 0.05
    assert chunk_jump(actions, execute=4) == pytest.approx(1 / 6)
    assert chunk_jump(actions, execute=3) == 0.0
    assert chunk_jump(actions, execute=1) is None
    assert chunk_jump(actions, execute=8) is None


def test_an_episode_with_an_error_has_no_failure():
    episode = replace(_episode(FAR, REST), error="diverged")
    assert "failure" not in judged("h", "p", episode, target="cube")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_has_measurable_episodes(name):
    env = make_env(name, n=2, preset="physical")
    seeds = [episode_seed("benchmark", 0, k) for k in range(2)]
    for episode in rollout(env, RandomPolicy(0), seeds):
        record = judged("demomill:x", "random", episode, target=env.task.target)
        assert record["lifted"] or record["failure"]["mode"] in MODES
        assert 0.0 <= record["metrics"]["progress"] <= 1.0
        json.dumps(record, allow_nan=False)
    env.close()

from dataclasses import replace

import numpy as np
import pytest

from datagen.filters import (
    ERROR,
    FilterConfig,
    FilterReport,
    reasons,
)
from datagen.measurements import (
    action_difference,
    drop_height,
    measure,
    object_speed,
    time_to_success,
    workspace_excess,
)
from sim.conventions import CANONICAL
from sim.episodes import EnvSpec, Episode
from sim.errors import UserError
from tasks.catalogue import load_task

TASK = load_task("lift_cube")
SPEC = EnvSpec("lift_cube-v1", "demomill", "lift_cube-v1", CANONICAL, horizon=10, engine="toy 1")


def episode(success=(0, 0, 1, 1), **changes) -> Episode:
    count = len(success)
    pose = np.tile([0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (count + 1, 1))
    made = Episode(
        spec=SPEC,
        seed=1,
        draw={},
        instruction="lift it",
        states=np.zeros((count + 1, 8), np.float32),
        actions=np.zeros((count, 7), np.float32),
        executed=np.zeros((count, 7), np.float32),
        rewards=np.zeros(count, np.float32),
        terms={},
        success=np.array(success, dtype=np.bool_),
        traces={"contact": np.arange(count + 1.0), "object/cube": pose},
    )
    return replace(made, **changes)


def moved(x, z=(0.02,) * 5) -> Episode:
    """Return an episode whose object is at these places while the hand stands still."""
    pose = np.tile([0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (5, 1))
    pose[:, 0], pose[:, 2] = x, z
    return episode(traces={"object/cube": pose})


def standing(tcp=0.3) -> Episode:
    """Return an episode in which the open hand points down, `tcp` above the table."""
    states = np.tile(np.array([0.5, 0.0, tcp, 1.0, 0.0, 0.0, 0.0, 1.0], np.float32), (5, 1))
    joints = np.tile(TASK.scene.home, (5, 1))
    return episode(states=states, traces={"table": np.zeros(5), "joints": joints})


def why(made: Episode, **limits) -> tuple[str, ...]:
    config = FilterConfig(**limits)
    return reasons(made, measure(made, workspace=config.workspace), config)


def test_a_good_episode_has_no_reason_and_every_measurement():
    assert why(episode()) == ()
    assert measure(episode(), workspace=FilterConfig().workspace) == {
        "steps": 4,
        "success": True,
        "success_once": True,
        "time_to_success": 0.15,
        "action_difference": 0.0,
        "contact_force": 4.0,
        "table_clearance": None,
        "self_clearance": None,
        "object_speed": 0.0,
        "drop_height": 0.0,
        "workspace_excess": 0.0,
    }


@pytest.mark.parametrize(
    ("made", "limits", "reason"),
    [
        (episode((0, 1, 1, 0)), {}, "no success at the end"),
        (episode(), {"max_time_to_success": 0.1}, "success too late"),
        (episode(), {"max_contact_force": 3.9}, "contact force too high"),
        (episode(), {"min_steps": 5}, "too few steps"),
        (episode(), {"workspace": (0.6, -1.0, -1.0, 1.0, 1.0, 1.0)}, "object left the workspace"),
        (episode(executed=np.eye(4, 7, dtype=np.float32)), {"max_action_difference": 1.0}, "motion too rough"),
        (moved(np.linspace(0.5, 0.9, 5)), {"max_object_speed": 1.9}, "object thrown"),
        (moved([0.5] * 5, [0.3, 0.3, 0.2, 0.1, 0.1]), {"max_drop_height": 0.19}, "object dropped"),
        (standing(tcp=0.0087), {"min_table_clearance": 0.0}, "hand pressed into the table"),
        (standing(), {"min_self_clearance": 0.5}, "arm met itself"),
        (episode(error="the physics diverged"), {"success": False}, ERROR),
    ],
)
def test_each_limit_rejects_by_its_name(made, limits, reason):
    assert why(made, **limits) == (reason,)


def test_limits_that_are_off_reject_nothing_but_measure():
    failed = episode((0, 0, 0, 0))
    assert why(failed, success=False) == ()
    assert measure(failed)["time_to_success"] is None
    assert measure(failed)["workspace_excess"] is None


def test_success_must_hold_to_the_end():
    assert time_to_success(np.array([1, 0, 0, 1, 1], bool), 20.0) == pytest.approx(4 / 20)
    assert time_to_success(np.array([1, 1], bool), 20.0) == pytest.approx(1 / 20)
    assert time_to_success(np.array([1, 0], bool), 20.0) is None


def test_action_difference_is_in_units_of_the_limits():
    jump = np.zeros((2, 7), np.float32)
    jump[1] = [0.05, 0.05, 0.05, 0.25, 0.25, 0.25, 1.0]
    assert action_difference(jump) == pytest.approx(1.0)
    assert action_difference(jump[:1]) == 0.0


def test_workspace_excess_is_the_largest_distance_outside():
    path = np.array([[0.5, 0.0, 0.0], [0.5, 0.9, 0.0], [0.5, 0.0, -0.5]])
    assert workspace_excess([path], (0.1, -0.65, -0.3, 1.0, 0.65, 1.3)) == pytest.approx(0.25)
    assert workspace_excess([], (0.1, -0.65, -0.3, 1.0, 0.65, 1.3)) is None


def test_reports_add_up_and_come_back():
    report = FilterReport()
    for reason in ((), ("a", "b"), ("a",), ()):
        report.add(reason)
    other = FilterReport.from_json(report.to_json())
    other.merge(report)
    assert other.to_json() == {"candidates": 8, "kept": 4, "rejected": {"a": 4}}
    assert other.acceptance == 0.5
    assert report.text() == "kept 2 of 4; a 2"


def test_what_cannot_be_measured_cannot_be_limited():
    with pytest.raises(UserError, match="does not tell contact forces"):
        why(episode(traces={}), max_contact_force=1.0)
    with pytest.raises(UserError, match="Write six"):
        FilterConfig(workspace=(0.0, 1.0))
    for key in ("min_table_clearance", "min_self_clearance", "max_object_speed", "max_drop_height"):
        with pytest.raises(UserError, match=f"{key} is set, but this simulator does not tell"):
            why(episode(traces={}), **{key: 0.1})
    with pytest.raises(UserError, match=r"min_start_distance = 0\.5"):
        FilterConfig(min_start_distance=0.5)


def test_a_drop_is_a_fall_that_the_hand_does_not_share():
    up_and_down = np.array([[0, 0, z] for z in (0.0, 0.1, 0.2, 0.1, 0.05)], float)
    assert drop_height([up_and_down], up_and_down[:, 2] + 0.1) == 0.0
    assert drop_height([up_and_down], np.full(5, 0.3)) == pytest.approx(0.15)
    half = np.array([0.3, 0.3, 0.3, 0.25, 0.2])
    assert drop_height([up_and_down], half) == pytest.approx(0.05)
    assert drop_height([], half) is None


def test_speed_is_that_of_the_fastest_object():
    still, fast = np.zeros((4, 3)), np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0, 0], [0.15, 0, 0]], float)
    assert object_speed([still, fast], 20.0) == pytest.approx(2.0)
    assert object_speed([], 20.0) is None

from dataclasses import replace

import numpy as np
import pytest

from datagen.filters import (
    ERROR,
    FilterConfig,
    FilterReport,
    action_difference,
    measure,
    reasons,
    time_to_success,
    workspace_excess,
)
from sim.conventions import CANONICAL
from sim.episodes import EnvSpec, Episode
from sim.errors import UserError

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

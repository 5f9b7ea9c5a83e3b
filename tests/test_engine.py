"""What is particular to the MuJoCo engine; what every engine promises stands in test_engine_contract.py."""

from __future__ import annotations

import numpy as np
import pytest

from sim.engine import make_engine
from sim.errors import UserError
from sim.rotations import conjugate, multiply, to_axis_angle
from tasks.catalogue import load_task

TASK = load_task("lift_cube-v1")


def test_unknown_engine_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"Did you mean 'mujoco'"):
        make_engine("mujocco", TASK.scene, n=1)


def test_twists_are_in_the_base_frame():
    """A spinning cube in free fall turns about the axis that the twist names, though its body frame is tilted."""
    engine = make_engine("mujoco", TASK.scene, n=1)
    row = engine._state[0]
    row[1 + 9 + 2] = 1.0
    row[1 + 9 + 3 : 1 + 9 + 7] = [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    row[1 + 16 + 9 + 5] = 4.0
    before = engine.state()
    hold = np.zeros((1, 7))
    after = engine.step(hold)
    engine.close()
    turn = to_axis_angle(multiply(after.poses["cube"][:, 3:], conjugate(before.poses["cube"][:, 3:])))[0]
    np.testing.assert_allclose(before.twists["cube"][0, 3:], [0.0, -4.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(turn / 0.05, before.twists["cube"][0, 3:], atol=1e-3)
    np.testing.assert_allclose(after.twists["cube"][0, :3], [0.0, 0.0, -9.81 * 0.05], atol=1e-2)

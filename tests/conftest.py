"""Settings that all tests share."""

from __future__ import annotations

import os

import hypothesis
import pytest

# One thread each: the tests compare and time small things, and several of them may run at once.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

hypothesis.settings.register_profile("demomill", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("demomill")

SLOW_ON_THE_CPU = (
    "test_a_trajectory_does_not_depend_on_batch_order_or_threads[mujoco_warp-1]",
    "test_a_trajectory_does_not_depend_on_batch_order_or_threads[mujoco_warp-2]",
    "test_a_trajectory_does_not_depend_on_batch_order_or_threads[mujoco_warp-64]",
    "test_closed_fingers_stop_at_the_surface_of_every_size_of_cube_and_feel_it[mujoco_warp]",
)
"""Parts of the engine contract that take MuJoCo Warp long without a GPU."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the slow tests what an engine made for GPUs does slowly without one."""
    for item in items:
        if item.name in SLOW_ON_THE_CPU:
            item.add_marker(pytest.mark.slow)

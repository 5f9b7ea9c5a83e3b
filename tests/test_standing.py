"""What stands on the table and is not touched stays where it is."""

from __future__ import annotations

import numpy as np
import pytest

from sim.engine import make_engine
from sim.streams import generator
from tasks.catalogue import load_task

SCENE = load_task("lift_cube-v2").scene
COUNT, STEPS = 128, 40


@pytest.mark.parametrize("shape", ["box", "cylinder", "sphere"])
def test_what_nobody_touches_stays_where_it_is(shape: str) -> None:
    """MuJoCo finds no contact under a cylinder that leans by 1e-15 to 1e-13 rad; ours must never come that near."""
    dice, values = generator(0, "standing", shape), []
    for _ in range(COUNT):
        half = float(dice.uniform(0.014, 0.027))
        values.append(
            SCENE.nominal()
            | {
                "target.shape": shape,
                "target.half_size": (half, half, half * float(dice.uniform(0.9, 1.3)) if shape != "sphere" else half),
                "target.yaw": float(dice.uniform(-3.14, 3.14)),
                "target.mass": float(dice.uniform(0.03, 0.2)),
                "target.friction": float(dice.uniform(0.5, 1.2)),
                "table.height": float(dice.uniform(-0.13, 0.02)),
            }
        )
    engine = make_engine("mujoco", SCENE, n=COUNT, threads=1)
    engine.reset(np.arange(COUNT), values)
    start = engine.state().poses["target"][:, :3]
    worst = np.zeros(COUNT)
    for _ in range(STEPS):
        state = engine.step(np.tile([0.0] * 6 + [1.0], (COUNT, 1)))
        worst = np.maximum(worst, np.linalg.norm(state.poses["target"][:, :3] - start, axis=1))
    engine.close()
    assert worst.max() < 1e-4
    assert float(state.depth.max()) < 1e-4

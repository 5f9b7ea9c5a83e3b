"""Simulated suites whose truth is known: intervals of mean drops hold it, and axes that cost nothing are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from bench.axes import find_axis
from bench.config import HostTask
from bench.suite_drops import drops
from bench.suite_means import means
from bench.suite_plan import Cell, Plan
from bench.variation import NOMINAL
from sim.streams import generator

PLACE = (HostTask("demomill", "lift_cube-v2"), "lift_cube-v2")
NAMES = ("position_near", "object_mass", "friction", "camera_pose", "light_strength", "image_blur", "action_latency")
COSTS = (0.0, 0.0, 0.05, 0.1, 0.2, 0.4, 0.6)
"""How much lower the chance of success is in each arm, for an episode that is surely won in the nominal one."""


def _study(number, *, episodes, costs):
    """Return plan and log of one simulated suite; hard episodes are hard in every arm."""
    stream = generator(number, "suite study")
    ease = np.clip(stream.normal(0.85, 0.15, episodes), 0.0, 1.0)
    arms = [(NOMINAL, 0.0), *((find_axis(name).arm(2), cost) for name, cost in zip(NAMES, costs, strict=True))]
    cells, log = [], []
    for arm, cost in arms:
        labels = {"task": PLACE[1], "axis": arm.axis, "level": arm.level}
        cells.append(Cell(*PLACE, arm, ("p",), 0, labels))
        won = stream.random(episodes) < ease * (1 - cost)
        log += [
            {"host": str(PLACE[0]), "policy": "p", "seed": s, "error": None, "lifted": bool(w), "success": bool(w)}
            | labels
            for s, w in enumerate(won)
        ]
    return Plan(tuple(cells), tuple(range(episodes))), log


def _truth(costs):
    """Return the mean drop of the study's population."""
    ease = np.clip(generator(0, "suite truth").normal(0.85, 0.15, 10**6), 0.0, 1.0).mean()
    return float(ease * np.mean(costs))


@pytest.mark.slow
@pytest.mark.parametrize("costs", [COSTS, (0.0,) * 7, (0.0, 0.0, 0.0, 0.02, 0.05, 0.05, 0.1)])
@pytest.mark.parametrize("episodes", [8, 20, 50])
def test_the_interval_of_a_mean_drop_holds_the_truth(episodes, costs):
    truth, held, width, studies = _truth(costs), 0, 0.0, 200
    for number in range(studies):
        plan, log = _study(number, episodes=episodes, costs=costs)
        found = means(log, plan)[0]["drop"]
        held += found["low"] <= truth <= found["high"]
        width += (found["high"] - found["low"]) / studies
    told = (
        f"{episodes} episodes, mean drop {100 * truth:.0f} points: held in {100 * held / studies:.1f} % of the studies"
    )
    print(f"{told}, {100 * width:.0f} points wide")
    assert held / studies >= 0.92  # 95 %, less two standard errors of 200 studies.


@pytest.mark.slow
def test_axes_that_cost_nothing_are_hardly_ever_called_costly():
    wrong, studies = 0, 1000
    for number in range(studies):
        plan, log = _study(number, episodes=50, costs=(0.0,) * len(NAMES))
        rows = [row for row in drops(log, plan) if row["outcome"] == "lifted"]
        wrong += any(row["p_holm"] <= 0.05 for row in rows)
    print(f"a costless axis was called costly in {wrong} of {studies} studies")
    assert wrong / studies <= 0.05


@pytest.mark.slow
def test_the_interval_of_a_drop_holds_the_truth_at_every_axis():
    ease, held, asked = _truth((1.0,)), np.zeros(len(NAMES)), 300
    for number in range(asked):
        plan, log = _study(number, episodes=30, costs=COSTS)
        rows = {row["axis"]: row["drop"] for row in drops(log, plan) if row["outcome"] == "lifted"}
        for k, (name, cost) in enumerate(zip(NAMES, COSTS, strict=True)):
            held[k] += rows[name]["low"] <= ease * cost <= rows[name]["high"]
    print(f"exact intervals of drops held the truth in {np.round(100 * held / asked, 1)} %")
    assert (held / asked >= 0.95).all()

"""Cells of the randomization, and the test of kept against drawn."""

from collections import Counter

import numpy as np
import pytest

from datagen.bias import adjusted, chi_square, chi_square_tail, kept_against_drawn
from datagen.cells import Axis, CellCounts, knob_axes, report_axes
from datagen.units import template_of
from tasks.catalogue import TASKS, load_task

TASK = load_task("lift_cube")


def test_every_knob_has_cells_of_equal_probability():
    axes = {axis.name: axis for axis in knob_axes(TASK, "train", bins=4)}
    draws = [TASK.draw(seed) | {"template": TASK.instruction(seed)[1]} for seed in range(800)]
    for axis in axes.values():
        counts = Counter(axis.cell(draw) for draw in draws)
        assert set(counts) == set(range(len(axis.labels))), axis.name
        if axis.cuts:
            assert min(counts.values()) > 130, axis.name
    assert axes["cube.mass"].labels[0] == "below 0.074"
    assert axes["cube.color"].choices == ("red", "green", "blue", "yellow", "orange", "purple")
    assert {"cube.position[0]", "cube.position[1]", "cube.half_size", "template"} <= set(axes)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_cells_for_what_it_draws(name):
    task = load_task(name)
    axes = report_axes(task, "train", "step")
    draws = [task.draw(seed) | {"template": template_of(task, seed, "train")} for seed in range(200)]
    for axis in axes:
        found = {axis.cell(draw) for draw in draws}
        assert None not in found or not all(axis.path in draw for draw in draws), axis.name
        assert len(found - {None}) > 1, axis.name
    places = {f"{item.name}.position" for item in task.scene.objects if f"{item.name}.position" in draws[0]}
    assert places <= {axis.path for axis in axes}


def test_looks_that_change_with_every_frame_are_not_counted():
    names = {axis.name for axis in report_axes(TASK, "train", "step")}
    assert {"cube.color", "cube.mass", "template"} <= names
    assert not {"light.ambient", "table.texture", "image.noise"} & names
    assert "light.ambient" in {axis.name for axis in report_axes(TASK, "train", "episode")}


def test_what_is_not_drawn_or_unknown_has_no_cell():
    axis = Axis("cube.color", "cube.color", choices=("red", "blue"))
    assert [axis.cell({"cube.color": c}) for c in ("red", "blue", "pink")] == [0, 1, None]
    assert axis.cell({}) is None
    assert Axis("m", "m", cuts=(1.0, 2.0)).cell({"m": 2.0}) == 2


def test_counts_come_back_and_add_up():
    axes = (Axis("m", "m", cuts=(1.0,)),)
    counts = CellCounts(axes)
    for value, reason in ((0.5, ""), (0.5, "late"), (1.5, ""), (1.5, "")):
        counts.add({"m": value}, reason)
    counts.move({"m": 1.5}, "late")
    counts.merge(CellCounts.from_json(axes, counts.to_json()))
    assert [dict(cell) for cell in counts.of(axes[0])] == [{"": 2, "late": 2}, {"": 2, "late": 2}]


@pytest.mark.parametrize(
    ("value", "degrees", "p"), [(3.841, 1, 0.05), (11.07, 5, 0.05), (20.09, 8, 0.01), (0.0, 3, 1.0), (30.58, 15, 0.01)]
)
def test_the_tail_of_chi_square_is_that_of_the_tables(value, degrees, p):
    assert chi_square_tail(value, degrees) == pytest.approx(p, rel=2e-3)


def test_p_is_uniform_where_nothing_leans():
    stream = np.random.default_rng(0)
    kept = [stream.binomial(100, 0.7, size=6) for _ in range(400)]
    found = [chi_square([(int(k), 100 - int(k)) for k in row])["p"] for row in kept]
    assert np.mean(np.array(found) < 0.1) == pytest.approx(0.1, abs=0.04)
    assert np.mean(np.array(found) < 0.5) == pytest.approx(0.5, abs=0.07)


def test_a_filter_that_leans_is_told_with_its_cells():
    axes = (Axis("cube.mass", "cube.mass", cuts=(1.0,)), Axis("cube.yaw", "cube.yaw", cuts=(0.0,)))
    counts, written = CellCounts(axes), CellCounts(axes)
    for k in range(400):
        draw = {"cube.mass": 0.5 + k % 2, "cube.yaw": -1.0 + 2 * (k // 2 % 2)}
        counts.add(draw, "too heavy" if k % 2 and k % 3 else "")
    mass, yaw = kept_against_drawn(counts, written)
    assert mass["leans"]
    assert "100% of below 1" in mass["words"]
    assert mass["cells"][1]["rejected"] == {"too heavy": 133}
    assert mass["cells"][1]["drawn"] == 200
    assert mass["cells"][1]["low"] < mass["cells"][1]["acceptance"] < mass["cells"][1]["high"]
    assert not yaw["leans"]
    assert "kept follows drawn" in yaw["words"]


def test_few_rejections_give_no_verdict():
    assert chi_square([(50, 1), (50, 0)])["p"] is None
    assert chi_square([(50, 0), (50, 0)])["p"] is None


def test_holm_multiplies_the_smallest_most():
    assert adjusted([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])

"""The page of a suite: drops with intervals and their picture, gaps named, everything that came from data escaped."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import simplejpeg

from bench.axes import find_axis
from bench.config import BenchResult, HostTask
from bench.episode_log import encode
from bench.metrics import Metrics
from bench.record import frame_folder
from bench.suite import load_suite
from bench.suite_chart import Dot, dot_chart, scale
from bench.suite_plan import Cell, Plan
from bench.suite_start import plan_record
from bench.suite_summary import summarize_plan
from bench.variation import NOMINAL
from bench.view import build_page
from sim.baselines import RandomPolicy

HOST, TASK = HostTask("demomill", "lift_cube-v2"), "lift_cube-v2"
POLICIES = ("vla <b>", "expert")
METRICS = dict.fromkeys(Metrics.__dataclass_fields__, 1.25)
ARMS = (
    NOMINAL,
    *(find_axis("image_blur").arm(level) for level in (1, 2, 3)),
    find_axis("sentence_blank").arm(1),
    find_axis("grounding_right").arm(1),
    find_axis("grounding_swapped").arm(1),
)
GAP = {"host": "robosuite:<Lift>", "task": TASK, "axis": "table_color", "why": "cannot turn table.color"}
UNSEEN = {"host": str(HOST), "task": TASK, "axis": "image_blur", "level": 2, "policy": "expert"}


def _record(arm, policy, seed, *, lifted):
    shown = {"target.present": 1.0, "other1.present": 1.0, "sentence.names": "other1"}
    return {
        "host": str(HOST), "task": TASK, "axis": arm.axis, "level": arm.level, "policy": policy, "seed": seed,
        "instruction": "lift the <red> cube", "length": 60, "draw": shown, "error": None, "target": "target",
        "success": lifted, "success_once": lifted, "lifted": lifted, "lifted_once": lifted, "acted_on": "target",
        "failure": None if lifted else {"mode": "timeout", "distance": None, "object": None}, "metrics": METRICS,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Return the folder of a finished run of a suite, in which blur costs the first policy nearly everything."""
    seeds = tuple(range(12))
    cells = tuple(
        Cell(HOST, TASK, arm, POLICIES[:1] if arm.axis in ("image_blur", "sentence_blank") else POLICIES, 1,
             {"task": TASK, "axis": arm.axis, "level": arm.level})
        for arm in ARMS
    )  # fmt: skip
    plan = Plan(cells, seeds, (GAP,), (UNSEEN,), load_suite("smoke"))
    records = [
        _record(cell.arm, policy, seed, lifted=policy == "expert" or cell.arm.axis != "image_blur" or seed == 0)
        for cell in cells
        for policy in cell.policies
        for seed in seeds
    ]
    records[3] |= {"error": "ValueError: <script>"}
    folder = tmp_path / "run"
    folder.mkdir()
    spec = RandomPolicy(0).spec
    specs = {
        POLICIES[0]: spec,
        POLICIES[1]: type(spec)("expert", spec.convention, frozenset({"privileged"})),
    }
    start = {
        "settings": {"seed": 0, "suite": "smoke"}, "task": {"id": TASK, "digest": "abc"}, "hosts": [str(HOST)],
        "policies": {p: {"name": p, "digest": "d", "inputs": [], "chunk": 1, "execute": 1} for p in POLICIES},
        "packages": {}, "differences": {}, "seeds": list(seeds), "git": None,
        "machine": {"processor": "cpu", "cores": 2, "system": "Linux", "python": "3.11"},
        "renderers": {"opengl": {}, "vulkan": "none"}, "began": "2026-01-01", "command": "demomill bench x",
    }  # fmt: skip
    (folder / "start.json").write_text(json.dumps(start | plan_record(plan)))
    (folder / "episodes.jsonl").write_bytes(b"".join(map(encode, records)))
    (folder / "results.json").write_text(json.dumps(summarize_plan(records, [], plan, specs)))
    blurred = frame_folder(folder, str(HOST), POLICIES[0], 0, labels=cells[2].labels)
    blurred.mkdir(parents=True)
    for step in range(3):
        (blurred / f"{step:04d}.jpg").write_bytes(simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8)))
    return folder


def test_the_page_of_a_suite_shows_drops_means_motion_and_grounding(run):
    page = build_page([run])
    assert "Generalization: suite smoke-v2" in page
    assert page.count('<figure class="chart dots">') == 1, "the expert has no arm to draw"
    assert len(re.findall(r'<circle class="full s[012]"', page)) == 3, "three levels of blur stay significant"
    assert re.findall(r'<circle class="hollow s(\d)"', page) == ["0"], (
        "a blank sentence costs nothing; its level is middle"
    )
    assert "+91 [+" in page
    assert "Not run, because expert reads nothing of it: image blur." in page
    assert "Does the sentence decide?" in page
    assert "cannot turn table.color" in page
    assert "a Gaussian of 1, 2, 3.5 pixels" in page


def test_the_headline_counts_the_nominal_arm_alone(run):
    results = json.loads((run / "results.json").read_text())
    assert [(cell["policy"], cell["n"]) for cell in results["cells"]] == [(POLICIES[0], 11), (POLICIES[1], 12)]
    assert results["cells"][0]["lifted"]["estimate"] == 1.0
    overall = {(row["policy"], row["outcome"]): row for row in results["suite"]["overall"]}
    assert overall[POLICIES[0], "lifted"]["drop"]["estimate"] == pytest.approx(10 / 11, abs=0.02)


def test_filmstrips_of_an_arm_stand_apart_from_the_nominal_ones(run):
    page = build_page([run])
    assert "Filmstrips of the axes: the first episode of 1 arms" in page
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.index("image blur 2, vla") > page.index("No frames were kept")


def test_what_came_from_data_is_escaped(run):
    page = build_page([run])
    for raw in ("<script>", "<red>", "vla <b>", "robosuite:<Lift>"):
        assert raw not in page
    assert "robosuite:&lt;Lift&gt;" in page
    chart = dot_chart([Dot("<i>", 1, {"low": 0.0, "estimate": 0.1, "high": 0.2}, 1.0)], [0, 50], title="<u>")
    assert "<i>" not in chart
    assert "<u>" not in chart


def test_charts_share_a_scale_that_spans_every_interval():
    dots = [
        Dot("a", 1, {"low": -0.31, "estimate": 0.0, "high": 0.2}, 1.0),
        Dot("b", 3, {"low": 0.4, "estimate": 0.7, "high": 0.97}, 0.01),
    ]
    xs = scale(dots)
    assert xs[0] <= -31
    assert xs[-1] >= 97
    assert 0 in xs
    chart = dot_chart(dots, xs, title="t")
    inside = [float(x) for x in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', chart)]
    assert min(inside) >= 126
    assert max(inside) <= 388
    assert dot_chart([], xs, title="t") == ""


def test_the_terminal_names_the_costliest_axes(run, tmp_path):
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(BenchResult(tmp_path, json.loads((run / "results.json").read_text())))
    text = " ".join(console.export_text().split())
    assert "Suite smoke-v2" in text
    assert "image blur 1: +91*" in text
    assert "sentence blank" not in text

"""The page of a run: one file, complete, escaped, and honest about what is missing."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import simplejpeg

from bench.episode_log import encode
from bench.metrics import Metrics
from bench.record import frame_folder
from bench.sections import sections_from
from bench.summary import summarize
from bench.table import mean_text, percent, results_table
from bench.view import build_page, write_page
from sim.charts import Chart, Series, line_chart, ticks
from sim.errors import UserError

HOST, POLICY = "robosuite:Lift", "vla <b>"
METRICS = dict.fromkeys(Metrics.__dataclass_fields__, 1.25)


def _record(seed, *, lifted):
    return {
        "host": HOST,
        "policy": POLICY,
        "seed": seed,
        "instruction": "lift the <red> cube",
        "length": 60,
        "draw": {},
        "error": None,
        "success": lifted,
        "success_once": True,
        "lifted": lifted,
        "lifted_once": True,
        "metrics": METRICS if lifted else METRICS | {"time_to_lifted": None},
    }


@pytest.fixture
def run(tmp_path):
    """Return the folder of a small finished run with two frames and one error."""
    folder = tmp_path / "run"
    folder.mkdir()
    records = [_record(1, lifted=True), _record(2, lifted=False)]
    records.append({"host": HOST, "policy": POLICY, "seed": 3, "error": "ValueError: <script>"})
    start = {
        "settings": {"seed": 0},
        "task": {"id": "lift_cube-v1", "digest": "abc"},
        "hosts": [HOST],
        "policies": {POLICY: {"name": "vla", "digest": "d1", "inputs": ["image"], "chunk": 8, "execute": 2}},
        "packages": {"mujoco": "3.9.0", "torch": None},
        "differences": {HOST: "Lift asks for 4 cm"},
        "seeds": [1, 2, 3],
        "git": None,
        "machine": {"processor": "cpu", "cores": 2, "system": "Linux", "python": "3.11"},
        "renderers": {"opengl": {"error": "none"}, "vulkan": "none found"},
        "began": "2026-01-01",
        "command": "demomill bench x",
    }
    (folder / "start.json").write_text(json.dumps(start))
    (folder / "episodes.jsonl").write_bytes(b"".join(map(encode, records)))
    results = summarize(records, [], hosts=[HOST], policies=[POLICY])
    (folder / "results.json").write_text(json.dumps(results))
    frames = frame_folder(folder, HOST, POLICY, 1)
    frames.mkdir(parents=True)
    for step in range(9):
        (frames / f"{step:04d}.jpg").write_bytes(simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8)))
    return folder


def test_the_page_needs_nothing_but_itself(run, tmp_path):
    path = write_page(tmp_path / "page.html", [run])
    page = path.read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_the_page_shows_rates_with_intervals_errors_and_seven_frames(run):
    page = build_page([run])
    assert "50 % [9, 91]" in page
    assert "1 error(s)" in page
    assert page.count("data:image/jpeg;base64,") == 7
    assert 'title="step 0"' in page
    assert 'title="step 8"' in page
    assert "Lift asks for 4 cm" in page
    assert "demomill bench x" in page


def test_everything_on_the_page_is_escaped(run):
    section = {"title": "<i>x</i>", "facts": {"<k>": "<v>"}, "curves": [_curve("<c>")], "command": "a < b"}
    page = build_page([run], sections=[section])
    for raw in ("<script>", "<red>", "vla <b>", "<i>x</i>", "<k>", "<v>", "<c>", "a < b"):
        assert raw not in page
    assert "&lt;red&gt;" in page


def _curve(name):
    return {"title": name, "x_label": name, "series": [{"name": name, "x": [0, 1, 2], "y": [0.0, 0.5, 0.9]}]}


def test_sections_show_where_policies_came_from(run):
    table = {"columns": ["source", "share"], "rows": [["synthetic", "90 %"], ["stand-in for real", "10 %"]]}
    page = build_page([run], sections=[{"title": "Mixture", "table": table, "curves": [_curve("loss")]}])
    assert "stand-in for real" in page
    assert 'class="curve s0"' in page


def test_wrong_sections_are_refused():
    with pytest.raises(UserError, match="Did you mean 'curves'"):
        sections_from([{"title": "x", "curve": []}])
    with pytest.raises(UserError, match="lacks title"):
        sections_from([{"text": "x"}])
    with pytest.raises(UserError, match="2 columns and a row of 1"):
        sections_from([{"title": "x", "table": {"columns": ["a", "b"], "rows": [[1]]}}])
    uneven = {"title": "c", "series": [{"name": "s", "x": [1], "y": []}]}
    with pytest.raises(UserError, match="must be equal"):
        sections_from([{"title": "x", "curves": [uneven]}])


def test_an_unfinished_run_and_no_run_are_refused(run):
    (run / "results.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        build_page([run])
    with pytest.raises(UserError, match="at least one"):
        build_page([])


def test_a_curve_without_data_says_so():
    nothing = Chart("loss", [Series("empty", [], []), Series("bad", [0.0, 1.0], [float("nan"), 1.0])])
    assert "no data: empty, bad" in line_chart(nothing)


@pytest.mark.parametrize("values", [[0.0, 1.0], [3.0, 3.0], [-2e6, 5e5], [0.001, 0.0042]])
def test_ticks_span_their_values(values):
    found = ticks(values)
    assert found[0] <= min(values) + 1e-12
    assert found[-1] >= max(values) - 1e-12
    assert 2 <= len(found) <= 7
    assert found == sorted(found)


def test_numbers_read_as_text():
    interval = {"low": 0.8378, "estimate": 0.94, "high": 0.9794}
    assert percent(interval) == "94 % [84, 98]"
    assert mean_text(interval, 2) == "0.94 [0.84, 0.98]"
    assert percent(None) == mean_text(None, 1) == "-"


def test_the_terminal_table_has_a_row_per_cell(run):
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(results_table(json.loads((run / "results.json").read_text())))
    text = console.export_text()
    assert "50 % [9, 91]" in text
    assert "robosuite" in text
    assert "n = " in text
    narrow = Console(width=80, record=True, file=io.StringIO())
    results = json.loads((run / "results.json").read_text())
    rate = {"estimate": 1.0, "low": 0.89, "high": 1.0, "n": 30}
    for cell in results["cells"]:
        cell |= {
            "host": "maniskill:PickCube-v1",
            "policy": "expert (upper bound)",
            "errors": [],
            "success": rate,
            "lifted": rate,
        }
    narrow.print(results_table(results))
    assert "…" not in narrow.export_text()


def test_remarks_stand_under_the_headline_and_are_escaped(run):
    page = build_page([run], remarks=["There <b>it</b> is not held out."])
    assert "There &lt;b&gt;it&lt;/b&gt; is not held out." in page
    assert page.index("is not held out") < page.index("Smoothness")

"""One self-contained HTML page of one or more benchmark runs: numbers with intervals, filmstrips, provenance."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.compare_table import p_text, points, sequential_text
from bench.episode_log import read_log
from bench.failures import MODES, told
from bench.lineage import lineage_sections
from bench.matching import start_record
from bench.record import frame_folder
from bench.sections import Section, sections_from
from bench.suite_page import suite_view
from bench.table import COLUMNS, FORCES, mean_text, milliseconds, percent
from bench.variation import NOMINAL_AXIS
from sim.errors import UserError
from sim.files import read_record, write_bytes
from sim.pages import page_environment

if TYPE_CHECKING:
    import jinja2

STRIP = 7
"""Most frames of one filmstrip."""


def write_page(
    path: Path,
    runs: Sequence[Path],
    *,
    sections: Iterable[Mapping[str, Any] | Section] = (),
    remarks: Sequence[str] = (),
    comparisons: Sequence[Mapping[str, Any]] = (),
    title: str = "demomill benchmark",
) -> Path:
    """Write the page of `runs` to `path` and return it. It needs no network and no other file."""
    page = build_page(runs, sections=sections, remarks=remarks, comparisons=comparisons, title=title)
    write_bytes(path, page.encode())
    return path


def build_page(
    runs: Sequence[Path],
    *,
    sections: Iterable[Mapping[str, Any] | Section] = (),
    remarks: Sequence[str] = (),
    comparisons: Sequence[Mapping[str, Any]] = (),
    title: str = "demomill benchmark",
) -> str:
    """Return the page of finished runs as HTML; everything that is shown is escaped.

    `remarks` are sentences that stand right under the headline numbers: what a reader must know to read them.

    `comparisons` (see `bench.compare`) stand first: which policy won which episodes.

    `sections` tell where the policies came from (see `bench.sections`): expert, dataset, mixture, training.
    """
    if not runs:
        raise UserError("A page needs at least one benchmark run; none was given. Name the folder of a run.")
    environment = templates()
    shown = [load_run(run) for run in runs]
    if len({run["name"] for run in shown}) < len(shown):
        shown = [run | {"name": str(folder)} for run, folder in zip(shown, runs, strict=True)]
    told_before = list(sections)
    lineages = [] if told_before else [section for run in shown for section in lineage_sections(run["start"])]
    return environment.get_template("page.html").render(
        title=title,
        runs=shown,
        sections=sections_from([*told_before, *lineages]),
        remarks=remarks,
        comparisons=comparisons,
        modes=MODES,
    )


def templates() -> jinja2.Environment:
    """Return the environment of the benchmark's page templates; everything they are given is escaped."""
    environment = page_environment(Path(__file__).parent / "templates")
    environment.globals.update(columns=COLUMNS, forces=FORCES)
    environment.filters.update(
        percent=percent,
        mean_text=mean_text,
        points=points,
        p_text=p_text,
        sequential_text=sequential_text,
        told=told,
        milliseconds=milliseconds,
    )
    return environment


def load_run(folder: Path) -> dict[str, Any]:
    """Return what the page shows of the finished run in `folder`."""
    start = start_record(folder)
    results, log = read_record(folder / "results.json", "cells"), read_log(folder / "episodes.jsonl")
    return {
        "name": folder.name,
        "start": start,
        "results": results,
        "suite": suite_view(results),
        "filmstrips": [
            {"host": cell["host"], "policy": cell["policy"], "episodes": strips(folder, cell, log)}
            for cell in results["cells"]
        ],
        "arms": [
            {"arm": arm, "episodes": shown}
            for arm in results.get("suite", {}).get("arms", ())
            if arm["axis"] != NOMINAL_AXIS and (shown := strips(folder, arm, log))
        ],
    }


def strips(folder: Path, cell: Mapping[str, Any], log: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the filmed episodes of one cell or arm, each with its frames as data URIs."""
    wanted, found = (cell["host"], cell["policy"], *_arm(cell)), []
    for record in log:
        if (record["host"], record["policy"], *_arm(record)) != wanted or record["error"] is not None:
            continue
        kept = frame_folder(folder, record["host"], record["policy"], record["seed"], labels=record)
        frames = sorted(kept.glob("*.jpg"))
        if frames:
            found.append({"record": record, "frames": [_frame(path) for path in _spread(frames)]})
    return found


def _arm(names: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return task, axis and level of a record, a cell or an arm."""
    return names.get("task", ""), names.get("axis", NOMINAL_AXIS), names.get("level", 0)


def _spread(frames: Sequence[Path]) -> list[Path]:
    """Return at most `STRIP` frames, evenly spread, first and last included."""
    if len(frames) <= STRIP:
        return list(frames)
    return [frames[round(k * (len(frames) - 1) / (STRIP - 1))] for k in range(STRIP)]


def _frame(path: Path) -> dict[str, Any]:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return {"step": int(path.stem), "source": f"data:image/jpeg;base64,{data}"}

"""`demomill ablate`: a grid of settings trained and benchmarked, every shared stage once, resumable, in one report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ahead import check_ahead
from bench.episode_log import read_log
from bench.study import Cell, Stage, StudyConfig, all_stages, cells
from bench.study_report import Outcome, outcomes, report
from bench.study_stages import VLA, run_stage
from sim.errors import UserError
from sim.files import read_json, read_record, require_folder, write_json

if TYPE_CHECKING:
    from rich.console import Group

STATE, RESULTS, PAGE = "study.json", "results.json", "report.html"
"""Files of a study's folder."""


@dataclass(frozen=True)
class StudyPlan:
    """What a study would do."""

    # Cells, and the stages that they share.
    cells: tuple[str, ...]
    # {"stage", "cells" that use it, "finished", "seconds" it took or may take, None where unknown}.
    stages: tuple[dict[str, Any], ...]
    # Seconds that are left, where all of them can be told.
    seconds: float | None

    def __rich__(self) -> Group:
        """Return the plan as a table for a terminal."""
        from bench.study_table import plan_table

        return plan_table(self)


@dataclass(frozen=True)
class StudyResult:
    """What a study found."""

    out: Path
    page: Path
    # The content of results.json; see `bench.study_report.report`.
    results: dict[str, Any]

    def __rich__(self) -> Group:
        """Return the tables for a terminal."""
        from bench.study_table import result_tables

        return result_tables(self)


def ablate(config: StudyConfig) -> StudyResult | StudyPlan:
    """Run what is missing of a study and report it; with `dry_run`, say what is missing.

    A stage that fails does not end the study: what does not need it goes on, the report is written of what there is,
    and the failures are told at the end. The same command continues.
    """
    require_folder(config.out)
    folder, digest = _expert(config)
    grid = cells(config, expert=digest)
    for cell in grid:
        check_ahead(cell.stages["vla"].config, where=f"{cell.title}: ", own=STATE)
    state = _state(config.out)
    if config.dry_run:
        return _plan(grid, state)
    failed = _run(config, grid, state, expert=folder)
    finished = [cell for cell in grid if cell.stages["benchmark"].name in state]
    result = _report(config, grid, finished, state, failed) if finished else None
    if failed or result is None:
        told = "\n".join(f"  {name}: {why}" for name, why in failed.items())
        raise UserError(
            f"{len(failed)} of {len(all_stages(grid))} stages failed; {len(finished)} of {len(grid)} cells are "
            f"finished{'' if result is None else f' and reported in {result.page}'}:\n{told}\n"
            "Mend the cause and run the same command again; what was finished is kept."
        )
    return result


def _expert(config: StudyConfig) -> tuple[str, str]:
    """Return folder and digest of the expert that demonstrates."""
    from policies.expert import expert_folder

    folder = expert_folder(config.expert.removeprefix("expert:") or config.task)
    return str(folder.resolve()), str(read_json(folder / "checkpoint.json")["sha256"])


def _state(out: Path) -> dict[str, Any]:
    """Return the results of the finished stages by name."""
    path = out / STATE
    if path.is_file():
        return dict(read_record(path, "stages")["stages"])
    if out.exists() and any(out.iterdir()):
        raise UserError(f"The folder {out} is not empty and holds no study. Name a new folder with --out.")
    return {}


def _run(config: StudyConfig, grid: Sequence[Cell], state: dict[str, Any], *, expert: str) -> dict[str, str]:
    """Run the stages that are missing, in order, and return why some failed."""
    stages, failed = all_stages(list(grid)), dict[str, str]()
    for number, stage in enumerate(stages, start=1):
        head = f"[{number}/{len(stages)}] {stage.name}"
        needed = {kind: f"{kind}-{key}" for kind, key in stage.needs.items()}
        if stage.name in state:
            print(f"{head}: finished before ({state[stage.name]['seconds']:.0f} s)", file=sys.stderr, flush=True)
            continue
        missing = [name for name in needed.values() if name in failed]
        if missing:
            failed[stage.name] = f"needs {', '.join(missing)}, which failed"
            continue
        print(head, file=sys.stderr, flush=True)
        results = {kind: state[name] for kind, name in needed.items()}
        try:
            state[stage.name] = run_stage(stage, config.out / "stages" / stage.name, results, expert)
        except UserError as error:
            failed[stage.name] = str(error)
            print(f"{head}: failed: {error}", file=sys.stderr, flush=True)
            continue
        write_json(config.out / STATE, {"stages": state})
    return failed


def _report(
    config: StudyConfig,
    grid: Sequence[Cell],
    finished: Sequence[Cell],
    state: Mapping[str, Any],
    failed: Mapping[str, str],
) -> StudyResult:
    """Write results.json and the page of the finished cells."""
    from bench.study_page import write_study_page

    found: list[Outcome] = []
    for cell in finished:
        log = read_log(Path(state[cell.stages["benchmark"].name]["folder"]) / "episodes.jsonl")
        found += outcomes(cell, log, policy=VLA, outcome=config.outcome)
    results = report(config, found)
    results |= {
        "task": config.task,
        "grid": [
            {"cell": cell.title, "finished": cell in finished, "stages": {k: s.name for k, s in cell.stages.items()}}
            for cell in grid
        ],
        "failed": dict(failed),
        "reference": _reference(grid, state),
        "minutes": round(sum(done["seconds"] for done in state.values()) / 60, 1),
    }
    write_json(config.out / RESULTS, results)
    return StudyResult(config.out, write_study_page(config.out / PAGE, results), results)


def _reference(grid: Sequence[Cell], state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rates of the expert and of the random policy, of each reference that is finished."""
    names = dict.fromkeys(cell.stages["reference"].name for cell in grid)
    return [
        {name: cell[name] for name in ("host", "policy", "n", "success", "lifted")}
        for stage in names
        if stage in state
        for cell in read_json(Path(state[stage]["folder"]) / "results.json")["cells"]
    ]


def _plan(grid: Sequence[Cell], state: Mapping[str, Any]) -> StudyPlan:
    """Return what would be done."""
    from bench.study_time import estimate

    rows, left = list[dict[str, Any]](), list[float | None]()
    for stage in all_stages(list(grid)):
        users = sum(stage.name in {each.name for each in cell.stages.values()} for cell in grid)
        done = stage.name in state
        seconds = state[stage.name]["seconds"] if done else estimate(stage, _finished(grid, state))
        rows.append({"stage": stage.name, "cells": users, "finished": done, "seconds": seconds})
        left += [] if done else [seconds]
    known = [each for each in left if each is not None]
    whole = sum(known) if len(known) == len(left) else None
    return StudyPlan(tuple(cell.title for cell in grid), tuple(rows), whole)


def _finished(grid: Sequence[Cell], state: Mapping[str, Any]) -> list[tuple[Stage, float]]:
    """Return the finished stages with the seconds that they took."""
    return [(stage, state[stage.name]["seconds"]) for stage in all_stages(list(grid)) if stage.name in state]

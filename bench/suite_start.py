"""What the start record of a run says of its plan: tasks, suite, cells, and what is not available where."""

from __future__ import annotations

from typing import Any

from bench.axes import axis_data, find_axis
from bench.suite_plan import Plan
from sim.files import digest_json
from tasks.catalogue import load_task


def task_record(plan: Plan) -> dict[str, Any]:
    """Return id and digest of the run's task, or of its tasks together."""
    tasks = {task: load_task(task).digest() for task in dict.fromkeys(cell.task for cell in plan.cells)}
    if len(tasks) == 1:
        ((name, digest),) = tasks.items()
        return {"id": name, "digest": digest}
    return {"id": ", ".join(tasks), "digest": digest_json(tasks)}


def plan_record(plan: Plan) -> dict[str, Any]:
    """Return the suite, its cells and what of it cannot run; nothing for a run without a suite."""
    if plan.suite is None:
        return {}
    axes = [cell.arm.axis for cell in plan.cells if cell.arm.laws]
    return {
        "suite": plan.suite.record(),
        "axes": {name: axis_data(find_axis(name)) for name in dict.fromkeys(axes)},
        "cells": [
            {
                "host": str(cell.host),
                "task": cell.task,
                "axis": cell.arm.axis,
                "level": cell.arm.level,
                "laws": [law.text for law in cell.arm.laws],
                "policies": list(cell.policies),
            }
            for cell in plan.cells
        ],
        "unavailable": list(plan.unavailable),
        "unnoticed": list(plan.unnoticed),
    }


def twin_differences(plan: Plan) -> dict[str, str]:
    """Return what each host asks for differently, by "host:environment"."""
    twins = [twin for task in dict.fromkeys(cell.task for cell in plan.cells) for twin in load_task(task).twins]
    return {f"{twin.host}:{twin.host_task}": twin.difference for twin in twins}

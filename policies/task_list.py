"""The catalogue for people: every task with its sentences, its twins, and the expert that comes with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from policies.expert import RECORD, SHIPPED
from sim.files import read_json
from tasks.catalogue import TASKS, load_task
from tasks.task import Task, Twin


@dataclass(frozen=True)
class ShippedExpert:
    """The expert of a task that comes with demomill, and what it was measured to reach."""

    # Success held at the end, with its 95 % Wilson interval, in [0, 1], and the episodes measured.
    success: float
    low: float
    high: float
    episodes: int
    # It was trained for the task as it is now: the digests agree.
    current: bool


@dataclass(frozen=True)
class TaskRow:
    """One task."""

    id: str
    summary: str
    # Steps after which an episode is truncated.
    horizon: int
    digest: str
    # Randomization presets, and sentences by template id.
    presets: tuple[str, ...]
    instructions: dict[str, str]
    twins: tuple[Twin, ...]
    expert: ShippedExpert | None


@dataclass(frozen=True)
class TaskList:
    """All tasks of this version."""

    tasks: tuple[TaskRow, ...]

    def __rich__(self) -> RenderableType:
        """Return a paragraph per task."""
        return Group(*(line for row in self.tasks for line in _paragraph(row)))


def list_tasks() -> TaskList:
    """Return every task of the catalogue."""
    return TaskList(tuple(_row(load_task(name)) for name in sorted(TASKS)))


def _row(task: Task) -> TaskRow:
    return TaskRow(
        id=task.id,
        summary=task.summary,
        horizon=task.horizon,
        digest=task.digest(),
        presets=tuple(task.presets),
        instructions=dict(task.templates),
        twins=task.twins,
        expert=_expert(task),
    )


def _expert(task: Task) -> ShippedExpert | None:
    path = SHIPPED / task.id / RECORD
    if not path.is_file():
        return None
    record: dict[str, Any] = read_json(path)
    rate = record["score"]["success"]
    current = record["task_digest"] == task.digest()
    return ShippedExpert(rate["value"], rate["low"], rate["high"], rate["n"], current)


def _paragraph(row: TaskRow) -> list[Text]:
    """Return the lines that show one task."""
    twins = [f"  twin       {twin.host} {twin.host_task}: {twin.difference}" for twin in row.twins]
    sentences = [f"  says       {sentence}" for name, sentence in row.instructions.items() if "held_out" not in name]
    lines = [
        f"  {row.summary}",
        f"  expert     {_expert_text(row)}",
        f"  presets    {', '.join(row.presets)}",
        f"  horizon    {row.horizon} steps",
        *twins,
        *sentences,
    ]
    return [Text(row.id, style="bold"), *(Text(line) for line in lines)]


def _expert_text(row: TaskRow) -> str:
    if row.expert is None:
        return f"no expert yet; type: demomill train-expert {row.id}"
    found = row.expert
    text = f"{found.success:.1%} [{found.low:.1%}, {found.high:.1%}] of {found.episodes} randomized episodes"
    return text if found.current else f"{text}; trained for another digest of the task"

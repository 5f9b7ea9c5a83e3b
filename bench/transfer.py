"""`demomill transfer`: experts on other engines than their own, as one table of engine x engine with intervals."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.curves import machine
from policies.evaluate_expert import EvaluateExpertConfig, ExpertScore, evaluate_expert
from policies.expert import load_expert
from sim.engine import ENGINES, WITH_DEVICE, make_engine
from sim.errors import UserError, unknown
from sim.files import require_folder, write_bytes, write_json
from sim.ranges import EPISODES, require
from tasks.catalogue import load_task

if TYPE_CHECKING:
    from rich.console import Group

NO_EXPERT = "no expert was trained on it"


@dataclass(frozen=True)
class TransferConfig:
    """Experts of one task, each evaluated on every engine, on the same episodes."""

    # Experts: a task for its shipped one, or folders of `demomill train-expert`.
    experts: tuple[str, ...]
    # Engines to evaluate on; none stands for all that demomill knows. One that cannot run here is told with its reason.
    engines: tuple[str, ...] = ()
    # Episodes of each cell, on validation seeds.
    episodes: int = 200
    # Which validation seeds: 0 to 511.
    seed: int = 0
    # Randomization preset.
    preset: str = "physical"
    # Device of engines that have a choice, "cuda:0" or "cpu".
    device: str | None = None
    # Folder for transfer.json and transfer.md.
    out: Path | None = None

    def __post_init__(self) -> None:
        for name in self.engines:
            if name not in ENGINES:
                raise unknown("engine", name, ENGINES)
        require(self, {"episodes": EPISODES})


@dataclass(frozen=True)
class Cell:
    """One expert on one engine."""

    expert: str
    # Engine that the expert was trained on, and the one that it is judged on.
    trained: str
    judged: str
    # None: the engine did not run; `reason` says why.
    score: ExpertScore | None
    reason: str = ""

    def __str__(self) -> str:
        """Return the success with its interval, or "never run"."""
        if self.score is None:
            return "never run"
        broken = f", {self.score.errors} errors" if self.score.errors else ""
        return f"{self.score.success}{broken}"


@dataclass(frozen=True)
class TransferResult:
    """The table: one row per expert, one column per engine."""

    task: str
    engines: tuple[str, ...]
    cells: tuple[Cell, ...]
    # Engine -> why it did not run here.
    missing: dict[str, str]
    episodes: int
    preset: str
    seed: int
    # When and where it was measured.
    date: str
    machine: str

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's rows: trained on, expert, one cell per engine; engines without an expert have one too."""
        found: list[tuple[str, ...]] = []
        for name in dict.fromkeys((*self.engines, *(cell.trained for cell in self.cells))):
            experts = list(dict.fromkeys(cell.expert for cell in self.cells if cell.trained == name))
            for expert in experts:
                cells = {cell.judged: str(cell) for cell in self.cells if cell.expert == expert}
                found.append((name, expert, *(cells[judged] for judged in self.engines)))
            if not experts:
                why = "never run" if name in self.missing else NO_EXPERT
                found.append((name, "-", *(why for _ in self.engines)))
        return found

    def markdown(self) -> str:
        """Return the table as Markdown, with what it was measured on below."""
        header = ("trained on", "expert", *self.engines)
        lines = [header, tuple("---" for _ in header), *self.rows()]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        notes = "".join(f"\n- {name} did not run: {why}" for name, why in self.missing.items())
        measured = (
            f"{self.task}, preset `{self.preset}`, {self.episodes} episodes per cell (validation seed {self.seed}, the "
            f"same in every cell), success held at the end, 95 % Wilson interval; {self.date}, {self.machine}."
        )
        return f"{table}\n\n{measured}\n{notes}".rstrip() + "\n"

    def __rich__(self) -> Group:
        """Return the table for a terminal."""
        from rich.console import Group
        from rich.table import Table

        table = Table("trained on", "expert", *self.engines, title=f"{self.task}: success by engine")
        for row in self.rows():
            table.add_row(*row)
        return Group(table, *(f"{name} did not run: {why}" for name, why in self.missing.items()))


def transfer(config: TransferConfig) -> TransferResult:
    """Evaluate every expert on every engine that runs here, and return the table."""
    if config.out is not None:
        require_folder(config.out)
    experts = {name: load_expert(name) for name in config.experts}
    if not experts:
        raise UserError("demomill transfer needs an expert. Type: demomill transfer lift_cube-v1")
    tasks = {expert.task for expert in experts.values()}
    if len(tasks) > 1:
        raise UserError(f"The experts are of several tasks: {', '.join(sorted(tasks))}. A table is of one task.")
    (task,) = tasks
    engines = config.engines or tuple(ENGINES)
    missing = _missing(task, engines, config.device)
    cells = []
    for name, expert in experts.items():
        trained = trained_on((expert.spec.record or {}).get("command", ""))
        for judged in engines:
            score = None if judged in missing else evaluate_expert(_one(config, name, judged))
            cells.append(Cell(name, trained, judged, score, missing.get(judged, "")))
    result = TransferResult(
        task,
        engines,
        tuple(cells),
        missing,
        config.episodes,
        config.preset,
        config.seed,
        datetime.date.today().isoformat(),
        machine(),
    )
    _write(result, config.out)
    return result


def _one(config: TransferConfig, expert: str, engine: str) -> EvaluateExpertConfig:
    """Return the evaluation of one cell."""
    return EvaluateExpertConfig(
        expert,
        episodes=config.episodes,
        seed=config.seed,
        preset=config.preset,
        engine=engine,
        device=config.device if engine in WITH_DEVICE else None,
    )


def _missing(task: str, engines: Sequence[str], device: str | None) -> dict[str, str]:
    """Return the engines that cannot run here, each with the reason that it gives itself."""
    missing = {}
    for name in engines:
        try:
            make_engine(name, load_task(task).scene, n=1, device=device if name in WITH_DEVICE else None).close()
        except UserError as error:
            missing[name] = str(error)
    if len(missing) == len(engines):
        raise UserError("None of the engines runs here. " + " ".join(f"{k}: {v}" for k, v in missing.items()))
    return missing


def trained_on(command: str) -> str:
    """Return the engine that the command of an expert's training names; the default where it names none."""
    words = command.split()
    return words[words.index("--engine") + 1] if "--engine" in words[:-1] else "mujoco"


def _write(result: TransferResult, folder: Path | None) -> None:
    """Write the table for programs and for people."""
    if folder is None:
        return
    data: dict[str, Any] = asdict(result)
    write_json(folder / "transfer.json", data)
    write_bytes(folder / "transfer.md", result.markdown().encode())

"""What the stages of one overnight job share, and what the job leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.table import results_table
from sim.files import read_json
from tasks.task import Task

if TYPE_CHECKING:
    from rich.console import Group

    from bench.overnight import OvernightConfig


@dataclass
class Night:
    """One overnight job under way."""

    config: OvernightConfig
    task: Task
    out: Path
    # Stage -> what it returned, JSON.
    results: dict[str, Any]

    def result(self, stage: str) -> dict[str, Any]:
        """Return what an earlier stage returned."""
        found: dict[str, Any] = self.results[stage]
        return found

    def expert(self) -> str:
        """Return the POLICY text of the expert as it demonstrates and labels."""
        folder, floor = str(self.result("expert")["folder"]), self.config.synthetic.floor
        return folder if floor is None else f"{folder}?floor={floor:g}"

    def trained(self) -> str:
        """Return the folder of the VLA: that of the last training."""
        return str(self.result("dagger" if "dagger" in self.results else "vla")["folder"])


@dataclass(frozen=True)
class NightResult:
    """What `demomill overnight` made."""

    page: str
    benchmark: str
    # Stage -> its result, with the seconds it took.
    stages: dict[str, Any]

    @classmethod
    def of(cls, night: Night) -> NightResult:
        """Return the result of a finished night."""
        return cls(night.result("page")["page"], night.result("benchmark")["folder"], dict(night.results))

    def __rich__(self) -> Group:
        """Return the short table and the page's path, for a terminal."""
        from rich.console import Group

        results = read_json(Path(self.benchmark) / "results.json")
        seconds = sum(stage["seconds"] for stage in self.stages.values())
        times = ", ".join(f"{name} {stage['seconds']:.0f} s" for name, stage in self.stages.items())
        return Group(
            results_table(results, title="Benchmark"),
            self.stages["benchmark"]["remark"],
            f"{seconds / 60:.1f} minutes in all: {times}",
            f"page: {self.page}",
        )

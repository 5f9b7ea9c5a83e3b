"""The checklist that says whether an engine is built and converted as it should be, next to the MuJoCo engine."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.checklist import CheckRow, Finding, Verdict, row
from bench.engine_checks import CHECKS, Pair
from bench.engine_scene import FURNISHED, HOLD, SCENE, announce, start
from bench.furnished_checks import FURNISHED_CHECKS
from sim.engine import ENGINES, Engine, make_engine
from sim.errors import UserError, unknown
from sim.ranges import WORLDS as WORLDS_ALLOWED
from sim.ranges import Numbers, require

REFERENCE = "mujoco"

WORLDS = 8
"""Worlds in which an engine is compared with the reference."""


@dataclass(frozen=True)
class CheckEngineConfig:
    """Options of `demomill check-engine`."""

    # Engine to check.
    engine: str
    # Numbers of worlds whose throughput is measured.
    worlds: tuple[int, ...] = (64, 1024, 4096)
    # Time that is measured for each, s; at least three control steps are run.
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if any(count not in WORLDS_ALLOWED for count in self.worlds):
            raise UserError(f"worlds = {list(self.worlds)} is not allowed. Allowed for each: {WORLDS_ALLOWED}.")
        require(self, {"seconds": Numbers(0, 3600)})


@dataclass(frozen=True)
class CheckEngineResult:
    """The checklist of one engine; `ok` where nothing failed."""

    ok: bool
    engine: str
    version: str
    device: str
    rows: tuple[CheckRow, ...]

    def __rich__(self) -> RenderableType:
        """Return the table, and the verdict below it."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("check", "expected", "got", "verdict"):
            table.add_column(column, overflow="fold")
        for each in self.rows:
            style = _STYLE[each.verdict]
            table.add_row(Text(each.check), Text(each.expected), Text(each.got), Text(each.verdict, style=style))
        failed = [each.check for each in self.rows if each.verdict == "fail"]
        told = "passes every check that ran" if self.ok else f"fails: {', '.join(failed)}"
        return Group(table, Text(f"\n{self.engine} {self.version} on {self.device}: {told}.", style="bold"))


_STYLE: dict[Verdict, str] = {"pass": "green", "fail": "red", "skip": "yellow", "info": ""}

PREFLIGHTS: dict[str, str] = {"isaacgym": "bench.isaacgym_preflight:preflight"}
"""Engine -> "module:function" that looks at what the engine needs outside this interpreter, before it is started."""

PLACED: dict[str, str] = {"isaacgym": "bench.isaacgym_preflight:placed"}
"""Engine whose physics can be asked where it has fixtures and waiting bodies -> "module:function" that does."""

CAMERAS: dict[str, str] = {"isaacgym": "bench.isaacgym_preflight:camera_frame"}
"""Engine that draws frames of its own -> "module:function" that compares one with our own renderer's."""


def check_engine(config: CheckEngineConfig) -> CheckEngineResult:
    """Run the checklist over the engine and return what was found; nothing is written."""
    rows = list(_extra(PREFLIGHTS, config.engine))
    if any(each.verdict == "fail" for each in rows):
        return CheckEngineResult(False, config.engine, "unknown", "unknown", tuple(rows))
    try:
        engine = make_engine(config.engine, SCENE, n=WORLDS)
    except UserError as error:
        rows.append(CheckRow("engine", "starts", str(error), "fail"))
        return CheckEngineResult(False, config.engine, "unknown", "unknown", tuple(rows))
    made = engine.capabilities
    rows.extend(_compared(engine, CHECKS))
    furnished = make_engine(config.engine, FURNISHED, n=WORLDS)
    announce(furnished)
    rows.extend(_compared(furnished, FURNISHED_CHECKS))
    for table in (PLACED, CAMERAS):
        rows.extend(_extra(table, config.engine))
    rows.extend(_throughput(config, made.max_worlds))
    ok = all(each.verdict != "fail" for each in rows)
    return CheckEngineResult(ok, made.name, made.version, made.device, tuple(rows))


def _compared(engine: Engine, checks: Mapping[str, Callable[[Pair], Iterable[Finding]]]) -> Iterator[CheckRow]:
    """Run the checks of one scene beside the reference, and close both engines."""
    reference = make_engine(REFERENCE, engine.scene, n=engine.n)
    try:
        for name, check in checks.items():
            yield from _run(name, check, Pair(engine, reference))
    finally:
        engine.close()
        reference.close()


def _extra(table: Mapping[str, str], engine: str) -> Iterator[CheckRow]:
    """Yield the rows of what only this engine needs; what cannot be done is a failed row."""
    if engine not in table:
        return
    module, name = table[engine].split(":")
    try:
        yield from getattr(importlib.import_module(module), name)()
    except UserError as error:
        yield CheckRow(name.replace("_", " "), "runs", str(error), "fail")


def _run(name: str, check: Callable[[Pair], Iterable[Finding]], pair: Pair) -> Iterator[CheckRow]:
    """Run one check; what the engine refuses in words is a failure of that check alone."""
    try:
        for finding in check(pair):
            yield row(name, finding)
    except UserError as error:
        yield CheckRow(name, "runs", str(error), "fail")


def _throughput(config: CheckEngineConfig, most: int) -> Iterator[CheckRow]:
    """Measure control steps per second, all worlds together, without resets, tasks and rendering."""
    for count in config.worlds:
        name, expected = f"throughput, {count} worlds", "environment steps/s"
        if count > most:
            yield CheckRow(name, expected, f"the engine allows {most} worlds", "skip")
            continue
        try:
            speed, wait = _measure(config.engine, count, config.seconds)
        except UserError as error:
            yield CheckRow(name, expected, str(error), "fail")
            continue
        yield CheckRow(name, expected, f"{speed:,.0f} (built in {wait:.1f} s)", "info")


def _measure(engine_name: str, count: int, seconds: float) -> tuple[float, float]:
    """Return environment steps per second, and the seconds that building and first reset took."""
    began = time.perf_counter()
    engine = make_engine(engine_name, SCENE, n=count)
    try:
        start(engine)
        actions = np.tile(HOLD, (count, 1))
        actions[:, 2] = -0.005
        engine.step(actions)
        wait = time.perf_counter() - began
        began, steps = time.perf_counter(), 0
        while steps < 3 or time.perf_counter() - began < seconds:
            actions[:, 2] *= -1.0
            engine.step(actions)
            steps += 1
        engine.state()
        return count * steps / (time.perf_counter() - began), wait
    finally:
        engine.close()

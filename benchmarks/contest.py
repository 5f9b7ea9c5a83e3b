"""Contestants take turns within each round, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import logging
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path

Work = Callable[[], int]
"""Does a piece of work and returns how many units (steps, frames) it was."""


@dataclass(frozen=True)
class Contestant:
    """Who takes part: what makes its work in a fresh process, and in how many processes it works at once."""

    make: Callable[[], Work]
    processes: int = 1


@dataclass(frozen=True)
class Rates:
    """What one contestant reached in each round: units per second over all its processes, CPU seconds per unit."""

    rates: tuple[float, ...]
    costs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median rate over the rounds, 1/s."""
        return statistics.median(self.rates)


def contest(contestants: Mapping[str, Contestant], *, rounds: int, seconds: float) -> dict[str, Rates]:
    """Let each contestant work for `seconds` in each of the rounds; return what they reached, by name."""
    context = multiprocessing.get_context("spawn")
    teams = {name: [_start(context, each.make) for _ in range(each.processes)] for name, each in contestants.items()}
    rates: dict[str, list[float]] = {name: [] for name in teams}
    costs: dict[str, list[float]] = {name: [] for name in teams}
    for _ in range(rounds):
        for name, team in teams.items():
            for pipe in team:
                pipe.send(seconds)
            answers = [pipe.recv() for pipe in team]
            rates[name].append(sum(rate for rate, _ in answers))
            costs[name].append(statistics.mean(cost for _, cost in answers))
    for pipe in (pipe for team in teams.values() for pipe in team):
        pipe.send(None)
    return {name: Rates(tuple(rates[name]), tuple(costs[name])) for name in teams}


def ratios(found: Mapping[str, Rates], one: str, other: str) -> list[float]:
    """Return rate of `one` / rate of `other`, round by round: neighbours in time, so the machine's load cancels."""
    return [a / b for a, b in zip(found[one].rates, found[other].rates, strict=True)]


def thrift(found: Mapping[str, Rates], one: str, other: str) -> float:
    """Return CPU time per unit of `other` / that of `one`, all threads: it hardly depends on what else runs."""
    return statistics.median(found[other].costs) / statistics.median(found[one].costs)


def table(found: Mapping[str, Rates], unit: str) -> list[str]:
    """Return a line per contestant: median rate, its range over the rounds, CPU time per unit of all threads."""
    lines = []
    for name, each in found.items():
        span = f"({min(each.rates):.1f} to {max(each.rates):.1f})"
        cost = 1e3 * statistics.median(each.costs)
        lines.append(f"{name:38s} {each.median:9.1f} {unit}/s {span:22s} {cost:8.3f} ms of CPU per {unit.rstrip('s')}")
    return lines


def _start(context: SpawnContext, make: Callable[[], Work]) -> Connection:
    """Return the pipe to a process that is ready to work; one that cannot start ends the contest with EOFError."""
    pipe, end = context.Pipe()
    context.Process(target=_serve, args=(make, end), daemon=True).start()
    end.close()
    pipe.recv()
    return pipe


def _serve(make: Callable[[], Work], pipe: Connection) -> None:
    """Work for as many seconds as the pipe asks for, again and again, and answer (units/s, CPU seconds per unit)."""
    logging.disable(logging.WARNING)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        work = make()
        work()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        began, busy, units = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            units += work()
        pipe.send((units / (time.perf_counter() - began), (time.process_time() - busy) / units))

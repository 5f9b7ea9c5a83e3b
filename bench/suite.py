"""Suites: frozen data that says which policies are judged where, along which axes, and on how many episodes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.axes import axes_digest, find_axis
from bench.config import BenchConfig
from sim.errors import UserError, unknown
from sim.files import digest_json
from sim.jobs import load_toml

SUITES = Path(__file__).parent / "suites"

SHIPPED = ("smoke", "standard", "full")
"""Suites that come with demomill."""


@dataclass(frozen=True)
class Place:
    """Hosts in which one task is judged."""

    # Versioned id of the task.
    task: str
    # Hosts as "host:environment"; "demomill" is our own engine.
    hosts: tuple[str, ...]
    # Axes here; the suite's own by default.
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A benchmark as data."""

    # Name and version: another content is another version.
    name: str
    version: int
    # Episodes per cell, the same seeds in all of them, and the seed of the benchmark split they come from.
    episodes: int
    seed: int
    # Levels of every axis: 1 mild, 2 middle, 3 strong. An axis with one level runs it once.
    levels: tuple[int, ...]
    axes: tuple[str, ...]
    places: tuple[Place, ...]
    # An episode ends once our task's own success has held for so many steps; unset, at the horizon.
    stop_lifted: int | None = None

    def digest(self) -> str:
        """Return the digest of everything that decides which episodes run: the suite and its axes."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return digest_json({"suite": said, "axes": axes_digest(self.all_axes)})

    @property
    def all_axes(self) -> tuple[str, ...]:
        """Return every axis that occurs in it."""
        return tuple(dict.fromkeys([*self.axes, *(axis for place in self.places for axis in place.axes)]))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return every task that occurs in it."""
        return tuple(dict.fromkeys(place.task for place in self.places))

    def record(self) -> dict[str, Any]:
        """Return what a run's start record says of it."""
        return {"name": f"{self.name}-v{self.version}", "digest": self.digest(), "episodes": self.episodes}


def load_suite(name: str) -> Suite:
    """Return the shipped suite `name`, or the one in the TOML file of that path."""
    if name.endswith(".toml"):
        return _checked(load_toml(Path(name), Suite), name)
    if name not in SHIPPED:
        raise unknown("suite", name, SHIPPED, hint="A suite of your own is a TOML file: --suite my_suite.toml")
    return load_toml(SUITES / f"{name}.toml", Suite)


def stop_lifted(config: BenchConfig) -> int | None:
    """Return for how many steps success holds until an episode ends: the suite says it, or a run without one."""
    return config.stop_lifted if config.suite is None else load_suite(config.suite).stop_lifted


def _checked(suite: Suite, where: str) -> Suite:
    """Refuse a suite that cannot mean anything."""
    for axis in suite.all_axes:
        find_axis(axis)
    if suite.episodes < 1:
        raise UserError(f"{where}: episodes = {suite.episodes}. Allowed: 1 or more.")
    if suite.stop_lifted is not None and suite.stop_lifted < 1:
        raise UserError(f"{where}: stop_lifted = {suite.stop_lifted}. Allowed: 1 or more, or nothing.")
    if not suite.places:
        raise UserError(f'{where}: no places. Name at least one: [[places]] task = "..." hosts = ["demomill"]')
    wrong = [level for level in suite.levels if not 1 <= level <= 3]
    if wrong or not suite.levels:
        raise UserError(f"{where}: levels = {list(suite.levels)}. Allowed: 1, 2 and 3, at least one of them.")
    return suite

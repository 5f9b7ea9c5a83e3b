"""The axes of the benchmark: frozen data in suites/axes.toml, read into laws and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.variation import Arm
from sim.errors import unknown
from sim.files import digest_json
from tasks.randomization import Knob, knobs

AXES = Path(__file__).parent / "suites" / "axes.toml"

GROUPS = {
    "object": "the object",
    "scene": "the scene",
    "light": "light",
    "camera": "camera",
    "robot": "robot and control",
    "language": "the sentence",
    "combined": "combined",
    "control": "controls: a drop is right",
    "grounding": "grounding",
}
"""Groups of axes and their headings. Controls and grounding are no robustness: means leave them out."""

MIDDLE = 2
"""The level of which means over axes are taken; an axis with one level counts with that."""


@dataclass(frozen=True)
class Axis:
    """One way in which worlds, sensors or sentences differ from the nominal ones."""

    name: str
    group: str
    # What it does, for the report.
    about: str
    # Laws of each level, the mildest first.
    levels: tuple[tuple[Knob, ...], ...]
    # Tasks that have it; empty: all.
    tasks: tuple[str, ...] = ()
    # A combined axis: the axes of which it is made.
    parts: tuple[str, ...] = ()

    def arm(self, level: int) -> Arm:
        """Return the arm of one level, 1 for the mildest."""
        return Arm(self.name, level, self.levels[level - 1])

    @property
    def counts(self) -> bool:
        """Whether means over axes count it: a single axis of robustness."""
        return self.group not in ("control", "grounding", "combined")

    @property
    def middle(self) -> int:
        """The level that stands for the axis in means."""
        return min(MIDDLE, len(self.levels))


@lru_cache(maxsize=1)
def load_axes() -> Mapping[str, Axis]:
    """Return every axis by name, in the order of the file."""
    data = tomllib.loads(AXES.read_text(encoding="utf-8"))
    made: dict[str, Axis] = {}
    for name, entry in data.items():
        if isinstance(entry, dict):
            made[name] = _combined(name, entry, made) if "parts" in entry else _single(name, entry)
    return made


def _single(name: str, entry: Mapping[str, Any]) -> Axis:
    levels = tuple(knobs(*laws) for laws in entry["levels"])
    return Axis(name, entry["group"], entry["about"], levels, tuple(entry.get("tasks", ())))


def _combined(name: str, entry: Mapping[str, Any], made: Mapping[str, Axis]) -> Axis:
    parts = tuple(entry["parts"])
    return Axis(name, entry["group"], entry["about"], together([made[part] for part in parts]), parts=parts)


def together(axes: list[Axis]) -> tuple[tuple[Knob, ...], ...]:
    """Return the laws of several axes at once, by level; where two turn the same knob, the later one counts."""
    if not axes:
        return ()
    highest = max(len(axis.levels) for axis in axes)
    levels = []
    for level in range(highest):
        laws = {law.path: law for axis in axes for law in axis.levels[min(level, len(axis.levels) - 1)]}
        levels.append(tuple(laws.values()))
    return tuple(levels)


def find_axis(name: str) -> Axis:
    """Return the axis `name`; an unknown one is refused with the nearest name."""
    axes = load_axes()
    if name not in axes:
        raise unknown("axis", name, axes)
    return axes[name]


def axis_data(axis: Axis) -> dict[str, Any]:
    """Return the axis as JSON, for records and digests."""
    levels = [[law.text for law in laws] for laws in axis.levels]
    return {"group": axis.group, "about": axis.about, "levels": levels, "tasks": list(axis.tasks)}


def axes_digest(names: tuple[str, ...]) -> str:
    """Return the digest of these axes' data."""
    return digest_json({name: axis_data(find_axis(name)) for name in names})

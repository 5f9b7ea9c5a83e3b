"""Cells of the randomization: each knob's range cut into bins of equal probability, and what was counted in each."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.scene import Value
from tasks.randomization import Knob, is_visual, operated
from tasks.task import Task

BINS = 6
"""Cells of a number's range in reports."""

SAMPLE = 512
"""Draws that cells come from where values are drawn together."""

TEMPLATE = "template"
"""The axis of the instruction's template."""

KEPT = ""
"""The reason under which kept episodes are counted."""


@dataclass(frozen=True)
class Axis:
    """One number or name that an episode draws, and its cells."""

    # "cube.mass", or "cube.position[0]" for one component of a vector.
    name: str
    path: str
    component: int | None = None
    # Names of the cells of a choice; empty for a number.
    choices: tuple[str, ...] = ()
    # Cuts between the cells of a number, ascending.
    cuts: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What each cell is called."""
        if not self.cuts:
            return self.choices
        inner = [f"{a:.4g} to {b:.4g}" for a, b in zip(self.cuts, self.cuts[1:], strict=False)]
        return (f"below {self.cuts[0]:.4g}", *inner, f"from {self.cuts[-1]:.4g}")

    def cell(self, draw: Mapping[str, Any]) -> int | None:
        """Return the cell of what an episode drew, or None where it drew nothing of this axis."""
        value = draw.get(self.path)
        if value is None:
            return None
        if not self.cuts:
            name = value if isinstance(value, str) else f"{value:g}"
            return self.choices.index(name) if name in self.choices else None
        return bisect_right(self.cuts, value if self.component is None else value[self.component])


def report_axes(task: Task, preset: str, appearance: str, *, bins: int = BINS) -> tuple[Axis, ...]:
    """Return the axes that hold for a whole episode: where every frame is drawn anew, looks count no more."""
    kept = {f"{item.name}.color" for item in task.scene.objects}
    axes = knob_axes(task, preset, bins=bins)
    if appearance == "episode":
        return axes
    return tuple(a for a in axes if a.path == TEMPLATE or a.path in kept or not is_visual(a.path))


def knob_axes(task: Task, preset: str, *, bins: int = BINS) -> tuple[Axis, ...]:
    """Return the axes of a preset's knobs, and that of the instruction's template, in the order of their names."""
    nominal = task.scene.nominal()
    selection = task.selection(preset)
    chosen = {knob.path: knob for knob in selection.knobs}
    axes = [axis for knob in chosen.values() for axis in _axes_of(knob, nominal[knob.path], bins)]
    axes += [axis for axis in _meant_axes(task, preset, bins) if axis.path not in chosen]
    held_out = selection.held_out_sentences
    templates = tuple(sorted(t for t in task.templates if t.startswith("held_out") == held_out))
    return tuple(sorted([*axes, Axis(TEMPLATE, TEMPLATE, choices=templates)], key=lambda axis: axis.name))


def _axes_of(knob: Knob, nominal: Value, bins: int) -> list[Axis]:
    """Return one axis per number that the knob draws on its own; a law that draws one value only has none."""
    if knob.law == "choice":
        names = tuple(dict.fromkeys(c if isinstance(nominal, str) else f"{float(c):g}" for c in knob.choices))
        return [Axis(knob.path, knob.path, choices=names)] if len(names) > 1 else []
    vector = isinstance(nominal, tuple)
    alone = len(knob.arguments[0]) == 1
    axes = []
    for k, (a, b) in enumerate(zip(*knob.arguments, strict=True)):
        base = nominal[k] if isinstance(nominal, tuple) else nominal
        assert isinstance(base, float | int)
        quantiles = [knob.quantile(share / (2 * bins), a, b) for share in range(1, 2 * bins)]
        values = sorted(operated(knob.op, base, x) for x in quantiles)
        if values[0] < values[-1]:
            cuts = tuple(values[1::2])
            name = knob.path if alone else f"{knob.path}[{k}]"
            axes.append(Axis(name, knob.path, component=k if vector else None, cuts=cuts))
    return axes


def _meant_axes(task: Task, preset: str, bins: int) -> list[Axis]:
    """Return the axes of what is drawn together with the sentence: which object, where, what colour.

    It follows no law of one knob, so its cells come from a fixed sample of draws.
    """
    if task.semantics is None:
        return []
    found: dict[str, list[Value]] = {}
    for seed in range(SAMPLE):
        for path, value in task.meaning(seed, preset=preset).values.items():
            found.setdefault(path, []).append(value)
    return [axis for path, values in sorted(found.items()) for axis in _sampled_axes(path, values, bins)]


def _sampled_axes(path: str, values: Sequence[Value], bins: int) -> list[Axis]:
    """Return one axis per number or name in `values`; what is always the same, or equals one before, has none."""
    if isinstance(values[0], str):
        names = tuple(sorted({str(value) for value in values}))
        return [Axis(path, path, choices=names)] if len(names) > 1 else []
    columns: list[tuple[Any, ...]] = (
        list(zip(*values, strict=True)) if isinstance(values[0], tuple) else [tuple(values)]
    )
    axes = []
    for k, column in enumerate(columns):
        ordered = sorted(float(x) for x in column)
        cuts = tuple(sorted({ordered[len(ordered) * i // bins] for i in range(1, bins)} - {ordered[0]}))
        if cuts and column not in columns[:k]:
            vector = isinstance(values[0], tuple)
            axes.append(Axis(f"{path}[{k}]" if vector else path, path, component=k if vector else None, cuts=cuts))
    return axes


class CellCounts:
    """How many candidates fell into each cell of each axis, by what became of them."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        """Begin with nothing counted."""
        self.axes = tuple(axes)
        self._table = {axis.name: [Counter[str]() for _ in axis.labels] for axis in axes}

    def add(self, draw: Mapping[str, Any], reason: str = KEPT, *, count: int = 1) -> None:
        """Count one candidate by the reason of its rejection, or as kept."""
        for axis in self.axes:
            cell = axis.cell(draw)
            if cell is not None:
                self._table[axis.name][cell][reason] += count

    def move(self, draw: Mapping[str, Any], reason: str) -> None:
        """Count a candidate that was kept as rejected after all."""
        self.add(draw, count=-1)
        self.add(draw, reason)

    def merge(self, other: CellCounts) -> None:
        """Add the counts of another table with the same axes."""
        for name, cells in other._table.items():
            for mine, theirs in zip(self._table[name], cells, strict=True):
                mine.update(theirs)

    def of(self, axis: Axis) -> list[Counter[str]]:
        """Return the counts of one axis: per cell, reason -> candidates; the reason of kept ones is empty."""
        return self._table[axis.name]

    def to_json(self) -> dict[str, list[dict[str, int]]]:
        """Return the counts as they are stored with a unit."""
        return {name: [dict(sorted(cell.items())) for cell in cells] for name, cells in self._table.items()}

    @classmethod
    def from_json(cls, axes: Sequence[Axis], stored: Mapping[str, Sequence[Mapping[str, int]]]) -> CellCounts:
        """Return stored counts."""
        counts = cls(axes)
        for name, cells in stored.items():
            counts._table[name] = [Counter(cell) for cell in cells]
        return counts

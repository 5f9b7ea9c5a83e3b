"""What was drawn for each randomization knob, and how much of it the filters kept: a bias that would stay silent."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datagen.bins import bin_edges, count_into
from sim.errors import UserError
from sim.files import read_json
from sim.rates import wilson_bounds

Draw = Mapping[str, Any]
"""What one episode drew: path of a knob -> number, list of numbers, or name."""

COVERAGE_FILE = "coverage.json"
BINS = 12
CHANCE = 0.001
"""Chance that any bin of a knob is called uneven although the filters do not look at the knob."""

MOST_NAMES = 40
OTHER = "other"


@dataclass(frozen=True)
class Coverage:
    """One component of a knob: how often each bin was kept, and how often it was drawn where that is known."""

    # Path, with the component in brackets where the knob has several: "cube.position[1]".
    knob: str
    # Edges of the bins (one more than counts) of a number; names of a choice.
    edges: tuple[float, ...]
    names: tuple[str, ...]
    kept: tuple[int, ...]
    drawn: tuple[int, ...] = ()

    @property
    def uneven(self) -> tuple[int, ...]:
        """Bins that the filters keep more or less often than the others, beyond what chance explains.

        A bin is one whose Wilson interval, at a level corrected for the number of bins, leaves out the knob's overall
        acceptance.
        """
        filled = [i for i, drawn in enumerate(self.drawn) if drawn]
        if len(filled) < 2:
            return ()
        overall = sum(self.kept) / sum(self.drawn)
        level = 1.0 - CHANCE / len(filled)
        bounds = {i: wilson_bounds(min(self.kept[i], self.drawn[i]), self.drawn[i], level=level) for i in filled}
        return tuple(i for i, (low, high) in bounds.items() if not low <= overall <= high)

    def bin_text(self, index: int) -> str:
        """Return what a bin stands for: "0.1 to 0.2", or its name."""
        if self.names:
            return self.names[index]
        return f"{self.edges[index]:.3g} to {self.edges[index + 1]:.3g}"

    def to_json(self) -> dict[str, Any]:
        """Return the coverage as it is stored."""
        return asdict(self)


def coverage(kept: Iterable[Draw], drawn: Iterable[Draw] | None = None) -> tuple[Coverage, ...]:
    """Return the coverage of every knob, in the order of their paths; `drawn` holds the kept ones and the rejected."""
    return coverage_of(DrawValues(kept), None if drawn is None else DrawValues(drawn))


def coverage_of(kept: DrawValues, drawn: DrawValues | None = None) -> tuple[Coverage, ...]:
    """Return the coverage of every knob of draws whose values were taken in already."""
    return tuple(_covered(knob, kept, drawn) for knob in sorted((drawn or kept).knobs()))


def stored_coverage(folder: Path) -> tuple[Coverage, ...]:
    """Return what the dataset in `folder` says of its draws; nothing where it does not."""
    path = folder / COVERAGE_FILE
    if not path.exists():
        return ()
    names = ("edges", "names", "kept", "drawn")
    try:
        return tuple(Coverage(str(each["knob"]), *(tuple(each[name]) for name in names)) for each in read_json(path))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): copy it again, or remove it.") from error


def counted(bins: Coverage, values: DrawValues) -> Coverage:
    """Return `bins` with the kept counts of `values`, and the drawn ones that it has."""
    return replace(bins, kept=_counts(bins, values))


def flat(draw: Draw) -> dict[str, float | str]:
    """Return a draw as one level: numbers and names by knob, "path[0]" for the components of a vector."""
    found: dict[str, float | str] = {}
    for path, value in draw.items():
        if isinstance(value, Mapping):
            found |= {f"{path}.{name}": each for name, each in flat(value).items()}
        elif isinstance(value, list | tuple):
            found |= flat({f"{path}[{i}]": each for i, each in enumerate(value)})
        elif isinstance(value, bool | str):
            found[path] = str(value)
        elif isinstance(value, int | float):
            found[path] = float(value)
    return found


class DrawValues:
    """The values of many draws by knob: numbers packed, names counted."""

    def __init__(self, draws: Iterable[Draw] = ()) -> None:
        """Begin with these draws."""
        self.count = 0
        self.numbers: dict[str, array[float]] = {}
        self.names: dict[str, Counter[str]] = {}
        for draw in draws:
            self.add(draw)

    def add(self, draw: Draw) -> None:
        """Take the values of one draw in."""
        self.count += 1
        for knob, value in flat(draw).items():
            if isinstance(value, str):
                self.names.setdefault(knob, Counter())[value] += 1
            else:
                self.numbers.setdefault(knob, array("d")).append(value)

    def knobs(self) -> set[str]:
        """Return the knobs that were drawn."""
        return self.numbers.keys() | self.names.keys()


def _covered(knob: str, kept: DrawValues, drawn: DrawValues | None) -> Coverage:
    """Return the coverage of one knob, in bins that span everything drawn."""
    every = drawn or kept
    if knob in every.names:
        common = [name for name, _ in sorted(every.names[knob].items(), key=lambda item: (-item[1], item[0]))]
        names = sorted(common[:MOST_NAMES]) + ([OTHER] if len(common) > MOST_NAMES else [])
        bins = Coverage(knob, (), tuple(names), ())
    else:
        values = np.asarray(every.numbers.get(knob) or kept.numbers.get(knob, array("d")))
        bins = Coverage(knob, tuple(bin_edges(values, bins=BINS).tolist()), (), ())
    return Coverage(knob, bins.edges, bins.names, _counts(bins, kept), _counts(bins, drawn) if drawn else ())


def _counts(bins: Coverage, values: DrawValues) -> tuple[int, ...]:
    """Return how many values fall into each bin; what lies outside counts in the outermost bins or as other."""
    if bins.names:
        named = values.names.get(bins.knob, Counter())
        counts = {name: named.get(name, 0) for name in bins.names}
        if OTHER in counts:
            counts[OTHER] += sum(count for name, count in named.items() if name not in counts)
        return tuple(counts.values())
    numbers = np.asarray(values.numbers.get(bins.knob, array("d")))
    return tuple(count_into(bins.edges, numbers).tolist())

"""What was drawn for each randomization knob, and how much of it the filters kept: a bias that would stay silent."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datagen.bins import bin_edges, count_into
from datagen.layout import REPORT_FILE
from sim.errors import UserError
from sim.files import read_json

Draw = Mapping[str, Any]
"""What one episode drew: path of a knob -> number, list of numbers, or name."""

BINS = 12
MOST_NAMES = 40
OTHER = "other"


@dataclass(frozen=True)
class Coverage:
    """One component of a knob: how often each bin was kept, and how often it was drawn where that is known."""

    # Path, with the component in brackets where the knob has several: "cube.position[1]".
    knob: str
    # Edges of the bins of a number (one more than counts); or names of the bins.
    edges: tuple[float, ...]
    names: tuple[str, ...]
    kept: tuple[int, ...]
    drawn: tuple[int, ...] = ()
    # What a test of kept against drawn found, in words; whether it could tell; whether the filters lean on this knob.
    words: str = ""
    tested: bool = False
    leans: bool = False


def coverage(kept: DrawValues, drawn: DrawValues | None = None) -> tuple[Coverage, ...]:
    """Return the coverage of every knob, in the order of their paths; `drawn` holds the kept ones and the rejected."""
    return tuple(_covered(knob, kept, drawn) for knob in sorted((drawn or kept).knobs()))


def counted(bins: Coverage, values: DrawValues) -> Coverage:
    """Return `bins` with the kept counts of `values`."""
    return replace(bins, kept=_counts(bins, values))


def reported(folder: Path) -> dict[str, tuple[Coverage, ...]]:
    """Return what the report in a dataset's folder says of kept against drawn: split -> knobs; empty without one."""
    path = folder / REPORT_FILE
    if not path.exists():
        return {}
    try:
        found = {
            split: tuple(_reported(entry) for entry in told.get("knobs", ()))
            for split, told in sorted(read_json(path).items())
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}): copy it again, or remove it.") from error
    return {split: rows for split, rows in found.items() if rows}


def _reported(entry: Mapping[str, Any]) -> Coverage:
    cells = entry.get("cells", ())
    return Coverage(
        str(entry["knob"]),
        (),
        tuple(str(cell["cell"]) for cell in cells),
        tuple(int(cell["kept"]) for cell in cells),
        tuple(int(cell["drawn"]) for cell in cells),
        words=str(entry.get("words", "")),
        tested=entry.get("test", {}).get("p") is not None,
        leans=bool(entry.get("leans")),
    )


def verdict(rows: Sequence[Coverage]) -> list[str]:
    """Return in sentences on which knobs the filters lean, and for how many that cannot be told."""
    leaning = [row.words for row in rows if row.leans]
    untold = sum(not row.tested and not row.leans for row in rows)
    said = leaning or ["No knob was found on which filtering leans."]
    if untold:
        said.append(f"For {untold} of {len(rows)} knobs too few episodes were kept or rejected to tell.")
    return said


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
        bins = Coverage(knob, tuple(bin_edges(np.asarray(every.numbers[knob]), bins=BINS).tolist()), (), ())
    return replace(bins, kept=_counts(bins, kept), drawn=_counts(bins, drawn) if drawn else ())


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

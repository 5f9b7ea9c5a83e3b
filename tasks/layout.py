"""Where things stand: places drawn one after another, each clear of those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sim.streams import generator

T = TypeVar("T")

Place = tuple[float, float]
"""A point on the table (x, y), m, base frame."""

Region = tuple[Place, Place]
"""A rectangle on the table: its low and its high corner."""

TRIES = 24


class Dice:
    """The numbers of one random stream, one after another."""

    def __init__(self, seed: int, *names: str | int) -> None:
        """Open the stream (seed, names)."""
        self._generator = generator(seed, *names)
        self._numbers: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        if not self._numbers:
            self._numbers = self._generator.random(64).tolist()
        return low + (high - low) * self._numbers.pop()

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, each as likely."""
        return choices[int(self.uniform() * len(choices))]

    def inside(self, region: Region) -> Place:
        """Return a point in a rectangle."""
        (x, y), (x2, y2) = region
        return self.uniform(x, x2), self.uniform(y, y2)


@dataclass
class Layout:
    """What is taken: stretches of the table with a radius around them."""

    taken: list[tuple[Place, Place, float]] = field(default_factory=list)

    def gap(self, place: Place, *, reach: Place = (0.0, 0.0)) -> float:
        """Return the distance to what is taken next to `place`, m, negative inside.

        A long thing counts with its middle, its two ends, which lie at `reach` from there, and halfway between.
        """
        (x, y), (dx, dy) = place, reach
        points = [place] if dx == dy == 0 else [(x + k * dx, y + k * dy) for k in (-1.0, -0.5, 0.0, 0.5, 1.0)]
        return min((_distance(p, a, b) - radius for p in points for a, b, radius in self.taken), default=math.inf)

    def take(self, place: Place, *, radius: float, to: Place | None = None) -> None:
        """Take the disc around `place`, or the whole way from it `to` another point."""
        self.taken.append((place, place if to is None else to, radius))

    def find(self, dice: Dice, region: Region, *, clear: float, reach: Place = (0.0, 0.0)) -> Place | None:
        """Return a point of `region` at least `clear` away from everything taken, or None where none was found."""
        for _ in range(TRIES):
            place = dice.inside(region)
            if self.gap(place, reach=reach) >= clear:
                return place
        return None

    def best(self, dice: Dice, region: Region, *, clear: float, reach: Place = (0.0, 0.0)) -> Place:
        """Return a point like `find` does, or else the clearest of as many."""
        found = self.find(dice, region, clear=clear, reach=reach)
        return found or max((dice.inside(region) for _ in range(TRIES)), key=lambda p: self.gap(p, reach=reach))


def _distance(point: Place, a: Place, b: Place) -> float:
    """Return the distance from a point to the line segment a b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy
    share = 0.0 if length == 0 else ((point[0] - a[0]) * dx + (point[1] - a[1]) * dy) / length
    share = min(max(share, 0.0), 1.0)
    return math.hypot(point[0] - a[0] - share * dx, point[1] - a[1] - share * dy)

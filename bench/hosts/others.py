"""Objects that no sentence is about, put into the scenes of hosts: the same ones, drawn the same way, in every host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.errors import UserError
from sim.fixtures import Shape
from tasks.layout import Dice, Layout, Place, Region
from tasks.things import KINDS

MASS = 0.08
"""Mass of each, kg."""


@dataclass(frozen=True)
class Other:
    """One such object."""

    name: str
    kind: str
    color: str
    half_size: tuple[float, float, float]

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return KINDS[self.kind]  # type: ignore[return-value]


OTHERS = (
    Other("other1", "cylinder", "yellow", (0.018, 0.018, 0.022)),
    Other("other2", "cube", "orange", (0.019, 0.019, 0.019)),
    Other("other3", "ball", "purple", (0.021, 0.021, 0.021)),
)
"""What `others.count` puts there, in this order. None has the colour of an object of a host."""

CLEAR = 0.05
"""Room between another object and what is there already, m."""


def count_of(value: object) -> int:
    """Return a drawn number of other objects; what is no whole number from 0 to 3 is refused."""
    if not isinstance(value, float | int) or value not in range(len(OTHERS) + 1):
        raise UserError(
            f"others.count = {value!r} is not allowed. Allowed: whole numbers from 0 to {len(OTHERS)}; write the law "
            'as "others.count =choice(1, 2, 3)".'
        )
    return int(value)


@dataclass(frozen=True)
class Spot:
    """Where another object stands, m in the base frame, and its rotation about z, rad."""

    place: Place
    yaw: float


def spots(seed: int, count: int, *, taken: Sequence[tuple[Place, Place]], field: Region) -> tuple[Spot, ...]:
    """Return the places of `count` objects in `field`, clear of the stretches `taken` and of each other."""
    dice, layout = Dice(seed, "others"), Layout()
    for start, end in taken:
        layout.take(start, radius=0.03, to=end)
    found = []
    for other in OTHERS[:count]:
        place = layout.best(dice, field, clear=CLEAR)
        layout.take(place, radius=max(other.half_size))
        found.append(Spot(place, dice.uniform(-math.pi, math.pi)))
    return tuple(found)

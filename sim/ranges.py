"""Which numbers a setting may have; what lies outside is refused by its name, its value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.errors import UserError


@dataclass(frozen=True)
class Numbers:
    """The numbers from `low` to `high`."""

    low: float
    high: float = math.inf
    # Whether `low` and `high` themselves are left out.
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Return whether `value` is one of them; NaN never is."""
        over = value > self.low if self.above else value >= self.low
        return over and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        """Return them in words: "1 or more", "above 0", "0 to 1", "above 0 and below 1"."""
        start = f"above {self.low:g}" if self.above else f"{self.low:,g}"
        if self.high == math.inf:
            return start if self.above else f"{start} or more"
        end = f"{self.high:,g}" if self.high < 1e6 else f"{int(self.high):,}"
        if self.above and self.below:
            return f"{start} and below {end}"
        return f"{start} to below {end}" if self.below else f"{start} to {end}"


WHOLE = Numbers(0)
POSITIVE = Numbers(1)
ABOVE_0 = Numbers(0, above=True)
SHARE = Numbers(0, 1)

EPISODES = Numbers(1, 2**20)
"""Episodes under one seed, as `sim.streams` counts them."""

PROCESSES = Numbers(1, 1024)
"""Worker processes, or threads of one."""

WORLDS = Numbers(1, 2**17)
"""Worlds that are simulated together: more than any GPU has held."""

PIXELS = Numbers(16, 4096)
"""Width and height of frames."""

STEPS = Numbers(1, 100_000)
"""Steps of an episode: 83 minutes at 20 Hz."""


def require(config: Any, allowed: Mapping[str, Numbers], *, part: str = "") -> None:
    """Refuse a field of the dataclass `config` whose number is not among those `allowed`; None is where it is unset.

    `part` names the place of a nested one in messages: "filters" makes "filters: min_steps = -3 is not allowed."
    """
    for name, numbers in allowed.items():
        value = getattr(config, name)
        if value is None or value in numbers:
            continue
        place = f"{part}: " if part else ""
        unset = ", or leave it unset" if config.__dataclass_fields__[name].default is None else ""
        raise UserError(f"{place}{name} = {value} is not allowed. Allowed: {numbers}{unset}.")

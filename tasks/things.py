"""What objects can be: kinds, sizes by word, and what no training scene shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.layout import Dice, Place

KINDS = {"cube": "box", "cylinder": "cylinder", "ball": "sphere", "peg": "box"}
"""Kind of thing -> its shape in the scene."""

HALF = {"small": (0.014, 0.016), "medium": (0.0185, 0.0215), "large": (0.0245, 0.027)}
"""Half an edge by size word, m; between the ranges lie gaps that an eye can see."""

HELD_OUT_HALF = {"small": (0.0125, 0.0135), "medium": (0.0185, 0.0215), "large": (0.0275, 0.0285)}
"""The same outside of what training draws."""

HEIGHTS = (0.9, 1.3)
"""Half a cylinder's height in radii."""

PEG_THICKNESS = (0.8, 0.8)
"""Half a peg's thickness, drawn between these shares of what the size word says, where a task says nothing else."""


def size_word(half: float) -> str:
    """Return "small" or "large" for half an edge, m, that training calls so, and "medium" for all others."""
    return "small" if half <= HALF["small"][1] else "large" if half >= HALF["large"][0] else "medium"


@dataclass(frozen=True)
class HeldOut:
    """What no training scene shows, for any object."""

    colors: tuple[str, ...] = ("purple",)
    # Pairs of colour and kind.
    pairs: tuple[tuple[str, str], ...] = (("green", "cylinder"), ("yellow", "cube"), ("blue", "ball"))

    def allows(self, color: str, kind: str) -> bool:
        """Return whether training may show a thing of this colour and kind."""
        return color not in self.colors and (color, kind) not in self.pairs


HELD_OUT = HeldOut()
"""What is held out where a task says nothing else."""


@dataclass(frozen=True)
class Body:
    """Half extents, m, and rotation about z, rad, of a thing."""

    half_size: tuple[float, float, float]
    yaw: float
    long: bool

    @property
    def reach(self) -> Place:
        """Return the way from the middle to an end of a long thing; (0, 0) for the others."""
        length = self.half_size[0] if self.long else 0.0
        return length * math.cos(self.yaw), length * math.sin(self.yaw)


def half_size(
    kind: str,
    size: str,
    dice: Dice,
    *,
    held_out: bool,
    heights: tuple[float, float] = HEIGHTS,
    peg_thickness: tuple[float, float] = PEG_THICKNESS,
) -> tuple[float, float, float]:
    """Return the half extents of a thing, m; a peg lies along its x, a cylinder stands `heights` radii high by half."""
    outside = held_out and dice.uniform() < 0.5
    half = dice.uniform(*(HELD_OUT_HALF if outside else HALF)[size])
    if kind == "ball":
        return (1.1 * half,) * 3
    if kind == "cylinder":
        return half, half, half * dice.uniform(*heights)
    if kind == "peg":
        thin, thick = peg_thickness
        width = half * (thin if thin == thick else dice.uniform(thin, thick))
        return half * dice.uniform(4.4, 5.0), width, width
    return (half,) * 3

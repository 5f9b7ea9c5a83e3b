"""Which thing each pixel of a frame shows, how far it is, and the boxes around objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.scene import Scene

BACKGROUND, ROBOT, TABLE, FIRST_OBJECT = 0, 1, 2, 3
"""Numbers of instances; the objects of the scene follow in their order, then its fixtures."""


@dataclass(frozen=True)
class Annotations:
    """One frame, pixel by pixel, row 0 on top."""

    # Distance along the viewing axis, (size, size), mm.
    depth: NDArray[np.uint16]
    # Instance, (size, size).
    instances: NDArray[np.uint8]


def instance_names(scene: Scene) -> dict[str, int]:
    """Return the number of each instance."""
    names = [*(item.name for item in scene.objects), *(fixture.name for fixture in scene.fixtures)]
    numbered = {name: FIRST_OBJECT + k for k, name in enumerate(names)}
    return {"background": BACKGROUND, "robot": ROBOT, "table": TABLE, **numbered}


def things(numbers: Mapping[str, int]) -> dict[str, int]:
    """Return those of the instances that are objects or fixtures, and their numbers."""
    return {name: number for name, number in numbers.items() if number >= FIRST_OBJECT}


def bounding_box(instances: NDArray[np.uint8], instance: int) -> NDArray[np.int32]:
    """Return left, top, right and bottom of an instance's visible pixels, right and bottom just behind the last one.

    Zeros where nothing of it is seen.
    """
    rows, columns = (np.flatnonzero((instances == instance).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros(4, np.int32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.int32)

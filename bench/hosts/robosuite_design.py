"""How an environment of robosuite is seen in our terms: which object plays which role, what stands fixed, the view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.hosts.views import View
from tasks.layout import Region

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Item:
    """An object of the environment that plays a role in our task."""

    # Environment -> its model of the object.
    find: Callable[[Any], Any]
    # Kind and colour as sentences say them.
    kind: str
    color: str


@dataclass(frozen=True)
class Fixed:
    """What stands fixed, base frame: poses (7,) by name, joint positions, half extents where the host's differ."""

    poses: Mapping[str, Vector] = field(default_factory=dict)
    joints: Mapping[str, float] = field(default_factory=dict)
    half_sizes: Mapping[str, Vector] = field(default_factory=dict)


def nothing(env: Any, base: Vector) -> Fixed:
    """Return that nothing stands fixed."""
    return Fixed()


@dataclass(frozen=True)
class Design:
    """One environment of robosuite."""

    # Its name there, and options beyond those that all worlds share.
    name: str
    items: Mapping[str, Item]
    # Height of the table top in robosuite's world, m.
    table: float
    # The view, in the base frame; None is the environment's own agentview.
    view: View | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    # Environment, base position (3,) in its world -> what stands fixed.
    fixed: Callable[[Any, Vector], Fixed] = nothing
    # Body that is the fixture "door", if there is one.
    door: Callable[[Any], Any] | None = None
    # Visible and solid geoms of the table, as the bodies that hold them.
    tables: tuple[str, ...] = ("table",)
    # Where `others.count` puts objects.
    around: Region = ((0.42, -0.22), (0.7, 0.22))

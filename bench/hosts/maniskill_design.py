"""How an environment of ManiSkill is seen in our terms: which actor plays which role, what stands fixed, the view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.hosts.views import View
from sim.rotations import conjugate, multiply, rotate
from tasks.layout import Region

Vector = NDArray[np.float64]

BASE_VIEW = View((0.915, 0.0, 0.6), (0.515, 0.0, 0.1), float(2 * np.degrees(np.arctan(0.5))))
"""What ManiSkill's base_camera shows in most environments, in the central half of its 90 degrees (53.13)."""


@dataclass(frozen=True)
class Item:
    """An actor that plays a role in our task."""

    # Attribute of the environment that holds it.
    attribute: str
    # Kind and colour as sentences say them; "" for what has no one colour.
    kind: str
    color: str


@dataclass(frozen=True)
class Fixed:
    """What stands fixed: its pose (7,), base frame, and its half extents where the host's differ from ours."""

    pose: Vector
    half_size: Vector | None = None


Halves = Mapping[str, Vector]
"""Role -> half extents (3,), m."""


def nothing(env: Any, base: Vector) -> Mapping[str, Fixed]:
    """Return that nothing stands fixed."""
    return {}


def no_rule(env: Any, halves: Halves) -> None:
    """Change nothing: the environment's rule has no size in it."""


def no_extras(env: Any, base: Vector) -> Mapping[str, Any]:
    """Return nothing: all that the environment draws is in the state."""
    return {}


@dataclass(frozen=True)
class Design:
    """One environment of ManiSkill."""

    # Its id there.
    name: str
    items: Mapping[str, Item]
    view: View = BASE_VIEW
    # The environment's own camera stands elsewhere and is put where `view` is.
    moved: bool = False
    # Environment, base pose (7,) in its world -> what stands fixed, and what else it drew.
    fixed: Callable[[Any, Vector], Mapping[str, Fixed]] = nothing
    extras: Callable[[Any, Vector], Mapping[str, Any]] = no_extras
    # Tells the environment's own rule of success the sizes of actors that were changed.
    rule: Callable[[Any, Halves], None] = no_rule
    options: Mapping[str, Any] = field(default_factory=lambda: {"robot_uids": "panda"})
    # Where `others.count` puts objects.
    around: Region = ((0.42, -0.22), (0.7, 0.22))


def raw(tensor: Any) -> Vector:
    """Return the only world's row of a torch tensor as numpy, in double precision."""
    return np.asarray(tensor.cpu().numpy()[0]).astype(np.float64)


def from_base(base: Vector, pose: Vector) -> Vector:
    """Return the world `pose` (7,) as seen from the world pose `base` (7,); position m, quaternion wxyz."""
    inverse = conjugate(base[3:])
    return np.concatenate([rotate(inverse, pose[:3] - base[:3]), multiply(inverse, pose[3:])])

"""Layouts of the proprioceptive state, named by one text, and the conversion of one into another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.conventions import OPENING_MAX
from sim.rotation_forms import FORMS
from sim.rotations import canonical_sign

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class GripperForm:
    """One way to say how far the gripper is open, in `size` numbers."""

    size: int
    # (..., size) -> opening fraction (...), 1 = open, and back.
    read: Callable[[Numbers], Numbers]
    write: Callable[[Numbers], Numbers]


def _linear(scale: float, *, closed: float = 0.0) -> GripperForm:
    """Return the form of one number: `closed` when closed, `closed + scale` when open."""
    return GripperForm(1, lambda v: (v[..., 0] - closed) / scale, lambda f: (closed + scale * f)[..., None])


def _fingers(second: float) -> GripperForm:
    """Return the form of two finger positions, m; `second` is the sign of the second one."""
    reach = OPENING_MAX / 2
    return GripperForm(
        2,
        lambda v: (v[..., 0] + second * v[..., 1]) / OPENING_MAX,
        lambda f: np.stack([reach * f, second * reach * f], axis=-1),
    )


GRIPPERS: dict[str, GripperForm] = {
    "opening fraction": _linear(1.0),
    "closed fraction": _linear(-1.0, closed=1.0),
    "opening m": _linear(OPENING_MAX),
    "opening 0-255": _linear(255.0),
    "closed 0-255": _linear(-255.0, closed=255.0),
    "fingers m": _fingers(1.0),
    "fingers m, second negative": _fingers(-1.0),
}
"""Name in a layout -> form of the gripper's part."""

SIGNS: dict[str, Callable[[Numbers, str], Numbers]] = {
    "largest component positive": lambda quaternion, order: np.asarray(canonical_sign(quaternion)),
    "w positive": lambda quaternion, order: quaternion * np.where(quaternion[..., _scalar(order)] < 0, -1.0, 1.0),
}
"""Rule -> function of a quaternion and its form's name: which of the two equal quaternions is meant."""


@dataclass(frozen=True)
class StateLayout:
    """What the numbers of a state are: TCP position (3, m), rotation, gripper."""

    rotation: str
    # Rule of a quaternion's sign; empty for other forms.
    sign: str
    gripper: str

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return 3 + FORMS[self.rotation].size + GRIPPERS[self.gripper].size


_PATTERN = re.compile(r"tcp position 3, ([a-z0-9 -]+) (\d)(?: \(([a-z ]+)\))?, (.+) (\d)")


def parse_layout(text: str) -> StateLayout | None:
    """Return the layout that a convention's `state` names, None for one whose parts are not all known.

    A quaternion must say which sign it has: one of "any sign" cannot be made of, or turned into, a definite one.
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    rotation, count, sign, gripper, width = found.groups()
    if rotation not in FORMS or gripper not in GRIPPERS:
        return None
    if (int(count), int(width)) != (FORMS[rotation].size, GRIPPERS[gripper].size):
        return None
    known = sign in SIGNS if rotation.startswith("quaternion") else sign is None
    return StateLayout(rotation, sign or "", gripper) if known else None


def convert_state(values: NDArray[np.float32], source: StateLayout, target: StateLayout) -> NDArray[np.float32]:
    """Return states (..., target.size) in the layout `target` of states (..., source.size)."""
    numbers = np.asarray(values, dtype=np.float64)
    turned = 3 + FORMS[source.rotation].size
    rotation = FORMS[target.rotation].write(FORMS[source.rotation].read(numbers[..., 3:turned]))
    if target.sign:
        rotation = SIGNS[target.sign](rotation, target.rotation)
    gripper = GRIPPERS[target.gripper].write(GRIPPERS[source.gripper].read(numbers[..., turned:]))
    converted: NDArray[np.float32] = np.concatenate([numbers[..., :3], rotation, gripper], axis=-1).astype(np.float32)
    return converted


def _scalar(order: str) -> slice:
    """Return where a quaternion form keeps its scalar part."""
    return slice(0, 1) if order.endswith("wxyz") else slice(3, 4)

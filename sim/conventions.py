"""What an action and an observation MEAN, as data that can be compared field by field before the first step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from array_api_compat import array_namespace

from sim.errors import UserError, nearest
from sim.rotation_forms import FORMS
from sim.state import Array

TCP_OFFSET = 0.1034
"""Distance from the Panda hand frame to the tool centre point along the hand's z, m (franka_description)."""

POSITION_LIMIT = 0.05
"""Largest TCP displacement of a canonical action along one axis, m per step."""

ROTATION_LIMIT = 0.25
"""Largest component of the axis-angle rotation of a canonical action, rad per step."""

ARM_LIMITS = (POSITION_LIMIT,) * 3 + (ROTATION_LIMIT,) * 3
"""Both, as the limits (6,) of the arm's part of a canonical action."""

OPENING_MAX = 0.08
"""Distance between the fingertips of an open Panda gripper, m."""


@dataclass(frozen=True)
class Convention:
    """The meaning of what a policy sees and says. The defaults are the canonical convention of docs/convention.md."""

    # Frame of positions and of position and rotation changes.
    base_frame: str = "panda base, x forward, y left, z up"
    # Which point of the hand is steered.
    tcp: str = "0.1034 m along +z of the hand frame"
    # Control rate, Hz.
    rate: float = 20.0
    # Position part of the action: "delta" or "absolute".
    position: str = "delta"
    # Metres for an action of 1.
    position_unit: float = 1.0
    # Rotation part of the action: "delta " or "absolute ", then a form of sim/rotation_forms.py.
    rotation: str = "delta axis-angle"
    # Radians for an action of 1, for the forms of three angles.
    rotation_unit: float = 1.0
    # Value of the gripper action that opens, and the one that closes.
    gripper_open: float = 1.0
    gripper_closed: float = 0.0
    # Layout of the proprioceptive state; sim/state_layouts.py can read those that it knows.
    state: str = "tcp position 3, quaternion xyzw 4 (largest component positive), opening fraction 1"
    # Camera of `image`, its size in pixels, channel order and which row comes first.
    camera: str = "third person, in front of the robot"
    image_size: int = 256
    channels: str = "rgb"
    first_row: str = "top"
    # When an episode counts as a success: "end" or "once".
    success: str = "end"
    # What the arm's part of the action steers: "end effector" or "joint".
    control: str = "end effector"
    # Frame in which changes are meant: "base", or "tool", the hand's own.
    delta_frame: str = "base"
    # Gripper part of the action: "absolute" (how far open), "relative" (open, close, or keep), or another rule.
    gripper: str = "absolute"
    # Share of the way from closed to open above which the gripper opens.
    gripper_threshold: float = 0.5
    # Where the state comes from: "measured", or "commanded".
    state_source: str = "measured"
    # Which column of a frame comes first, and the share of its width and height that is kept, from the middle.
    first_column: str = "left"
    crop: float = 1.0
    # Camera of `wrist_image`.
    wrist_camera: str = "on the hand, looking along the fingers"

    @property
    def action_size(self) -> int | None:
        """How many numbers an action has; None for a rotation form or a control that is not known."""
        form = FORMS.get(self.rotation.removeprefix("delta ").removeprefix("absolute "))
        return None if form is None or self.control != "end effector" else 3 + form.size + 1


CANONICAL = Convention()

LATER = (
    "control", "delta_frame", "gripper", "gripper_threshold", "state_source", "first_column", "crop", "wrist_camera",
)  # fmt: skip
"""Fields that conventions of before do not name: whatever was stored then meant the canonical value."""


@dataclass(frozen=True)
class Difference:
    """One field in which a policy and an environment mean different things."""

    field: str
    policy: Any
    environment: Any


def differences(policy: Convention, environment: Convention) -> list[Difference]:
    """Return the fields in which the two conventions differ, in field order."""
    ours, theirs = asdict(policy), asdict(environment)
    return [Difference(name, ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]]


def scaled(outputs: Array) -> Array:
    """Return canonical actions (n, 7), float64, of actions that are clipped to [-1, 1]; a gripper above 0 is open."""
    xp = array_namespace(outputs)
    clipped = xp.clip(xp.astype(outputs, xp.float64), -1.0, 1.0)
    gripper = xp.astype(clipped[:, 6:] > 0, xp.float64)
    return xp.concat([clipped[:, :3] * POSITION_LIMIT, clipped[:, 3:6] * ROTATION_LIMIT, gripper], axis=-1)


def to_json(convention: Convention) -> dict[str, Any]:
    """Return the convention as it is stored in datasets and checkpoints."""
    return asdict(convention)


def from_json(stored: dict[str, Any], *, source: str) -> Convention:
    """Return the convention stored in `source`; an unknown or a missing field is refused.

    Fields that came later may be missing: they have the value that was meant when there was no other.
    """
    names = [field.name for field in fields(Convention)]
    for name in stored:
        if name not in names:
            raise UserError(f"{source}: the convention has an unknown field {name!r}.{nearest(name, names)}")
    missing = [name for name in names if name not in stored and name not in LATER]
    if missing:
        raise UserError(f"{source}: the convention lacks {', '.join(missing)}. It must name every field.")
    return Convention(**stored)

"""What an action and an observation MEAN, as data that can be compared field by field before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from sim.errors import UserError, nearest
from sim.state import Array

TCP_OFFSET = 0.1034
"""Distance from the Panda hand frame to the tool centre point along the hand's z, m (franka_description)."""

POSITION_LIMIT = 0.05
"""Largest TCP displacement of a canonical action along one axis, m per step."""

ROTATION_LIMIT = 0.25
"""Largest component of the axis-angle rotation of a canonical action, rad per step."""

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
    # Rotation part of the action: "delta axis-angle" or "delta euler xyz extrinsic".
    rotation: str = "delta axis-angle"
    # Radians for an action of 1.
    rotation_unit: float = 1.0
    # Value of the gripper action that opens, and the one that closes.
    gripper_open: float = 1.0
    gripper_closed: float = 0.0
    # Layout of the proprioceptive state.
    state: str = "tcp position 3, quaternion xyzw 4 (largest component positive), opening fraction 1"
    # Camera of `image`, its size in pixels, channel order and which row comes first.
    camera: str = "third person, in front of the robot"
    image_size: int = 256
    channels: str = "rgb"
    first_row: str = "top"
    # When an episode counts as a success: "end" or "once".
    success: str = "end"


CANONICAL = Convention()

ROTATION_FORMS = frozenset({"delta axis-angle", "delta euler xyz extrinsic"})
"""Forms of the rotation part that can be turned into each other."""

Adapter = Callable[[NDArray[np.float64]], NDArray[np.float64]]


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


def adapt_actions(
    policy: Convention, environment: Convention, *, action_only: bool = False
) -> tuple[Adapter, tuple[str, ...]]:
    """Return a function from the policy's actions (..., 7) to the environment's, and the names of what it does.

    Units, rotation form and gripper range are adapted. Everything else that differs is refused with both
    conventions printed: a policy that was trained at another rate or in another frame cannot be saved by arithmetic.
    With `action_only`, fields of the observation (state, camera, image) are not compared: the policy reads none.
    """
    adaptable = {"position_unit", "rotation_unit", "gripper_open", "gripper_closed"}
    if {policy.rotation, environment.rotation} <= ROTATION_FORMS:
        adaptable.add("rotation")
    ignored = {"state", "camera", "image_size", "channels", "first_row"} if action_only else set()
    found = [d for d in differences(policy, environment) if d.field not in ignored]
    hopeless = [d for d in found if d.field not in adaptable]
    if hopeless:
        rows = "\n".join(f"  {d.field}: policy {d.policy!r}, environment {d.environment!r}" for d in hopeless)
        raise UserError(
            f"The policy's convention cannot be adapted to the environment's:\n{rows}\n"
            "Train or export the policy in the environment's convention, or choose another environment. "
            "docs/convention.md explains every field."
        )
    steps = _action_steps(policy, environment)

    def adapter(actions: NDArray[np.float64]) -> NDArray[np.float64]:
        for _, step in steps:
            actions = step(actions)
        return actions

    return adapter, tuple(name for name, _ in steps)


def _action_steps(policy: Convention, environment: Convention) -> Sequence[tuple[str, Adapter]]:
    """Return the named adapters that turn the policy's actions into the environment's."""
    from sim.rotations import axis_angle_to_euler_xyz, euler_xyz_to_axis_angle

    steps: list[tuple[str, Adapter]] = []
    if policy.position_unit != environment.position_unit:
        steps.append(("position_unit", _scaled(slice(0, 3), policy.position_unit / environment.position_unit)))
    if policy.rotation_unit != 1.0 and (
        policy.rotation_unit != environment.rotation_unit or policy.rotation != environment.rotation
    ):
        steps.append(("rotation_unit to rad", _scaled(slice(3, 6), policy.rotation_unit)))
    if policy.rotation != environment.rotation:
        convert = axis_angle_to_euler_xyz if policy.rotation == "delta axis-angle" else euler_xyz_to_axis_angle
        steps.append((f"{policy.rotation} to {environment.rotation}", _mapped(slice(3, 6), convert)))
    if environment.rotation_unit != 1.0 and (
        policy.rotation_unit != environment.rotation_unit or policy.rotation != environment.rotation
    ):
        steps.append(("rotation_unit from rad", _scaled(slice(3, 6), 1.0 / environment.rotation_unit)))
    ours = (policy.gripper_closed, policy.gripper_open)
    theirs = (environment.gripper_closed, environment.gripper_open)
    if ours != theirs:
        steps.append(("gripper_range", _mapped(slice(6, 7), lambda g: _rerange(g, ours, theirs))))
    return steps


def _rerange(
    values: NDArray[np.float64], source: tuple[float, float], target: tuple[float, float]
) -> NDArray[np.float64]:
    """Map the interval `source` (closed, open) linearly onto `target`."""
    fraction = (values - source[0]) / (source[1] - source[0])
    return target[0] + np.clip(fraction, 0.0, 1.0) * (target[1] - target[0])


def _scaled(part: slice, factor: float) -> Adapter:
    return _mapped(part, lambda values: values * factor)


def _mapped(part: slice, function: Adapter) -> Adapter:
    def apply(actions: NDArray[np.float64]) -> NDArray[np.float64]:
        changed = np.array(actions, dtype=np.float64)
        changed[..., part] = function(changed[..., part])
        return changed

    return apply


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
    """Return the convention stored in `source`; an unknown or a missing field is refused."""
    names = [field.name for field in fields(Convention)]
    for name in stored:
        if name not in names:
            raise UserError(f"{source}: the convention has an unknown field {name!r}.{nearest(name, names)}")
    missing = [name for name in names if name not in stored]
    if missing:
        raise UserError(f"{source}: the convention lacks {', '.join(missing)}. It must name every field.")
    return Convention(**stored)

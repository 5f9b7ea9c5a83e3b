"""The state of n worlds, in engine-neutral terms: SI units, Panda base frame, quaternions wxyz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Array = Any
"""An array of the array API standard: numpy on the CPU, torch on a GPU. Shapes stand in the docstrings."""


@dataclass(frozen=True)
class State:
    """What task functions see. Every array has the n worlds as its leading axis."""

    # Simulated time since the reset, (n,), s.
    time: Array
    # Arm joint positions and velocities, (n, 7), rad and rad/s.
    q: Array
    qd: Array
    # Pose of the tool centre point, (n, 7): position in m, quaternion wxyz.
    tcp: Array
    # Distance between the fingertips, (n,), m: 0 closed to 0.08 open.
    opening: Array
    # Object poses, name -> (n, 7): position in m, quaternion wxyz.
    poses: Mapping[str, Array]
    # Object twists, name -> (n, 6): linear m/s, angular rad/s, base frame.
    twists: Mapping[str, Array]
    # Half extents of the objects, and of the insides of fixtures that have a size, name -> (n, 3), m.
    half_sizes: Mapping[str, Array]
    # Height of the table top above the robot's base plane, (n,), m.
    table: Array
    # Total contact force on hand and fingers, (n,), N.
    contact: Array
    # Shapes of the objects as indices into SHAPES (box 0, cylinder 1, sphere 2), name -> (n,). Not named: a box.
    shapes: Mapping[str, Array] = field(default_factory=dict)
    # Whether the episode has the object, name -> (n,) bool. Not named: it has.
    present: Mapping[str, Array] = field(default_factory=dict)
    # Poses of the fixtures, name -> (n, 7).
    fixtures: Mapping[str, Array] = field(default_factory=dict)
    # Positions of the fixtures' joints, name -> (n,), rad or m, 0 closed.
    joints: Mapping[str, Array] = field(default_factory=dict)
    # How deep any two shapes overlapped at most in the last control step, (n,), m; None: the engine does not tell.
    depth: Array | None = None

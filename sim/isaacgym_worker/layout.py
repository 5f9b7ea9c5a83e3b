"""The per-step arrays in shared memory: where each lies and what it holds; read by both Pythons.

The memory is anonymous: it has no name that could be left behind, and it is gone with the last process that holds it.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

DOFS = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "joint7", "left_finger", "right_finger")
"""Order of the joints on the wire: the arm's from base to hand, rad, then the fingers', m from the middle."""

CARRIAGE = ("x", "y", "z", "yaw")
"""Order of the joints that bring a jointed fixture to its place: m, m, m, rad, base frame."""

_ALIGNED = 64


def shapes(worlds: int, objects: int, hinges: int) -> dict[str, tuple[int, ...]]:
    """Return the arrays' shapes, all float32.

    targets: joint targets, written by the client. q, qd: joint positions and velocities. roots: per object position in
    the world's own frame, quaternion xyzw, linear and angular velocity in that frame. contact: sum over hand and
    fingers of the size of the net contact force, N. hinges: positions of the fixtures' joints, rad or m.
    """
    return {
        "targets": (worlds, len(DOFS)),
        "q": (worlds, len(DOFS)),
        "qd": (worlds, len(DOFS)),
        "roots": (worlds, objects, 13),
        "contact": (worlds,),
        "hinges": (worlds, hinges),
    }


def size(worlds: int, objects: int, hinges: int) -> int:
    """Return the bytes that the arrays need."""
    return max(sum(_room(shape) for shape in shapes(worlds, objects, hinges).values()), mmap.PAGESIZE)


def _room(shape: tuple[int, ...]) -> int:
    count = 4
    for length in shape:
        count *= length
    return -(-count // _ALIGNED) * _ALIGNED


def attach(descriptor: int, worlds: int, objects: int, hinges: int) -> dict[str, Any]:
    """Return the arrays that lie in the memory behind `descriptor`, by name; they keep it mapped while they live."""
    memory = mmap.mmap(descriptor, size(worlds, objects, hinges))
    arrays, offset = {}, 0
    for name, shape in shapes(worlds, objects, hinges).items():
        count = int(np.prod(shape))
        start = min(offset, len(memory) - 4)  # An empty array may begin where the memory ends.
        arrays[name] = np.frombuffer(memory, dtype="<f4", count=count, offset=start).reshape(shape)
        offset += _room(shape)
    return arrays

"""A sample seen in a mirror: left and right exchanged in the frame, the state, the actions and the sentence alike.

The mirror is the plane y = 0 of the base frame, which the robot's first joint and the nominal camera lie in: what the
camera shows of the mirrored world is its frame with the columns reversed. A mirrored pose of the hand is one that the
hand can take, because its fingers are alike; a lamp or a camera that stands aside is mirrored with the rest.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sim.rotations import canonical_sign

Floats = NDArray[np.float32]

STATE_SIGNS = np.array([1, -1, 1, -1, 1, -1, 1, 1], np.float32)
"""Position y changes its sign; of the quaternion xyzw, the axis' x and z do: an axis is mirrored with its turn."""

ACTION_SIGNS = np.array([1, -1, 1, -1, 1, -1, 1], np.float32)
"""The same of position change and rotation vector; the gripper stays."""

KEYFRAME_SIGNS = np.array([1, -1, 1], np.float32)

_OTHER = {"left": "right", "leftmost": "rightmost", "leftward": "rightward", "leftwards": "rightwards"}
_OTHER |= {right: left for left, right in _OTHER.items()}
_SIDES = re.compile(rf"\b({'|'.join(_OTHER)})\b", re.IGNORECASE)


def mirror_state(state: Floats) -> Floats:
    """Return canonical states (..., 8) seen in the mirror."""
    mirrored = state * STATE_SIGNS
    mirrored[..., 3:7] = canonical_sign(mirrored[..., 3:7])
    return mirrored


def mirror_actions(actions: Floats) -> Floats:
    """Return canonical actions (..., 7) seen in the mirror."""
    return actions * ACTION_SIGNS


def mirror_points(points: Floats) -> Floats:
    """Return points (..., 2) of a frame, as shares of it, seen in the mirror."""
    return np.stack([1 - points[..., 0], points[..., 1]], axis=-1)


def mirror_sentence(sentence: str) -> str:
    """Return a sentence with its sides exchanged, in its own spelling: "Left of" becomes "Right of"."""
    return _SIDES.sub(_exchanged, sentence)


def _exchanged(found: re.Match[str]) -> str:
    word = found[0]
    other = _OTHER[word.lower()]
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

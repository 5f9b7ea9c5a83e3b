"""What a policy is told of the robot itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.conventions import OPENING_MAX
from sim.rotations import canonical_sign, wxyz_to_xyzw
from sim.state import State


def canonical_state(state: State) -> NDArray[np.float32]:
    """Return the canonical proprioceptive state (n, 8): TCP position m, quaternion xyzw, opening fraction."""
    quaternion = canonical_sign(wxyz_to_xyzw(np.asarray(state.tcp[:, 3:])))
    opening = np.clip(np.asarray(state.opening) / OPENING_MAX, 0.0, 1.0)
    parts = [np.asarray(state.tcp)[:, :3], np.asarray(quaternion), opening[:, None]]
    return np.asarray(np.concatenate(parts, axis=1), dtype=np.float32)

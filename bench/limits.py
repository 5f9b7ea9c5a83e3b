"""Forces and limits of one episode: contact, joints, joint speeds, workspace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.panda import HIGH, LOW

Samples = NDArray[np.float64]

JOINT_MARGIN = 0.01
"""Distance to a joint's limit within which the joint is at it, rad."""

JOINT_SPEED = np.array([2.175] * 4 + [2.61] * 3)
"""Largest joint speeds of the Panda, rad/s (Franka Emika, interface specification)."""

TABLE_MARGIN = 0.005
"""Depth of the TCP below the table top from which it counts as a violation, m."""

REACH = 0.855
"""Largest horizontal distance of the TCP from the base, m (Franka Emika, data sheet)."""

TOUCH = 0.1
"""Contact force from which the hand touches something, N."""


def contact_peak(force: Samples) -> float | None:
    """Return the largest contact force of (T + 1,), N; None where the simulator does not tell."""
    return float(force.max()) if np.isfinite(force).all() else None


def contact_mean(force: Samples) -> float | None:
    """Return the mean contact force over the steps in which the hand touched something, N; None if it never did."""
    touched = force[np.isfinite(force) & (force > TOUCH)]
    return float(touched.mean()) if len(touched) else None


def joint_share(joints: Samples) -> float:
    """Return the share of the samples (T + 1, 7) rad in which at least one joint is at its limit."""
    return float(((joints < LOW + JOINT_MARGIN) | (joints > HIGH - JOINT_MARGIN)).any(axis=1).mean())


def velocity_share(joints: Samples, *, rate: float) -> float:
    """Return the share of the steps of joints (T + 1, 7) rad at `rate` Hz in which at least one was too fast."""
    return float((np.abs(np.diff(joints, axis=0)) * rate > JOINT_SPEED).any(axis=1).mean())


def workspace_share(positions: Samples, table: Samples) -> float:
    """Return the share of the TCP's positions (T + 1, 3) m below the table top (T + 1,) or out of the arm's reach."""
    low = positions[:, 2] < table - TABLE_MARGIN
    far = np.linalg.norm(positions[:, :2], axis=1) > REACH
    return float((low | far).mean())

"""From canonical actions to servo targets, for n arms at once: differential inverse kinematics, and the fingers."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from sim.conventions import OPENING_MAX, POSITION_LIMIT, ROTATION_LIMIT
from sim.panda import HIGH, LOW, Kinematics
from sim.state import Array

DAMPING = 0.02
"""Damping of the least-squares inverse, relative to the Jacobian in m/rad (Wampler 1986)."""

POSTURE_GAIN = 0.05
"""Share of the way back to the home posture that is taken per step in the null space of the task."""


def clip_action(action: Array) -> Array:
    """Return canonical actions (n, 7) inside their limits: 0.05 m and 0.25 rad per axis, gripper in [0, 1]."""
    xp = array_namespace(action)
    return xp.concat(
        [
            xp.clip(action[:, :3], -POSITION_LIMIT, POSITION_LIMIT),
            xp.clip(action[:, 3:6], -ROTATION_LIMIT, ROTATION_LIMIT),
            xp.clip(action[:, 6:], 0.0, 1.0),
        ],
        axis=-1,
    )


def servo_targets(q: Array, kinematics: Kinematics, actions: Array, *, response: Array, home: Array) -> Array:
    """Return targets of arm and fingers (n, 9), rad and m, for canonical actions (n, 7), cut to their limits.

    An arm does the share `response` (n,) of the displacement that it is asked for.
    """
    xp = array_namespace(q)
    wanted = clip_action(actions)
    arm = joint_targets(q, kinematics, wanted[:, :6] * response[:, None], home)
    return xp.concat([arm, finger_targets(wanted[:, 6:])], axis=-1)


def finger_targets(gripper: Array) -> Array:
    """Return targets (n, 2), m from the middle, of gripper actions (n, 1), 1 = open."""
    return array_namespace(gripper).concat([gripper * (OPENING_MAX / 2)] * 2, axis=-1)


def joint_targets(q: Array, kinematics: Kinematics, action: Array, home: Array) -> Array:
    """Return arm joint targets (n, 7), rad, that bring the TCP by the displacement `action` (n, 6) from where it is.

    Damped least squares with the posture `home` (7,) in the null space:
    dq = p + J^T (J J^T + d^2 I)^-1 (e - J p), p = gain (home - q).
    """
    xp = array_namespace(q)
    jacobian = kinematics.jacobian
    posture = POSTURE_GAIN * (home - q)
    error = action[:, :6] - xp.sum(jacobian * posture[:, None, :], axis=-1)
    gram = _gram(jacobian)
    damping = DAMPING**2 * xp.eye(6, dtype=q.dtype, device=device(q))
    weighted = xp.linalg.solve(gram + damping, error[:, :, None])[:, :, 0]
    step = posture + xp.sum(jacobian * weighted[:, :, None], axis=1)
    low, high = (xp.asarray(limit, dtype=q.dtype, device=device(q)) for limit in (LOW + 0.02, HIGH - 0.02))
    return xp.clip(q + step, low, high)


def _gram(jacobian: Array) -> Array:
    """Return J J^T (n, 6, 6), joint by joint: twice as fast as one sum over all, and the same to the last bit."""
    gram = jacobian[:, :, None, 0] * jacobian[:, None, :, 0]
    for k in range(1, jacobian.shape[-1]):
        gram = gram + jacobian[:, :, None, k] * jacobian[:, None, :, k]
    return gram

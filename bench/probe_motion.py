"""A probe of 20 known commands in an environment: does what is executed go where it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.checklist import Finding
from bench.first_look import POSITION_SLACK, turned
from sim.adapters import adapt_actions
from sim.conventions import CANONICAL
from sim.episodes import Env
from sim.panda import forward

STEPS = 20
"""Control steps of a probe, one second."""

COMMAND = np.array([0.03, 0.03, 0.03, 0.1, 0.1, 0.1])
"""What one step of a command asks for, m and rad."""

HELD = 3
"""Steps that each of the six commands lasts; one more is watched, in which the next one begins across it."""

CLOSES = 8
"""Step at which the gripper is told to close."""

DIMENSIONS = ("position x", "position y", "position z", "rotation x", "rotation y", "rotation z")

STRAIGHT, GAINS = 0.8, (0.08, 1.2)
"""Cosine between what was sent and what came from which a direction counts as kept, and the share of it that comes."""

ONE = np.zeros(1, dtype=np.intp)


@dataclass(frozen=True)
class Motion:
    """What 20 steps of commands brought: per dimension the displacement (6,) while it was commanded."""

    # (6, 6): row k is the displacement, in units of the whole command, while dimension k was commanded.
    executed: NDArray[np.float64]
    # Opening fraction before the gripper was told to close, and at the end.
    opening: tuple[float, float]
    # Largest distance, m, between the state and where the joints put the TCP; None where no joints are told.
    lag: float | None


def probe_motion(env: Env, seed: int) -> Motion:
    """Command each dimension in turn in world 0 and measure what the TCP does; `env` is left in that episode."""
    adapt, _ = adapt_actions(CANONICAL, env.spec.convention, action_only=True)
    env.reset(ONE, [seed])
    poses, openings, lags = [_pose(env)], [_opening(env)], list[float]()
    for step in range(STEPS):
        action = np.zeros((env.n, 7))
        if step < HELD * len(COMMAND):
            dimension = step // HELD
            action[:, dimension] = COMMAND[dimension]
        action[:, 6] = float(step < CLOSES)
        env.step(adapt(action))
        poses.append(_pose(env))
        openings.append(_opening(env))
        lags += _lag(env)
    track = np.array(poses)
    rows = []
    for k in range(len(COMMAND)):
        first, last = track[k * HELD], track[min((k + 1) * HELD + 1, STEPS)]
        moved = np.concatenate([last[:3] - first[:3], turned(first, last)])
        rows.append(moved / (HELD * COMMAND))
    return Motion(np.array(rows), (max(openings[1:CLOSES]), openings[-1]), max(lags, default=None))


def _pose(env: Env) -> NDArray[np.float64]:
    return np.asarray(env.snapshot(ONE)["tcp"][0], dtype=np.float64)


def _opening(env: Env) -> float:
    return float(env.observe(ONE).state[0, -1])


def _lag(env: Env) -> list[float]:
    """Return how far the state lies from where the joints put the TCP, m; nothing where no joints are told."""
    joints = env.snapshot(ONE).get("joints")
    if joints is None:
        return []
    ours = np.asarray(forward(np.asarray(joints, dtype=np.float64)[:, :7]).position[0])
    return [float(np.linalg.norm(env.observe(ONE).state[0, :3] - ours))]


def motion_findings(motion: Motion) -> Iterator[Finding]:
    """Yield one finding per dimension, with a sentence that says what seems to be wrong."""
    for k, name in enumerate(DIMENSIONS):
        got, passed = _verdict(motion.executed[k], k)
        yield Finding(f"commanded {name}", f"{name} follows", got, passed)
    before, after = motion.opening
    got = f"from {before:.2f} to {after:.2f} open"
    if after > before - 0.1:
        got += ": it did not close; the gripper's sign or range is another" if before > 0.3 else ": it was never open"
    yield Finding("commanded the gripper to close", "it closes", got, after < before - 0.1)
    if motion.lag is not None:
        far = f"{1e3 * motion.lag:.0f} mm off at most"
        yield Finding("state while moving", "measured, where the joints are", far, motion.lag < POSITION_SLACK)


def _verdict(moved: NDArray[np.float64], k: int) -> tuple[str, bool]:
    """Return what was executed while dimension `k` was commanded, and whether that is what was sent."""
    kind = slice(0, 3) if k < 3 else slice(3, 6)
    part, own = moved[kind], float(moved[k])
    size = float(np.linalg.norm(part))
    if size < GAINS[0]:
        return f"{own:.2f} of it: nothing moves; the dimension is not read, or its unit is too small", False
    cosine = own / size
    if cosine < -STRAIGHT:
        return f"{own:.2f} of it: the sign is turned", False
    if cosine < STRAIGHT:
        other = int(np.argmax(np.abs(part))) + kind.start
        return f"{own:.2f} of it and {moved[other]:.2f} along {DIMENSIONS[other]}: another frame or order", False
    if size > GAINS[1]:
        return f"{own:.2f} of it: the unit is too large", False
    return f"{own:.2f} of it", True

"""A scripted pick controller: the first thing that must work in every simulator, as it forgives no wrong adapter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim.conventions import CANONICAL, POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Ids, Observation, PolicySpec
from sim.rotations import to_matrix
from sim.state import State
from tasks import parts

HOVER = 0.08
"""How far above the object's centre the hand waits until it stands over it, m."""

RAISE = 0.2
"""How far above the table the object is carried, m."""


def pick_action(state: State, target: str) -> NDArray[np.float64]:
    """Return canonical actions (n, 7) that pick up `target` in each world, from the state alone.

    Hover over it, turn the fingers along its faces and the hand down, sink, close, raise. It keeps no memory.
    """
    pose, half = state.poses[target], state.half_sizes[target]
    error = pose[:, :3] - state.tcp[:, :3]
    beside = np.linalg.norm(error[:, :2], axis=1) > 0.012
    far = np.abs(error[:, 2]) > 0.012
    held = ~beside & ~far & (state.opening < 2 * half[:, :2].max(axis=1) + 0.008)
    error[:, 2] += np.where(beside, HOVER, 0.0)
    above = state.table + RAISE - pose[:, 2]
    error[:, 2] = np.where(held, np.clip(above, 0.0, None), error[:, 2])
    turn = _turn(to_matrix(state.tcp[:, 3:]), to_matrix(pose[:, 3:])) * ~held[:, None]
    gripper = np.where(beside | far, 1.0, 0.0)
    limits = np.array([POSITION_LIMIT] * 3 + [ROTATION_LIMIT] * 3)
    return np.concatenate([np.clip(np.concatenate([error, turn], axis=1), -limits, limits), gripper[:, None]], axis=1)


def _turn(hand: NDArray[np.float64], item: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation (n, 3), rad, base frame, that points the hand down and its fingers at the nearest faces."""
    tilt = np.cross(hand[:, :, 2], np.array([0.0, 0.0, -1.0]))
    yaw = parts.heading(item) - parts.heading(hand)
    tilt[:, 2] += np.mod(yaw + np.pi / 4, np.pi / 2) - np.pi / 4
    return tilt


class ScriptedPolicy:
    """The controller as a policy. It reads the simulator's state through `source`, not the observation."""

    def __init__(self, source: Callable[[Ids], State], *, target: str = "cube") -> None:
        """`source` returns the state of the given worlds, for example `HostEnv.state`."""
        self._source, self._target = source, target
        self.spec = PolicySpec(name="scripted", convention=CANONICAL, inputs=frozenset({"privileged"}))

    def reset(self, ids: Ids) -> None:
        """Forget nothing: there is no memory."""

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return actions (k, 7)."""
        return pick_action(self._source(observation.ids), self._target)

"""Scripts as policies: they read the simulator's state, so that no network stands between them and what is tested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.conventions import ARM_LIMITS, CANONICAL
from sim.episodes import Ids, Observation, PolicySpec
from sim.state import State
from tasks.scripted import Script, load_script, moves


class ScriptedPolicy:
    """A script as a policy; `source` returns the state of the given worlds, for example `HostEnv.state`."""

    def __init__(
        self, source: Callable[[Ids], State], *, task: str = "lift_cube-v1", script: Script | None = None
    ) -> None:
        """Act by the script of `task`, or by another `script`."""
        self._source, self._act = source, script or load_script(task)
        self.spec = PolicySpec(name="scripted", convention=CANONICAL, inputs=frozenset({"privileged"}))

    def reset(self, ids: Ids) -> None:
        """Forget nothing: scripts have no memory."""

    def act(self, observation: Observation) -> np.ndarray:
        """Return actions (k, 7)."""
        assert self._act is not None, "the task has no script"
        return self._act(self._source(observation.ids))


HOVER, RAISE = 0.08, 0.2
"""Height above the object at which the hand waits, and above the table at which the object is held, m."""


def plain_pick(state: State, target: str = "cube") -> np.ndarray:
    """Return canonical actions (n, 7) that pick up `target` at full speed, corner by corner.

    The expert began as a copy of the task's own script, which is smooth: where two good policies must act in different
    ways, or a grasp must come soon, this is the other one.
    """
    pose, half = state.poses[target], state.half_sizes[target]
    error = pose[:, :3] - state.tcp[:, :3]
    beside = np.linalg.norm(error[:, :2], axis=1) > 0.012
    far = np.abs(error[:, 2]) > 0.012
    held = ~beside & ~far & (state.opening < 2 * half[:, :2].max(axis=1) + 0.008)
    error[:, 2] += np.where(beside, HOVER, 0.0)
    above = state.table + RAISE - pose[:, 2]
    error[:, 2] = np.where(held, np.clip(above, 0.0, None), error[:, 2])
    turn = moves.down(state, along=moves.face(state, target), period=np.pi / 2) * ~held[:, None]
    gripper = np.where(beside | far, 1.0, 0.0)
    limits = np.array(ARM_LIMITS)
    return np.concatenate([np.clip(np.concatenate([error, turn], axis=1), -limits, limits), gripper[:, None]], axis=1)

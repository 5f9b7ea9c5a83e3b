"""A script for every twin, with which a host's mapping is tested: the task's own, or another that the host needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.conventions import CANONICAL
from sim.episodes import Ids, Observation, PolicySpec
from sim.rotations import to_matrix
from sim.state import State
from tasks import doors, parts, peg_upright, pegs, place_in_bin
from tasks.scripted import grasp, load_script

Script = Callable[[State], np.ndarray]
"""State of one world -> canonical action (1, 7). Those here may remember phases between calls."""

NEAR = 0.42
"""Distance from the base at which the hand can be pointed back at it, m."""

CORNER = np.array([0.05, 0.06, 0.0])
"""From where the can is put down to the middle of its compartment, m, which is farther than the arm can reach."""

WALL = 0.1
"""Height that a target must be carried over in PickPlaceCan, m."""


class ScriptedPolicy:
    """A script as a policy: no network stands between the state of the simulator, read through `source`, and a host."""

    def __init__(self, source: Callable[[Ids], State], *, begin: Callable[[], Script] | None = None) -> None:
        """`begin` returns the script of the next episode; without it, that of `lift_cube-v1`."""
        self._source, self._begin = source, begin or (lambda: load_script("lift_cube-v1"))
        self._act = self._begin()
        self.spec = PolicySpec(name="scripted", convention=CANONICAL, inputs=frozenset({"privileged"}))

    def reset(self, ids: Ids) -> None:
        """Begin the script anew."""
        self._act = self._begin()

    def act(self, observation: Observation) -> np.ndarray:
        """Return actions (k, 7)."""
        return self._act(self._source(observation.ids))


def over_the_wall() -> Script:
    """Return a script that carries the can over the wall between the bins, which is far: in phases, and fast."""
    phase = 0

    def act(state: State) -> np.ndarray:
        nonlocal phase
        action = grasp.lift(state)
        way = place_in_bin.goal(state) - CORNER - state.poses["target"][:, :3]
        up = float(parts.height(state, "target")[0])
        held = state.contact[0] > 2 and np.linalg.norm(parts.offset(state, "target")) < 0.02
        reached = (
            held and up > 0.003,
            up > WALL,
            np.linalg.norm(way[0, :2]) < 0.006,
            abs(way[0, 2]) < 0.004,
        )
        phase += int(phase < 4 and reached[phase])
        level = WALL + 0.005 - up
        moves = {1: [0, 0, 0.03], 2: [*way[0, :2], level], 3: [*way[0, :2], np.clip(way[0, 2], -0.015, 0.015)]}
        if phase in moves:
            action[0] = [*np.clip(moves[phase], -0.03, 0.03), 0, 0, 0, 0]
        elif phase == 4:
            action[0] = [0, 0, 0.02 * (parts.spare(state, "target")[0] > 0.02), 0, 0, 0, 1]
        action[0, :3] = np.clip(action[0, :3] * (2.0 if up > 0.01 else 1.0), -0.05, 0.05)
        return action

    return act


def hook_door() -> Script:
    """Return a script for one world: reach behind the horizontal handle with closed fingers and draw it out.

    The fingers go down between handle and door, the hand's broad side along the door, for which there is room.
    """
    below = False

    def act(state: State) -> np.ndarray:
        nonlocal below
        hand, tcp = to_matrix(state.tcp[:, 3:])[0], state.tcp[0, :3]
        yaw = to_matrix(state.fixtures["tall_right_door"][:, 3:])[0]
        outward, along = -yaw[:, 0], yaw[:, 1]
        behind = doors.handle(state)[0] - 0.038 * outward - [0, 0, 0.01]
        turn = np.cross(hand[:, 2], [0, 0, -1])
        lined = hand[:, 1] * np.sign(hand[:, 1] @ along)
        turn[2] += np.cross(lined, along)[2]
        way = behind - tcp
        aside = np.hypot(*way[:2])
        below = below or (aside < 0.015 and abs(way[2]) < 0.02)
        if below:
            move = 0.04 * outward + [0, 0, 0.5 * way[2]]
        else:
            move = way + [0, 0, 0.09 * (aside > 0.012 or abs(lined @ along) < 0.98)]
        return np.array([[*np.clip(move, -0.05, 0.05), *np.clip(turn, -0.2, 0.2), 0]])

    return act


def stand_near() -> Script:
    """Return a script for one world: grasp the peg, draw it near, turn the hand towards the robot, set it down.

    Where ManiSkill puts the peg, the arm is too short to reach over it and point the hand back at its base.
    """
    phase = 0

    def act(state: State) -> np.ndarray:
        nonlocal phase
        hand, along = to_matrix(state.tcp[:, 3:])[0], peg_upright.along(state)[0]
        way, half = parts.offset(state, "target")[0], state.half_sizes["target"][0]
        height = float(peg_upright.rise(state)[0] * half[0])
        steep = abs(float(pegs.axis(state)[0, 2]))
        aside = np.hypot(*way[:2]) > 0.012
        held = abs(way[2]) < 0.01 and parts.spare(state, "target")[0] < 0.004 and state.contact[0] > 2
        reached = (held and not aside, height > half[0] + 0.02, steep > 0.999)
        phase += int(phase < 3 and reached[phase])
        if phase == 0:
            turn = np.cross(hand[:, 2], [0, 0, -1]) + hand[:, 2] * np.arctan2(along[1], along[0])
            open_hand = float(aside or abs(way[2]) > 0.01)
            return np.array([[*np.clip(way + [0, 0, 0.07 * aside], -0.05, 0.05), *turn, open_hand]])
        turn = np.clip(np.cross(pegs.axis(state)[0], [0, 0, -1]), -0.1, 0.1) * (phase > 1)
        rise = (0.03, half[0] + 0.025 - height, half[0] - 0.002 - height)[phase - 1]
        near = np.clip(NEAR - state.tcp[0, 0], -0.04, 0.0) * (phase < 3)
        return np.array([[near, 0, np.clip(rise, -0.02, 0.03), *turn, 0]])

    return act


SCRIPTS: dict[tuple[str, str], Callable[[], Script]] = {
    ("maniskill", "LiftPegUpright-v1"): stand_near,
    ("robosuite", "Door"): hook_door,
    ("robosuite", "PickPlaceCan"): over_the_wall,
}
"""Scripts by host and environment, where the task's own does not do."""


def script(host: str, host_task: str, task: str) -> Script:
    """Return a fresh script for one episode of a twin of `task`."""
    made = SCRIPTS.get((host, host_task))
    return load_script(task) if made is None else made()

"""A script for every twin: those of the tasks, where the host's scene does not ask for another way."""

from __future__ import annotations

import numpy as np
from tests.scripted_tasks import SCRIPTS, Script, carry, lift

from sim.rotations import to_matrix
from sim.state import State
from tasks import open_door, parts, peg_upright, pegs, place_in_bin

NEAR = 0.42
"""Distance from the base at which the hand can be pointed back at it, m."""

CORNER = np.array([0.05, 0.06, 0.0])
"""From where the can is put down to the middle of its compartment, m, which is farther than the arm can reach."""

WALL = 0.1
"""Height that a target must be carried over in PickPlaceCan, m."""


def over_the_wall() -> Script:
    """Return a script that carries the can over the wall between the bins, which is far: faster than elsewhere."""
    act = carry(lambda state: place_in_bin.goal(state) - CORNER, lambda state: np.full(len(state.table), WALL))

    def hasten(state: State) -> np.ndarray:
        action = act(state)
        action[0, :3] = np.clip(action[0, :3] * (2.0 if parts.height(state, "target")[0] > 0.01 else 1.0), -0.05, 0.05)
        return action

    return hasten


def hook_door() -> Script:
    """Return a script for one world: reach behind the horizontal handle with closed fingers and draw it out.

    The fingers go down between handle and door, the hand's broad side along the door, for which there is room.
    """
    below = False

    def act(state: State) -> np.ndarray:
        nonlocal below
        hand, tcp = to_matrix(state.tcp[:, 3:])[0], state.tcp[0, :3]
        yaw = to_matrix(state.fixtures["door"][:, 3:])[0]
        outward, along = -yaw[:, 0], yaw[:, 1]
        behind = open_door.handle(state)[0] - 0.038 * outward - [0, 0, 0.01]
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


HOST_SCRIPTS = {
    ("maniskill", "LiftPegUpright-v1"): stand_near,
    ("robosuite", "PickPlaceCan"): over_the_wall,
    ("robosuite", "Door"): hook_door,
}
"""Scripts of twins that ask for another way than the task does."""


def script(host: str, host_task: str, task: str) -> Script:
    """Return a fresh script for one episode of a twin."""
    return HOST_SCRIPTS.get((host, host_task), SCRIPTS.get(task, lift))()

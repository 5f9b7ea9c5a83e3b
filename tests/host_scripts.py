"""A careful script for every twin: slow, in phases, for one world; the mapping of a host is tested with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.scripted import pick_action
from sim.rotations import to_matrix
from sim.state import State
from tasks import bins, doors, parts, peg_upright, pegs, sliding, stack_cube

Script = Callable[[State], np.ndarray]
"""State of one world -> canonical action (1, 7). It may remember phases between calls."""

NEAR = 0.42
"""Distance from the base at which the hand can be pointed back at it, m."""


def lift(target: str) -> Script:
    """Return a script that picks up the target."""
    return lambda state: pick_action(state, target)


def slide() -> Script:
    """Return a script that goes to the target's far side with closed fingers and moves it into the region."""

    def act(state: State) -> np.ndarray:
        way, goal = sliding.approach(state), sliding.to_goal(state)
        distance = np.linalg.norm(goal, axis=1)[:, None]
        behind = (np.linalg.norm(way[:, :2], axis=1) < 0.03) & (np.abs(way[:, 2]) < 0.02)
        low = (sliding.behind(state, gap=0.02) - state.tcp[:, :3])[:, 2:]
        push = np.concatenate([0.025 * goal / np.maximum(distance, 1e-6) + 0.5 * way[:, :2], low], axis=1)
        move = np.where(behind[:, None], push, way) * (distance > 0.03)
        return np.concatenate([np.clip(1.5 * move, -0.05, 0.05), np.zeros((len(move), 4))], axis=1)

    return act


def carry(goal: Callable[[State], np.ndarray], clear: Callable[[State], np.ndarray]) -> Script:
    """Return a script for one world: pick the target, raise it to `clear`, carry it to `goal`, lower it, let go."""
    phase = 0

    def act(state: State) -> np.ndarray:
        nonlocal phase
        action = pick_action(state, "target")
        way = goal(state) - state.poses["target"][:, :3]
        up = float(parts.height(state, "target")[0])
        held = state.contact[0] > 2 and np.linalg.norm(parts.offset(state, "target")) < 0.02
        reached = (
            held and up > 0.003,
            up > clear(state)[0],
            np.linalg.norm(way[0, :2]) < 0.006,
            abs(way[0, 2]) < 0.004,
        )
        phase += int(phase < 4 and reached[phase])
        level = clear(state)[0] + 0.005 - up
        moves = {1: [0, 0, 0.03], 2: [*way[0, :2], level], 3: [*way[0, :2], np.clip(way[0, 2], -0.015, 0.015)]}
        if phase in moves:
            action[0] = [*np.clip(moves[phase], -0.03, 0.03), 0, 0, 0, 0]
        elif phase == 4:
            action[0] = [0, 0, 0.02 * (parts.spare(state, "target")[0] > 0.02), 0, 0, 0, 1]
        return action

    return act


def onto() -> Script:
    """Return a script that puts the target onto the base."""
    return carry(stack_cube.place, lambda state: 2 * state.half_sizes["base"][:, 2] + 0.01)


def into() -> Script:
    """Return a script that puts the target into the bin."""
    return carry(bins.goal, bins.clear)


def over_the_wall() -> Script:
    """Return a script that carries the can over the wall between the bins, which is far: faster than elsewhere."""
    act = carry(bins.goal, bins.clear)

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
    ("maniskill", "PlaceSphere-v1"): into,
    ("maniskill", "PullCube-v1"): slide,
    ("maniskill", "PushCube-v1"): slide,
    ("maniskill", "StackCube-v1"): onto,
    ("robosuite", "Door"): hook_door,
    ("robosuite", "PickPlaceCan"): over_the_wall,
    ("robosuite", "Stack"): onto,
}
"""Scripts by host and environment; the others are lifts."""


def script(host: str, host_task: str, target: str) -> Script:
    """Return a fresh script for one episode of a twin whose target the task calls `target`."""
    made = SCRIPTS.get((host, host_task))
    return lift(target) if made is None else made()

"""Scripted controllers, one per task: what a script cannot do in a scene, no learner will either."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from bench.scripted import pick_action
from sim.rotations import to_matrix
from sim.state import State
from tasks import open_door, parts, peg_upright, place_in_bin, sliding, stack_cube

Script = Callable[[State], np.ndarray]
"""State of n worlds -> canonical actions (n, 7). It may remember phases between calls."""


def lift() -> Script:
    """Return a script that picks up the target."""
    return lambda state: pick_action(state, "target")


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


def stand() -> Script:
    """Return a script for one world: grasp the peg, raise it, turn the hand towards the robot, set it down."""
    phase = 0

    def act(state: State) -> np.ndarray:
        nonlocal phase
        hand, along = to_matrix(state.tcp[:, 3:])[0], peg_upright.along(state)[0]
        way, half = parts.offset(state, "target")[0], state.half_sizes["target"][0]
        height = float(peg_upright.rise(state)[0] * half[0])
        steep = abs(float(peg_upright.axis(state)[0, 2]))
        aside = np.hypot(*way[:2]) > 0.012
        held = abs(way[2]) < 0.01 and parts.spare(state, "target")[0] < 0.004 and state.contact[0] > 2
        reached = (held and not aside, height > half[0] + 0.02, steep > 0.999)
        phase += int(phase < 3 and reached[phase])
        if phase == 0:
            turn = np.cross(hand[:, 2], [0, 0, -1]) + hand[:, 2] * np.arctan2(along[1], along[0])
            open_hand = float(aside or abs(way[2]) > 0.01)
            return np.array([[*np.clip(way + [0, 0, 0.07 * aside], -0.05, 0.05), *turn, open_hand]])
        rest = -hand[:, 1] * min(float(np.arccos(min(steep, 1.0))), 0.2) * (phase > 1)
        rise = (0.03, half[0] + 0.025 - height, half[0] - 0.002 - height)[phase - 1]
        return np.array([[0, 0, np.clip(rise, -0.02, 0.03), *rest, 0]])

    return act


def pull_door() -> Script:
    """Return a script for one world: grasp the handle from above and pull it towards the robot."""
    step = 0

    def act(state: State) -> np.ndarray:
        nonlocal step
        step += 1
        way = open_door.handle(state)[0] - state.tcp[0, :3]
        way[2] += 0.08 * (np.hypot(*way[:2]) > 0.012)
        pull = -0.02 * (step > 36)
        return np.array([[*(np.clip(way, -0.03, 0.03) + [pull, 0, 0]), 0, 0, 0, float(step <= 30)]])

    return act


def _above(task: ModuleType) -> Callable[[State], np.ndarray]:
    """Return how high the target must be on its way, (n,), m."""
    if task is stack_cube:
        return lambda state: 2 * state.half_sizes["base"][:, 2] + 0.01
    return lambda state: np.full(len(state.table), place_in_bin.RIM + 0.02)


SCRIPTS: dict[str, Callable[[], Script]] = {
    "lift_cube-v2": lift,
    "push_cube-v1": slide,
    "pull_cube-v1": slide,
    "stack_cube-v1": lambda: carry(stack_cube.place, _above(stack_cube)),
    "place_in_bin-v1": lambda: carry(place_in_bin.goal, _above(place_in_bin)),
    "peg_upright-v1": stand,
    "open_door-v1": pull_door,
}
"""A script for every task that has no expert of old."""

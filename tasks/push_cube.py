"""push_cube-v1: push the named object forward into the round region on the table.

Goal: bring the target's centre over the region, away from the robot.
Start: arm near its home posture; target 40 to 54 cm in front of the base; region 14 to 22 cm beyond it, up to 30 degrees
    aside; up to three others, none on the way.
Randomized: the laws of tasks/laws.py; kinds, sizes, colours, places and the sentence are drawn together (docs/tasks.md).
Held out: purple, green cylinders, yellow cubes, sizes beyond HALF, and the sentences and nouns marked so.
Success: the target's centre is within 6 cm of the region's centre in the plane, and the target has not left the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from array_api_compat import array_namespace

from sim.fixtures import region
from sim.scene import Object, Scene, Value
from sim.state import Array, State
from tasks import parts
from tasks.laws import CAMERAS, OTHERS, presets, slots
from tasks.layout import Dice, Layout, Place
from tasks.semantics import Role, Semantics
from tasks.task import Task, Terms, Twin

RADIUS = 0.06
TARGET = Object("target", "box", half_size=(0.02, 0.02, 0.02), position=(0.47, 0.0), mass=0.08)
GOAL = region("goal", radius=RADIUS, position=(0.67, 0.0), color=(0.75, 0.1, 0.35))
FORWARD = 1.0


def to_goal(state: State) -> Array:
    """Return the vector in the plane from the target to the region's centre, (n, 2)."""
    return state.fixtures["goal"][:, :2] - state.poses["target"][:, :2]


def behind(state: State, *, gap: float) -> Array:
    """Return the point (n, 3) from which the target is pushed: `gap` behind its side that is turned from the goal."""
    xp = array_namespace(state.q)
    way = to_goal(state)
    distance = xp.clip(parts.length(way), 0.02, 10.0)[:, None]
    reach = (state.half_sizes["target"][:, :1] + gap) * way / distance
    low = state.poses["target"][:, 2:3]
    return xp.concat([state.poses["target"][:, :2] - reach, low], axis=-1)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 28): hand, target, way to the goal, way to where the push starts."""
    start = behind(state, gap=0.02) - state.tcp[:, :3]
    return parts.concat(parts.hand_features(state), parts.object_features(state, "target"), to_goal(state), start)


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    distance = parts.length(to_goal(state))
    start = parts.length(behind(state, gap=0.02) - state.tcp[:, :3])
    done = parts.flag(success(state), state.q)
    return {
        "reach": xp.maximum(1 - xp.tanh(5 * start), done),
        "reach_fine": xp.maximum(xp.exp(-((start / 0.03) ** 2)), done),
        "push": 1 - xp.tanh(6 * distance),
        "place": xp.exp(-((distance / 0.05) ** 2)),
        "success": done,
        **parts.motion_terms(state, action, previous),
    }


def success(state: State) -> Array:
    """Return whether the target stands in the region, on the table, (n,)."""
    xp = array_namespace(state.q)
    low = xp.abs(parts.height(state, "target")) < 0.015
    return (parts.length(to_goal(state)) < RADIUS) & low


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place]) -> dict[str, Value]:
    """Draw the region ahead of the target and keep the way there free."""
    x, y = places["target"]
    angle, distance = dice.uniform(-0.5, 0.5), dice.uniform(0.14, 0.22)
    goal = (x + FORWARD * distance * math.cos(angle), y + distance * math.sin(angle))
    layout.take((x - FORWARD * 0.1, y), radius=0.07, to=goal)
    return {"goal.position": goal}


SEMANTICS = Semantics(
    roles=(Role("target", ("cube", "cube", "cylinder"), ((0.4, -0.16), (0.54, 0.16))),),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    field=((0.38, -0.26), (0.76, 0.26)),
    arrange=arrange,
    templates={
        "push": "push {target} onto the target spot",
        "move": "push {target} forward to the round mark",
        "slide": "slide {target} away from the robot onto the circle",
        "shove": "move {target} into the circle by pushing it",
        "held_out_nudge": "nudge {target} over to the round target",
        "held_out_bring": "shove {target} ahead until it is on the mark",
    },
    in_hosts={"target": "the blue cube"},
)

TASK = Task(
    id="push_cube-v1",
    summary="push the named object forward into the round region",
    scene=Scene(objects=slots(TARGET), cameras=CAMERAS, table_shape="plane", fixtures=(GOAL,)),
    presets=presets("target", fixtures=("goal",)),
    horizon=60,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={"reach": 1.0, "reach_fine": 0.5, "push": 3.0, "place": 2.0, "success": 2.0, **parts.MOTION_WEIGHTS},
    success=success,
    templates=SEMANTICS.templates,
    target="target",
    twins=(
        Twin(
            "maniskill",
            "PushCube-v1",
            "PushCube has one cube, its region straight ahead at 20 cm, and counts 10 cm from the centre as reached",
        ),
    ),
    semantics=SEMANTICS,
)

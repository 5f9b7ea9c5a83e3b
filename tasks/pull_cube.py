"""pull_cube-v1: pull the named object towards the robot into the round region on the table.

Goal: bring the target's centre over the region.
Start: arm near its home posture; target 56 to 70 cm in front of the base; region 14 to 22 cm nearer, up to 30 degrees
    aside; up to three others, none on the way.
Randomized: the laws of tasks/laws.py; kinds, sizes, colours, places and sentence are drawn together (docs/tasks.md).
Held out: purple, green cylinders, yellow cubes, sizes beyond HALF, and the sentences and nouns marked so.
Success: the target's centre is within 6 cm of the region's centre in the plane, and the target is on the table.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from sim.scene import Object, Scene
from tasks import sliding
from tasks.laws import CAMERAS, OTHERS, START_CLEARANCE, presets, slots
from tasks.semantics import Role, Semantics
from tasks.task import Task, Twin

TARGET = Object("target", "box", (0.02, 0.02, 0.02), position=(0.63, 0.0), mass=0.08, friction=0.5)
GOAL = replace(sliding.GOAL, position=(0.45, 0.0))


SEMANTICS = Semantics(
    roles=(Role("target", ("cube", "cube", "cylinder"), ((0.56, -0.16), (0.7, 0.16))),),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=((0.36, -0.22), (0.73, 0.22)),
    arrange=functools.partial(sliding.arrange, ahead=-1.0),
    templates={
        "pull": "pull {target} onto the target spot",
        "move": "pull {target} back to the round mark",
        "drag": "drag {target} towards the robot onto the circle",
        "draw": "move {target} into the circle by pulling it",
        "held_out_tug": "tug {target} over to the round target",
        "held_out_fetch": "fetch {target} back until it is on the mark",
    },
    in_hosts={"target": "the blue cube"},
)

TASK = Task(
    id="pull_cube-v1",
    summary="pull the named object towards the robot into the round region",
    scene=Scene(objects=slots(TARGET), cameras=CAMERAS, table_shape="plane", fixtures=(GOAL,)),
    presets=presets("target", fixtures=("goal",), extra=sliding.FRICTION),
    horizon=100,
    hold=5,
    privileged=sliding.privileged,
    terms=sliding.terms,
    weights=sliding.WEIGHTS,
    success=sliding.success,
    templates=SEMANTICS.templates,
    target="target",
    twins=(
        Twin(
            "maniskill",
            "PullCube-v1",
            "PullCube has one cube, its region straight behind at 20 cm, and counts 10 cm from the centre as reached",
        ),
    ),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

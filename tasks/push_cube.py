"""push_cube-v1: push the named object away from the robot into the round region on the table.

Goal: bring the target's centre over the region.
Start: arm near its home posture; target 40 to 54 cm in front of the base; region 14 to 22 cm beyond it, up to 30
    degrees aside; up to three others, none on the way.
Randomized: the laws of tasks/laws.py; kinds, sizes, colours, places and sentence are drawn together (docs/tasks.md).
Held out: purple, green cylinders, yellow cubes, sizes beyond HALF, and the sentences and nouns marked so.
Success: the target's centre is within 6 cm of the region's centre in the plane, and the target is on the table.
"""

from __future__ import annotations

import functools

from sim.scene import Object, Scene
from tasks import sliding
from tasks.laws import CAMERAS, OTHERS, START_CLEARANCE, presets, slots
from tasks.semantics import Role, Semantics
from tasks.task import Task, Twin

TARGET = Object("target", "box", (0.02, 0.02, 0.02), position=(0.47, 0.0), mass=0.08, friction=0.5)


SEMANTICS = Semantics(
    roles=(Role("target", ("cube", "cube", "cylinder"), ((0.4, -0.16), (0.54, 0.16))),),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=((0.38, -0.22), (0.73, 0.22)),
    arrange=functools.partial(sliding.arrange, ahead=1.0),
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
    summary="push the named object away from the robot into the round region",
    scene=Scene(objects=slots(TARGET), cameras=CAMERAS, table_shape="plane", fixtures=(sliding.GOAL,)),
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
            "PushCube-v1",
            "PushCube has one cube, its region straight ahead at 20 cm, and counts 10 cm from the centre as reached; "
            "our 6 cm are out of the arm's reach where the region is farthest",
        ),
    ),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

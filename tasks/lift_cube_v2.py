"""lift_cube-v2: of up to four objects, pick up the one that the sentence names and hold it in the air.

Goal: grasp the target (a cube, a cylinder or a ball) and hold its underside at least 5 cm above the table top.
Start: arm near its home posture, gripper open; target anywhere in a 30 x 44 cm field, up to three others around it.
Randomized: the laws of tasks/laws.py; kinds, sizes, colours, places and sentence are drawn together (docs/tasks.md).
Held out: purple, green cylinders, yellow cubes, blue balls, sizes beyond HALF, and the sentences and nouns marked so.
Success: the underside of the target is more than 5 cm above the table top.
"""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.scene import Object, Scene
from sim.state import Array, State
from tasks import parts
from tasks.laws import CAMERAS, OTHERS, presets, slots
from tasks.semantics import Role, Semantics
from tasks.task import Task, Terms, Twin

LIFTED = 0.05
FIELD = ((0.43, -0.22), (0.73, 0.22))
TARGET = Object("target", "box", half_size=(0.02, 0.02, 0.02), position=(0.6, 0.0), mass=0.08)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 23): hand and target."""
    return parts.concat(parts.hand_features(state), parts.object_features(state, "target"))


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    return {
        **parts.grasp_terms(state, "target"),
        "lift": xp.clip(parts.height(state, "target") / 0.08, 0.0, 1.0),
        "success": parts.flag(success(state), state.q),
        **parts.motion_terms(state, action, previous),
    }


def success(state: State) -> Array:
    """Return whether the target is held clear of the table, (n,)."""
    return parts.height(state, "target") > LIFTED


SEMANTICS = Semantics(
    roles=(Role("target", ("cube", "cube", "cylinder", "ball"), FIELD),),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=FIELD,
    templates={
        "lift": "lift {target}",
        "pick_up": "pick up {target}",
        "raise": "raise {target} off the table",
        "take": "take {target} and hold it in the air",
        "grasp": "grasp {target} and lift it up",
        "held_out_hoist": "hoist {target} into the air",
        "held_out_get": "get {target} up from the table",
    },
    in_hosts={"target": "the {color} cube"},
)

TASK = Task(
    id="lift_cube-v2",
    summary="of up to four objects, pick up the one that the sentence names and hold it in the air",
    scene=Scene(objects=slots(TARGET), cameras=CAMERAS, table_shape="plane"),
    presets=presets("target"),
    horizon=60,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={**parts.GRASP_WEIGHTS, "lift": 4.0, "success": 3.0, **parts.MOTION_WEIGHTS},
    success=success,
    templates=SEMANTICS.templates,
    target="target",
    twins=(
        Twin("maniskill", "PickCube-v1", "PickCube has one cube, a goal position, and wants a still robot"),
        Twin("robosuite", "Lift", "Lift has one cube and asks for its centre 4 cm above the table"),
    ),
    semantics=SEMANTICS,
)

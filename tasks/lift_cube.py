"""lift_cube-v1: pick up a cube and hold it in the air.

Goal: a single cube lies on the table; grasp it and hold its underside at least 5 cm above the table top.
Start: arm near its home posture, gripper open, cube at rest anywhere in a 30 x 44 cm field in front of the robot.
Randomized: PHYSICAL and VISUAL; every law is applied to the nominal value of the scene, SI units.
Success: the underside of the cube is more than 5 cm above the table top.
"""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.scene import Object, Scene
from sim.state import Array, State
from tasks import laws, parts
from tasks.randomization import knobs
from tasks.task import Task, Terms, Twin

LIFTED = 0.05

SCENE = Scene(
    objects=(Object("cube", "box", (0.02, 0.02, 0.02), position=(0.6, 0.0), mass=0.08, shapes=("box",)),),
    cameras=laws.CAMERAS,
)

PHYSICAL = (
    *knobs(
        "cube.position +U([-0.17, -0.22], [0.13, 0.22])",
        "cube.yaw +U(-3.1416, 3.1416)",
        "cube.half_size *U(0.8, 1.25)",
        "cube.mass *U(0.4, 2.5)",
        "cube.friction *U(0.5, 1.2)",
    ),
    *laws.ROBOT,
)

VISUAL = (
    *knobs("cube.color =choice(red, red, red, green, blue, yellow, orange, purple)", "cube.shade *U(0.6, 1.2)"),
    *laws.LOOKS,
)

HELD_OUT = (
    *knobs("cube.position +U([-0.2, -0.25], [0.16, 0.25])", "cube.mass *U(0.3, 3.5)"),
    *laws.HELD_OUT,
)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 20).

    TCP above the table (3), its x and z axes (6), opening fraction, cube - TCP (3), yaw (2), cube above the table (3),
    half size, height of the underside. Lengths in m, base frame.
    """
    return parts.concat(
        parts.hand_features(state),
        parts.offset(state, "cube"),
        parts.yaw_features(state, "cube"),
        state.poses["cube"][:, :3] - parts.ground(state),
        state.half_sizes["cube"][:, 2:],
        parts.height(state, "cube")[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    return {
        **parts.grasp_terms(state, "cube"),
        "lift": xp.clip(parts.height(state, "cube") / 0.08, 0.0, 1.0),
        "success": parts.flag(success(state), state.q),
        **parts.motion_terms(state, action, previous),
    }


def success(state: State) -> Array:
    """Return whether the cube is held clear of the table, (n,)."""
    return parts.height(state, "cube") > LIFTED


TASK = Task(
    id="lift_cube-v1",
    summary="pick up a cube and hold it in the air",
    scene=SCENE,
    presets={"none": (), "physical": PHYSICAL, "train": PHYSICAL + VISUAL, "held_out": PHYSICAL + VISUAL + HELD_OUT},
    horizon=60,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={**parts.GRASP_WEIGHTS, "lift": 4.0, "success": 3.0, **parts.MOTION_WEIGHTS},
    success=success,
    templates={
        "lift": "lift the {color} cube",
        "pick_up": "pick up the {color} cube",
        "raise": "raise the {color} block off the table",
        "take": "take the cube and hold it in the air",
        "grasp": "grasp the {color} cube and lift it up",
        "held_out_hoist": "hoist the {color} block into the air",
        "held_out_get": "get the cube up from the table",
    },
    target="cube",
    twins=(
        Twin("maniskill", "PickCube-v1", "PickCube also asks for a goal position and a still robot; lifted is ours"),
        Twin("robosuite", "Lift", "Lift asks for the cube's centre 4 cm above the table"),
    ),
)

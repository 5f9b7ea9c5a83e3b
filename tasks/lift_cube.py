"""lift_cube-v1: pick up a cube and hold it in the air.

Goal: a single cube lies on the table; grasp it and hold its underside at least 5 cm above the table top.
Start: arm near its home posture, gripper open, cube at rest anywhere in a 30 x 44 cm field in front of the robot.
Randomized: see TRAIN; every law is applied to the nominal value of the scene, SI units.
Success: the underside of the cube is more than 5 cm above the table top.
"""

from __future__ import annotations

from array_api_compat import array_namespace, device

from sim.conventions import OPENING_MAX, POSITION_LIMIT, ROTATION_LIMIT
from sim.rotations import to_matrix
from sim.scene import Camera, Object, Scene
from sim.state import Array, State
from tasks import parts
from tasks.randomization import knobs
from tasks.task import Task, Terms, Twin

LIFTED = 0.05

SCENE = Scene(
    objects=(Object("cube", "box", (0.02, 0.02, 0.02), position=(0.6, 0.0), mass=0.08, shapes=("box",)),),
    cameras=(
        ("near", Camera(position=(1.06, 0.0, 0.55), target=(0.5085, 0.0, 0.0), fovy=45.0)),
        ("high", Camera(position=(0.915, 0.0, 0.6), target=(0.515, 0.0, 0.1), fovy=53.13)),
    ),
)

PHYSICAL = knobs(
    "cube.position +U([-0.17, -0.22], [0.13, 0.22])",
    "cube.yaw +U(-3.1416, 3.1416)",
    "cube.half_size *U(0.8, 1.25)",
    "cube.mass *U(0.4, 2.5)",
    "cube.friction *U(0.5, 1.2)",
    "gripper.friction *U(0.6, 1.4)",
    "gripper.opening =U(0.3, 1)",
    "gripper.speed =choice(0.08, 0.1, 0.14, 0.2, 0.35, 1, 1)",
    "robot.q +U([-0.2, -0.15, -0.15, -0.2, -0.15, -0.2, -0.35], [0.2, 0.15, 0.15, 0.2, 0.15, 0.2, 0.35])",
    "robot.response *U(0.35, 1.1)",
    "robot.damping *U(0.8, 1.25)",
    "table.height =U(-0.13, 0.02)",
    "action.noise =U(0, 0.05)",
    "observation.noise =U(0, 0.002)",
)

VISUAL = knobs(
    "cube.color =choice(red, red, red, green, blue, yellow, orange, purple)",
    "cube.shade *U(0.6, 1.2)",
    "table.color =U([0.3, 0.25, 0.2], [1.0, 1.0, 1.0])",
    "table.texture =choice(plain, plain, checker, wood, wood, grain, noise, speckle, gradient)",
    "table.extent =U([-0.25, 0.38], [0.2, 1.2])",
    "floor.color =U([0.15, 0.15, 0.15], [0.85, 0.85, 0.85])",
    "floor.texture =choice(plain, tiles, planks, noise, grain)",
    "background.color =U([0.1, 0.1, 0.1], [0.95, 0.95, 0.95])",
    "background.distance =U(1.2, 4)",
    "mount.color =U([0.02, 0.02, 0.02], [0.5, 0.5, 0.5])",
    "robot.color *U(0.7, 1.1)",
    "light.direction =U([-0.9, -0.7, -1.2], [0.7, 0.7, -0.8])",
    "light.diffuse *U(0.5, 1.4)",
    "light.ambient *U(0.5, 1.6)",
    "camera.view =choice(near, high)",
    "camera.offset +U([-0.015, -0.015, -0.015], [0.015, 0.015, 0.015])",
    "camera.target_offset +U([-0.015, -0.015, -0.015], [0.015, 0.015, 0.015])",
    "camera.roll +U(-0.0175, 0.0175)",
    "camera.fovy *U(0.98, 1.02)",
    "image.exposure *U(0.75, 1.25)",
    "image.noise =U(0, 6)",
    "image.blur =U(0, 0.8)",
)

HELD_OUT = knobs(
    "cube.position +U([-0.2, -0.25], [0.16, 0.25])",
    "cube.mass *U(0.3, 3.5)",
    "camera.offset +U([-0.04, -0.04, -0.04], [0.04, 0.04, 0.04])",
    "light.direction =U([-1.2, -1.0, -1.2], [1.0, 1.0, -0.6])",
    "image.noise =U(4, 12)",
)


def _yaw_features(state: State) -> Array:
    """Return cos and sin of 4 x the angle between hand and cube about z, (n, 2).

    A cube looks the same after every quarter turn, and so do these.
    """
    xp = array_namespace(state.q)
    hand, cube = to_matrix(state.tcp[:, 3:]), to_matrix(state.poses["cube"][:, 3:])
    angle = parts.heading(cube) - parts.heading(hand)
    return xp.stack([xp.cos(4 * angle), xp.sin(4 * angle)], axis=-1)


def _offset(state: State) -> Array:
    """Return the vector from the TCP to the cube's centre, (n, 3), m, base frame."""
    return state.poses["cube"][:, :3] - state.tcp[:, :3]


def _height(state: State) -> Array:
    """Return the height of the cube's underside above the table top, (n,), m, as if it lay flat."""
    return state.poses["cube"][:, 2] - state.half_sizes["cube"][:, 2] - state.table


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 20).

    TCP above the table (3), its x and z axes (6), opening fraction, cube - TCP (3), yaw (2), cube above the table (3),
    half size, height of the underside. Lengths in m, base frame.
    """
    xp = array_namespace(state.q)
    ground = xp.stack([xp.zeros_like(state.table), xp.zeros_like(state.table), state.table], axis=-1)
    hand = to_matrix(state.tcp[:, 3:])
    return xp.concat(
        [
            state.tcp[:, :3] - ground,
            hand[:, :, 0],
            hand[:, :, 2],
            state.opening[:, None] / OPENING_MAX,
            _offset(state),
            _yaw_features(state),
            state.poses["cube"][:, :3] - ground,
            state.half_sizes["cube"][:, 2:],
            _height(state)[:, None],
        ],
        axis=-1,
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    distance = xp.sqrt(xp.sum(_offset(state) ** 2, axis=-1))
    near = xp.exp(-((distance / 0.02) ** 2))
    spare = state.opening - 2 * state.half_sizes["cube"][:, 0]
    unit = xp.asarray([POSITION_LIMIT] * 3 + [ROTATION_LIMIT] * 3 + [1.0], device=device(action))
    effort = xp.sum((action[:, :6] / unit[:6]) ** 2, axis=-1)
    change = xp.sum(((action - previous) / unit) ** 2, axis=-1)
    return {
        "reach": 1 - xp.tanh(5 * distance),
        "reach_fine": near,
        "align": near * (0.5 + 0.5 * _yaw_features(state)[:, 0]),
        "close": near * xp.clip(1 - spare / 0.04, 0.0, 1.0),
        "grasp": near * xp.clip(state.contact / 20.0, 0.0, 1.0) * xp.astype(xp.abs(spare) < 0.006, near.dtype),
        "lift": xp.clip(_height(state) / 0.08, 0.0, 1.0),
        "success": xp.astype(success(state), state.q.dtype),
        "upright": xp.clip(-to_matrix(state.tcp[:, 3:])[:, 2, 2], 0.0, 1.0),
        "calm": xp.exp(-effort),
        "smooth": xp.exp(-change),
    }


def success(state: State) -> Array:
    """Return whether the cube is held clear of the table, (n,)."""
    return _height(state) > LIFTED


TASK = Task(
    id="lift_cube-v1",
    summary="pick up a cube and hold it in the air",
    scene=SCENE,
    presets={"none": (), "physical": PHYSICAL, "train": PHYSICAL + VISUAL, "held_out": PHYSICAL + VISUAL + HELD_OUT},
    horizon=60,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={
        "reach": 1.0,
        "reach_fine": 0.5,
        "align": 0.5,
        "close": 0.5,
        "grasp": 1.0,
        "lift": 4.0,
        "success": 3.0,
        "upright": 1.0,
        "calm": 0.25,
        "smooth": 0.25,
    },
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

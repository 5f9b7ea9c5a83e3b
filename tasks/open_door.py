"""open_door-v1: open the door of a small cabinet by its handle.

Goal: turn the door about its hinge, towards the robot.
Start: arm near its home posture; a cabinet 15 cm high on the table, its closed door towards the robot; up to three
    objects around it.
Randomized: the laws of tasks/laws.py; the cabinet's place and turn, the hinge's damping and dry friction.
Held out: the sentences marked so; purple and the other looks that tasks/semantics.py names for the objects around.
Success: the hinge has turned by more than 0.3 rad.
"""

from __future__ import annotations

from collections.abc import Mapping

from array_api_compat import array_namespace

from sim.fixtures import Articulation, Fixture, Part
from sim.rotations import to_matrix
from sim.scene import Scene, Value
from sim.state import Array, State
from tasks import parts
from tasks.laws import CAMERAS, OTHERS, START_CLEARANCE, presets, slots
from tasks.layout import Dice, Layout, Place
from tasks.randomization import knobs
from tasks.semantics import Semantics
from tasks.task import Task, Terms, Twin

OPEN = 0.3
HINGE_X, HINGE_Y = 0.0, 0.125
BAR_X, BAR_Y, BAR_Z = -0.055, -0.075, 0.125
BAR_RADIUS = 0.008
WOOD, METAL = (0.62, 0.47, 0.32), (0.75, 0.75, 0.78)
DOOR = Fixture(
    "door",
    parts=(
        Part("body", (0.045, 0.14, 0.065), (0.06, 0.0, 0.065), color=WOOD),
        Part("left_post", (0.012, 0.008, 0.065), (0.0, 0.134, 0.065), color=WOOD),
        Part("right_post", (0.012, 0.008, 0.065), (0.0, -0.134, 0.065), color=WOOD),
        Part("leaf", (0.008, 0.122, 0.06), (0.0, 0.0, 0.066), moves=True),
        Part("arm", (0.022, 0.006, 0.006), (-0.03, BAR_Y, 0.07), moves=True, color=METAL),
        Part("bar", (BAR_RADIUS, BAR_RADIUS, 0.045), (BAR_X, BAR_Y, 0.108), shape="cylinder", moves=True, color=METAL),
    ),
    position=(0.62, 0.0),
    color="blue",
    joint=Articulation(
        "hinge",
        axis=(0.0, 0.0, -1.0),
        position=(HINGE_X, HINGE_Y, 0.0),
        limits=(0.0, 1.6),
        mass=0.6,
        damping=0.1,
        resistance=0.1,
    ),
)


def handle_in_door(angle: Array) -> Array:
    """Return where the bar is grasped in the cabinet's frame, (..., 3), with the door turned by `angle` (...), rad."""
    xp = array_namespace(angle)
    c, s = xp.cos(angle), -xp.sin(angle)
    dx, dy = BAR_X - HINGE_X, BAR_Y - HINGE_Y
    return xp.stack([HINGE_X + c * dx - s * dy, HINGE_Y + s * dx + c * dy, BAR_Z + 0 * angle], axis=-1)


def handle(state: State) -> Array:
    """Return where the handle's bar is grasped, (n, 3), base frame."""
    xp = array_namespace(state.q)
    pose, local = state.fixtures["door"], handle_in_door(state.joints["door"])
    return pose[:, :3] + xp.sum(to_matrix(pose[:, 3:]) * local[:, None, :], axis=-1)


def success(state: State) -> Array:
    """Return whether the door is open, (n,)."""
    return state.joints["door"] > OPEN


def _gap(state: State) -> Array:
    """Return how much wider the fingers are open than the bar is thick, (n,), m."""
    return state.opening - 2 * BAR_RADIUS


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 23): hand, handle, the way the cabinet faces, the door's angle."""
    xp = array_namespace(state.q)
    turn = to_matrix(state.fixtures["door"][:, 3:])
    angle = state.joints["door"][:, None]
    return parts.concat(
        parts.hand_features(state),
        handle(state) - state.tcp[:, :3],
        handle(state) - parts.ground(state),
        turn[:, :2, 0],
        angle,
        xp.clip(angle / OPEN, 0.0, 1.0),
        _gap(state)[:, None],
        xp.clip(state.contact[:, None] / 20.0, 0.0, 2.0),
        parts.flag(success(state), state.q)[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    distance = parts.length(handle(state) - state.tcp[:, :3])
    near = xp.exp(-((distance / 0.025) ** 2))
    done = parts.flag(success(state), state.q)
    hold = near * xp.clip(1 - _gap(state) / 0.05, 0.0, 1.0)
    return {
        "reach": xp.maximum(1 - xp.tanh(5 * distance), done),
        "reach_fine": xp.maximum(near, done),
        "close": xp.maximum(hold, done),
        "open": xp.clip(state.joints["door"] / (OPEN + 0.1), 0.0, 1.0),
        "success": done,
        **parts.motion_terms(state, action, previous),
    }


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place]) -> dict[str, Value]:
    """Draw the cabinet's place and turn, and keep free what the door sweeps."""
    x, y = place = dice.inside(((0.58, -0.1), (0.66, 0.1)))
    layout.take((x - 0.06, y - 0.08), radius=0.22, to=(x - 0.06, y + 0.08))
    return {"door.position": place, "door.yaw": dice.uniform(-0.35, 0.35)}


SEMANTICS = Semantics(
    roles=(),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=((0.34, -0.25), (0.72, 0.25)),
    arrange=arrange,
    templates={
        "open": "open the door",
        "pull": "pull the door open",
        "handle": "open the cabinet by its handle",
        "grip": "take the handle and open the door",
        "held_out_swing": "swing the cabinet open",
        "held_out_let": "get the door of the box open",
    },
    in_hosts={},
)

TASK = Task(
    id="open_door-v1",
    summary="open the door of a small cabinet by its handle",
    scene=Scene(objects=slots(), cameras=CAMERAS, table_shape="plane", fixtures=(DOOR,)),
    presets=presets(
        fixtures=("door",),
        extra=knobs("door.damping *U(0.4, 2.5)", "door.resistance *U(0.2, 2)"),
        looks=knobs("door.color =choice(red, green, blue, yellow, orange)"),
    ),
    horizon=60,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={"reach": 1.0, "reach_fine": 1.0, "close": 1.0, "open": 4.0, "success": 3.0, **parts.MOTION_WEIGHTS},
    success=success,
    templates=SEMANTICS.templates,
    target="door",
    twins=(
        Twin(
            "robosuite",
            "Door",
            "Door is 58 cm high, at the robot's right, hinged on the other side, with a horizontal handle and no latch",
        ),
    ),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

"""open_door-v1: open a door by its handle.

Goal: turn the door about its hinge, towards the robot.
Start: arm near its home posture; one of four closed doors: a cabinet 15 cm high in front of the robot, with a handle
    that stands, or one 59 cm high at its right or left, with a handle that lies; up to three objects around it.
Randomized: the laws of tasks/laws.py; which door, its place and turn, the hinge's damping and dry friction.
Held out: the sentences marked so; purple and the other looks that tasks/semantics.py names for the objects around.
Success: the hinge has turned by more than 0.3 rad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.scene import Camera, Scene, Value
from sim.state import Array, State
from tasks import doors, parts
from tasks.doors import DOORS, Door
from tasks.laws import OTHERS, START_CLEARANCE, presets, slots
from tasks.layout import Dice, Layout, Place
from tasks.randomization import knobs
from tasks.semantics import Semantics
from tasks.task import Task, Terms, Twin

OPEN = 0.3
CAMERAS = (
    ("near", Camera(position=(1.3, 0.0, 0.8), target=(0.46, 0.0, 0.18), fovy=50.0)),
    ("high", Camera(position=(1.1, 0.0, 0.95), target=(0.48, 0.0, 0.15), fovy=53.13)),
)
"""Views that show the handles at both sides: those of the other tasks, drawn back and raised."""

NAMES = tuple(door.fixture.name for door in DOORS)


def success(state: State) -> Array:
    """Return whether the door is open, (n,)."""
    return _open(doors.view(state))


def _open(door: doors.View) -> Array:
    """Return whether the door is open, (n,)."""
    return door.angle > OPEN


def _gap(state: State, door: doors.View) -> Array:
    """Return how much wider the fingers are open than what they close around, (n,), m."""
    return state.opening - door.thickness


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 29): hand, handle, how the door stands, its kind, its angle."""
    xp = array_namespace(state.q)
    door = doors.view(state)
    ahead, way = doors.inward(door), doors.place(door) - state.tcp[:, :3]
    turn = doors.heading(door) - parts.heading(to_matrix(state.tcp[:, 3:]))
    return parts.concat(
        parts.hand_features(state),
        way,
        xp.sum(way * ahead, axis=-1)[:, None],
        (way[:, 1] * ahead[:, 0] - way[:, 0] * ahead[:, 1])[:, None],
        doors.at(door, door.bar) - parts.ground(state),
        ahead[:, :2],
        xp.stack([xp.cos(turn), xp.sin(turn), door.side, door.lies, door.angle], axis=-1),
        xp.clip(door.angle / OPEN, 0.0, 1.0)[:, None],
        _gap(state, door)[:, None],
        xp.clip(state.contact[:, None] / 20.0, 0.0, 2.0),
        parts.flag(_open(door), state.q)[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    door = doors.view(state)
    distance = parts.length(doors.place(door) - state.tcp[:, :3])
    near = xp.exp(-((distance / 0.025) ** 2))
    done = parts.flag(_open(door), state.q)
    hold = near * xp.clip(1 - _gap(state, door) / 0.05, 0.0, 1.0)
    return {
        "reach": xp.maximum(1 - xp.tanh(5 * distance), done),
        "reach_fine": xp.maximum(near, done),
        "close": xp.maximum(hold, done),
        "open": xp.clip(door.angle / (OPEN + 0.1), 0.0, 1.0),
        "success": done,
        **parts.motion_terms(state, action, previous),
    }


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place]) -> dict[str, Value]:
    """Draw which door is there, its place and turn, and keep free what it sweeps."""
    door = dice.pick(DOORS)
    place, yaw = (_beside if door.lies else _ahead)(dice, layout, door)
    name = door.fixture.name
    there: dict[str, Value] = {f"{other}.present": float(other == name) for other in NAMES}
    return there | {f"{name}.position": place, f"{name}.yaw": yaw}


def _ahead(dice: Dice, layout: Layout, door: Door) -> tuple[Place, float]:
    """Put a low cabinet in front of the robot."""
    x, y = place = dice.inside(((0.58, -0.1), (0.66, 0.1)))
    layout.take((x - 0.06, y - 0.08), radius=0.22, to=(x - 0.06, y + 0.08))
    return place, dice.uniform(-0.35, 0.35)


def _beside(dice: Dice, layout: Layout, door: Door) -> tuple[Place, float]:
    """Put a tall door at the robot's side, the hinge towards the robot, so that the arm reaches its handle."""
    x, y = dice.inside(((0.4, 0.22), (0.56, 0.36)))
    y, yaw = door.side * y, door.side * dice.uniform(1.35, 1.95)
    c, s = math.cos(yaw), math.sin(yaw)
    place = (x - c * door.bar[0] + s * door.bar[1], y - s * door.bar[0] - c * door.bar[1])
    # What the free end of the leaf and the arm that leads it need.
    layout.take((x - 0.1, y), radius=0.2, to=(x + 0.1, y))
    return place, yaw


SEMANTICS = Semantics(
    roles=(),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=((0.34, -0.25), (0.72, 0.25)),
    arrange=arrange,
    templates={
        "open": "open the door",
        "pull": "pull the door open",
        "handle": "open the door by its handle",
        "grip": "take the handle and open the door",
        "held_out_swing": "swing the door open",
        "held_out_let": "get the door to stand open",
    },
    in_hosts={},
)

TASK = Task(
    id="open_door-v1",
    summary="open a low cabinet or a tall door by its handle",
    scene=Scene(
        objects=slots(),
        cameras=CAMERAS,
        table_shape="plane",
        fixtures=tuple(door.fixture for door in DOORS),
    ),
    presets=presets(
        fixtures=NAMES,
        extra=knobs(*(f"{name}.{law}" for name in NAMES for law in ("damping *U(0.4, 2.5)", "resistance *U(0.2, 2)"))),
        looks=knobs(*(f"{name}.color =choice(red, green, blue, yellow, orange)" for name in NAMES)),
    ),
    horizon=80,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={"reach": 1.0, "reach_fine": 1.0, "close": 1.0, "open": 4.0, "success": 3.0, **parts.MOTION_WEIGHTS},
    success=success,
    templates=SEMANTICS.templates,
    target="door",
    twins=(Twin("robosuite", "Door", "Door has one door, at the robot's right, that turns by 0.4 rad; no latch"),),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

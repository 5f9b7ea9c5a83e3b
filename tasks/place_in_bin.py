"""place_in_bin-v1: put the named object into the bin and let go.

Goal: the target lies inside the open bin by itself.
Start: arm near its home posture; target (a cube, a cylinder or a ball) and bin in a 26 x 44 cm field; up to three
    others.
Randomized: the laws of tasks/laws.py; the bin's place and turn; kinds, sizes, colours, places and sentence are drawn
    together (docs/tasks.md).
Held out: purple, green cylinders, yellow cubes, blue balls, sizes beyond HALF, and the sentences and nouns marked so.
Success: the target's centre is inside the bin's walls and its lowest point less than 2 cm above the table; it lies
    still (3 cm/s, 0.5 rad/s) and the hand touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from array_api_compat import array_namespace

from sim.fixtures import open_box
from sim.rotations import to_matrix
from sim.scene import Object, Scene, Value
from sim.state import Array, State
from tasks import parts
from tasks.carrying import WEIGHTS, carry_terms
from tasks.laws import CAMERAS, OTHERS, START_CLEARANCE, presets, slots
from tasks.layout import Dice, Layout, Place
from tasks.semantics import Role, Semantics
from tasks.task import Task, Terms, Twin

INSIDE, RIM, WALL = 0.065, 0.04, 0.006
BIN = open_box("bin", inside=(INSIDE, INSIDE), height=RIM, wall=WALL, position=(0.58, 0.14), color=(0.35, 0.4, 0.45))
TARGET = Object("target", "box", half_size=(0.02, 0.02, 0.02), position=(0.52, -0.1), mass=0.08)


def in_bin(state: State) -> Array:
    """Return the target's centre in the bin's frame, (n, 3)."""
    xp = array_namespace(state.q)
    turn = to_matrix(state.fixtures["bin"][:, 3:])
    return xp.sum(turn * (state.poses["target"][:, :3] - state.fixtures["bin"][:, :3])[:, :, None], axis=1)


def inside(state: State) -> Array:
    """Return whether the target is in the bin, held or not, (n,)."""
    xp = array_namespace(state.q)
    local = in_bin(state)
    low = local[:, 2] - xp.min(state.half_sizes["target"], axis=-1) < 0.02
    x, y = (INSIDE, INSIDE) if "bin" not in state.half_sizes else (state.half_sizes["bin"][:, k] for k in (0, 1))
    return (xp.abs(local[:, 0]) < x) & (xp.abs(local[:, 1]) < y) & low


def success(state: State) -> Array:
    """Return whether the target lies in the bin by itself, (n,)."""
    return inside(state) & parts.still(state, "target") & parts.released(state)


def goal(state: State) -> Array:
    """Return where the target's centre belongs, (n, 3), base frame: on the bin's floor, in the middle."""
    xp = array_namespace(state.q)
    floor = state.fixtures["bin"][:, 2:3] + WALL + state.half_sizes["target"][:, 2:]
    return xp.concat([state.fixtures["bin"][:, :2], floor], axis=-1)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 39): hand, target, its velocity, way to its place, bin."""
    xp = array_namespace(state.q)
    turn = to_matrix(state.fixtures["bin"][:, 3:])
    return parts.concat(
        parts.hand_features(state),
        parts.object_features(state, "target"),
        parts.speed_features(state, "target"),
        goal(state) - state.poses["target"][:, :3],
        in_bin(state),
        state.fixtures["bin"][:, :2] - state.tcp[:, :2],
        turn[:, :2, 0],
        parts.flag(inside(state), state.q)[:, None],
        xp.clip(state.contact[:, None] / 20.0, 0.0, 2.0),
        parts.spare(state, "target")[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    clear = xp.zeros_like(state.table) + RIM + 0.015
    return {
        **carry_terms(state, "target", goal=goal(state), clear=clear, placed=inside(state)),
        "success": parts.flag(success(state), state.q),
        **parts.motion_terms(state, action, previous),
    }


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place]) -> dict[str, Value]:
    """Draw the bin beside the target."""
    place = layout.best(dice, ((0.46, -0.18), (0.66, 0.18)), clear=0.1)
    layout.take(place, radius=0.1)
    return {"bin.position": place, "bin.yaw": dice.uniform(-0.785, 0.785)}


SEMANTICS = Semantics(
    roles=(Role("target", ("cube", "cube", "cylinder", "ball"), ((0.44, -0.22), (0.7, 0.22))),),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=((0.42, -0.22), (0.73, 0.22)),
    arrange=arrange,
    templates={
        "put": "put {target} into the bin",
        "place": "place {target} in the box",
        "drop": "drop {target} into the bin",
        "move": "pick up {target} and put it in the box",
        "held_out_throw": "throw {target} into the bin",
        "held_out_tidy": "tidy {target} away into the box",
    },
    in_hosts={"target": "the {color} ball"},
)

TASK = Task(
    id="place_in_bin-v1",
    summary="put the named object into the bin and let go",
    scene=Scene(objects=slots(TARGET), cameras=CAMERAS, table_shape="plane", fixtures=(BIN,)),
    presets=presets("target", fixtures=("bin",)),
    horizon=100,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights=WEIGHTS,
    success=success,
    templates=SEMANTICS.templates,
    target="target",
    twins=(
        Twin("maniskill", "PlaceSphere-v1", "PlaceSphere has one ball and a bin that just holds it, 4 cm wide"),
        Twin("robosuite", "PickPlaceCan", "PickPlaceCan has a can and a compartment behind a wall, 70 cm away"),
    ),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

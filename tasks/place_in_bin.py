"""place_in_bin-v1: put the named object into the bin and let go.

Goal: the target lies inside the open bin by itself.
Start: arm near its home posture; target (a cube, a ball, or a cylinder up to 12 cm high) in a 30 x 54 cm field; bin in
    front of the robot or to its left, its nearest place at most 78 cm from the base; up to three others.
Randomized: the laws of tasks/laws.py; the bin's place, turn, inside (9 to 24 cm) and height (2 to 9 cm); kinds, sizes,
    colours, places and sentence are drawn together (docs/tasks.md). So is the camera's view: "wide" shows all of it.
Held out: purple, green cylinders, yellow cubes, blue balls, sizes beyond HALF, and the sentences and nouns marked so.
Success: the target's centre is inside the bin's walls and its lowest point less than 2 cm above the bin's underside; it
    lies still (3 cm/s, what is not round 0.5 rad/s) and the hand touches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from array_api_compat import array_namespace

from sim.fixtures import open_box
from sim.scene import Camera, Object, Scene, Value
from sim.state import Array, State
from tasks import bins, parts
from tasks.carrying import WEIGHTS, carry_terms
from tasks.laws import CAMERAS, OTHERS, presets, slots
from tasks.layout import TRIES, Dice, Layout, Place
from tasks.randomization import knobs
from tasks.semantics import Role, Semantics
from tasks.task import Task, Terms, Twin

WIDE = Camera(position=(1.5, 0.1, 0.93), target=(0.57, 0.1, 0.0), fovy=45.0)
"""Where robosuite's bins arena has its agentview."""

BIN = open_box(
    "bin", inside=(0.075, 0.075), height=0.05, wall=bins.WALL, position=(0.58, 0.14), color=(0.35, 0.4, 0.45)
)
TARGET = Object("target", "box", half_size=(0.02, 0.02, 0.02), position=(0.52, -0.1), mass=0.08)


def success(state: State) -> Array:
    """Return whether the target lies in the bin by itself, (n,)."""
    return bins.inside(state) & bins.at_rest(state) & parts.released(state)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 39): hand, target, its velocity and axis, grasp, way to the goal."""
    xp = array_namespace(state.q)
    return parts.concat(
        parts.hand_features(state),
        parts.object_features(state, "target"),
        parts.speed_features(state, "target"),
        bins.axis(state),
        (bins.grip(state) - state.tcp[:, :3])[:, 2:],
        bins.goal(state) - state.poses["target"][:, :3],
        (bins.goal(state) - parts.ground(state))[:, :2],
        bins.clear(state)[:, None],
        parts.flag(bins.inside(state), state.q)[:, None],
        xp.clip(state.contact[:, None] / 20.0, 0.0, 2.0),
        parts.spare(state, "target")[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    carried = carry_terms(
        state,
        "target",
        goal=bins.goal(state),
        clear=bins.clear(state),
        placed=bins.inside(state),
        grip=bins.grip(state),
    )
    return {
        **carried,
        "success": parts.flag(success(state), state.q),
        **parts.motion_terms(state, action, previous),
    }


FRONT, FIELD = ((0.46, -0.18), (0.68, 0.18)), ((0.42, -0.22), (0.8, 0.56))
"""Where the bin stands: before the robot, in half of the scenes that the nearer views show, or anywhere in FIELD."""


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place]) -> dict[str, Value]:
    """Draw the bin's size, turn and place, clear of the target and within reach, and a view that shows both."""
    front = abs(places["target"][1]) < 0.2 and dice.uniform() < 0.5
    most = 0.075 if front else 0.12
    size = (dice.uniform(0.045, most), dice.uniform(0.045, most), dice.uniform(0.01, 0.045))
    yaw, radius = dice.uniform(-0.785, 0.785), math.hypot(*size[:2]) + bins.WALL
    # Over a high rim the palm needs room beside the bin.
    beside = radius + (0.05 if size[2] > 0.018 else 0.0)
    facing, room = np.array([[math.cos(yaw), math.sin(yaw)]]), np.clip([size[:2]], 0.05, None) - 0.05

    def margin(place: Place) -> float:
        filled = bins.spot(np.array([place]), facing, room)[0]
        return min(layout.gap(place) - beside, bins.REACH - math.hypot(*filled))

    tried = [dice.inside(FRONT if front else FIELD) for _ in range(TRIES)]
    place = next((p for p in tried if margin(p) >= 0), None) or max(tried, key=margin)
    layout.take(place, radius=radius)
    view = dice.pick(("near", "high", "wide")) if front else "wide"
    return {"bin.position": place, "bin.yaw": yaw, "bin.size": size, "camera.view": view}


SEMANTICS = Semantics(
    roles=(
        Role("target", ("cube", "cylinder", "cylinder", "ball"), ((0.42, -0.32), (0.72, 0.22)), heights=(0.9, 2.1)),
    ),
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

PRESETS = presets(
    "target",
    fixtures=("bin",),
    extra=knobs("target.mass *U(0.15, 2.5)"),
    looks=knobs("table.extent =U([-0.25, 0.68], [0.2, 1.2])"),
)
"""A can may weigh 12 g, and the table must be wide enough for the bin."""

TASK = Task(
    id="place_in_bin-v1",
    summary="put the named object into the bin and let go",
    scene=Scene(objects=slots(TARGET), cameras=(*CAMERAS, ("wide", WIDE)), table_shape="plane", fixtures=(BIN,)),
    # The view is drawn with the scene.
    presets={name: tuple(law for law in laws if law.path != "camera.view") for name, laws in PRESETS.items()},
    horizon=180,
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
    clearance=0.13,
)

"""peg_upright-v1: stand the named peg, which lies on the table, upright on one of its ends.

Goal: the peg's long axis is vertical and it stands on the table; the hand may still hold it.
Start: arm near its home posture; the peg anywhere in a 29 x 32 cm field, any yaw; up to three other objects, none of
them between a far peg and the place nearer to the robot where it can be set up.
Randomized: the laws of tasks/laws.py; sizes, colours, places and the sentence are drawn together (docs/tasks.md).
Held out: purple, green pegs, sizes beyond HALF, and the sentences and nouns marked so.
Success: the long axis is within 0.08 rad of the vertical, and the centre within 5 mm of half a length above the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from array_api_compat import array_namespace

from sim.rotations import to_matrix
from sim.scene import Object, Scene, Value
from sim.state import Array, State
from tasks import parts, pegs
from tasks.laws import CAMERAS, OTHERS, START_CLEARANCE, presets, slots
from tasks.layout import Dice, Layout, Place
from tasks.semantics import Role, Semantics
from tasks.task import Task, Terms, Twin
from tasks.things import HeldOut

TILT = 0.08
PEG = Object("target", "box", half_size=(0.094, 0.018, 0.018), position=(0.58, 0.0), mass=0.3, shapes=("box",))


def rise(state: State) -> Array:
    """Return the height of the peg's centre above the table as a share of half its length, (n,)."""
    return (state.poses["target"][:, 2] - state.table) / state.half_sizes["target"][:, 0]


def success(state: State) -> Array:
    """Return whether the peg stands, (n,)."""
    xp = array_namespace(state.q)
    off = xp.abs(rise(state) - 1) * state.half_sizes["target"][:, 0]
    return (xp.abs(pegs.axis(state)[:, 2]) > math.cos(TILT)) & (off < 0.005)


def along(state: State) -> Array:
    """Return the peg's axis in the hand's frame, (n, 3): (1, 0, 0) where the fingers can close across the peg."""
    xp = array_namespace(state.q)
    return xp.sum(to_matrix(state.tcp[:, 3:]) * pegs.axis(state)[:, :, None], axis=1)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 42): hand, peg, its axis in both frames, ways to grasp and to erect it."""
    xp = array_namespace(state.q)
    return parts.concat(
        parts.hand_features(state),
        parts.offset(state, "target"),
        state.poses["target"][:, :3] - parts.ground(state),
        state.half_sizes["target"],
        pegs.axis(state),
        along(state),
        pegs.local(state),
        pegs.across(state),
        pegs.erect(state),
        pegs.inward(state),
        rise(state)[:, None],
        pegs.lowest(state)[:, None],
        parts.spare(state, "target")[:, None],
        xp.clip(state.contact[:, None] / 20.0, 0.0, 2.0),
        parts.flag(pegs.held(state), state.q)[:, None],
        parts.flag(success(state), state.q)[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    xp = array_namespace(state.q)
    # Once the peg stands, the hand may let go: nothing that leads to a grasp is missed then.
    stands = parts.flag(success(state), state.q)
    grasp = {name: xp.maximum(term, stands) for name, term in parts.grasp_terms(state, "target").items()}
    lengthwise = xp.maximum(along(state)[:, 0] ** 2, stands)
    steep = xp.abs(pegs.axis(state)[:, 2])
    off = (rise(state) - 1) * state.half_sizes["target"][:, 0]
    motion = parts.motion_terms(state, action, previous)
    return {
        **grasp,
        "align": grasp["reach_fine"] * lengthwise,
        "grasp": grasp["grasp"] * lengthwise,
        "rise": xp.clip(rise(state), 0.0, 1.0) * grasp["reach_fine"],
        "steep": steep,
        "stand": steep**4 * xp.exp(-((off / 0.02) ** 2)),
        "success": stands,
        "calm": motion["calm"],
        "smooth": motion["smooth"],
    }


def arrange(dice: Dice, layout: Layout, places: Mapping[str, Place]) -> dict[str, Value]:
    """Keep the way free from the peg to where the arm can set it up; nothing is drawn."""
    x, y = places["target"]
    share = min(1.0, pegs.NEAR / math.hypot(x, y))
    layout.take((x, y), radius=0.06, to=(share * x, share * y))
    return {}


SEMANTICS = Semantics(
    roles=(Role("target", ("peg",), ((0.45, -0.16), (0.74, 0.16)), radius=0.06),),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball", "peg"),
    around=((0.4, -0.24), (0.74, 0.24)),
    arrange=arrange,
    peg_thickness=(0.75, 1.05),
    held_out=HeldOut(pairs=(("green", "cylinder"), ("yellow", "cube"), ("blue", "ball"), ("green", "peg"))),
    templates={
        "stand": "stand {target} upright",
        "raise": "raise {target} until it stands on its end",
        "set": "set {target} up on the table",
        "turn": "pick up {target} and stand it on end",
        "held_out_erect": "put {target} on its end",
        "held_out_tip": "tip {target} up so that it stands",
    },
    in_hosts={"target": "the peg"},
)

TASK = Task(
    id="peg_upright-v1",
    summary="stand the named peg upright on one of its ends",
    scene=Scene(objects=slots(PEG), cameras=CAMERAS, table_shape="plane"),
    presets=presets("target"),
    horizon=130,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights={
        **parts.GRASP_WEIGHTS,
        "rise": 2.0,
        "steep": 3.0,
        "stand": 3.0,
        "success": 4.0,
        "calm": 0.25,
        "smooth": 0.25,
    },
    success=success,
    templates=SEMANTICS.templates,
    target="target",
    twins=(
        Twin("maniskill", "LiftPegUpright-v1", "LiftPegUpright has one peg of two colours, 24 cm long and 5 cm thick"),
    ),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

"""stack_cube-v1: put the named object onto the other one that the sentence names, and let go.

Goal: the target stands on the base by itself.
Start: arm near its home posture; target (a cube or a cylinder) and base (a cube) in a 24 x 36 cm field, up to
    two others.
Randomized: the laws of tasks/laws.py; kinds, sizes, colours, places and sentence are drawn together (docs/tasks.md).
Held out: purple, green cylinders, yellow cubes, sizes beyond HALF, and the sentences and nouns marked so.
Success: the target's centre is within 5 mm of where it stands on the base in height, and within the base's half extent
    in the plane; it lies still (3 cm/s, 0.5 rad/s) and the hand touches nothing.
"""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.scene import Object, Scene
from sim.state import Array, State
from tasks import parts
from tasks.carrying import WEIGHTS, carry_terms
from tasks.laws import CAMERAS, START_CLEARANCE, presets, slots
from tasks.semantics import Role, Semantics
from tasks.task import Task, Terms, Twin

HALF = (0.02, 0.02, 0.02)
FIELD = ((0.45, -0.18), (0.69, 0.18))
OTHERS = ("other1", "other2")


def place(state: State) -> Array:
    """Return where the target's centre belongs, (n, 3), base frame."""
    xp = array_namespace(state.q)
    top = state.half_sizes["base"][:, 2:] + state.half_sizes["target"][:, 2:]
    base = state.poses["base"]
    return xp.concat([base[:, :2], base[:, 2:3] + top], axis=-1)


def stacked(state: State) -> Array:
    """Return whether the target is on the base, held or not, (n,)."""
    xp = array_namespace(state.q)
    way = place(state) - state.poses["target"][:, :3]
    return (parts.length(way[:, :2]) < state.half_sizes["base"][:, 0]) & (xp.abs(way[:, 2]) < 0.005)


def success(state: State) -> Array:
    """Return whether the target stands on the base by itself, (n,)."""
    return stacked(state) & parts.still(state, "target") & parts.released(state)


def privileged(state: State) -> Array:
    """Return the privileged observation (n, 41): hand, target, its velocity, way to its place, base."""
    xp = array_namespace(state.q)
    return parts.concat(
        parts.hand_features(state),
        parts.object_features(state, "target"),
        parts.speed_features(state, "target"),
        place(state) - state.poses["target"][:, :3],
        state.poses["base"][:, :3] - state.tcp[:, :3],
        state.half_sizes["base"],
        parts.yaw_features(state, "base"),
        parts.boxy(state, "base")[:, None],
        parts.flag(stacked(state), state.q)[:, None],
        xp.clip(state.contact[:, None] / 20.0, 0.0, 2.0),
        parts.spare(state, "target")[:, None],
    )


def terms(state: State, action: Array, previous: Array) -> Terms:
    """Return the reward terms, each in [0, 1], (n,)."""
    clear = 2 * state.half_sizes["base"][:, 2] + 0.01
    return {
        **carry_terms(state, "target", goal=place(state), clear=clear, placed=stacked(state)),
        "success": parts.flag(success(state), state.q),
        **parts.motion_terms(state, action, previous),
    }


SEMANTICS = Semantics(
    roles=(
        Role("target", ("cube", "cube", "cylinder"), FIELD),
        Role("base", ("cube",), FIELD, sizes=("medium", "large")),
    ),
    others=OTHERS,
    other_kinds=("cube", "cylinder", "ball"),
    around=((0.42, -0.22), (0.73, 0.22)),
    counts=(0, 0, 1, 1, 2),
    templates={
        "stack": "stack {target} on {base}",
        "put": "put {target} on top of {base}",
        "place": "place {target} onto {base}",
        "set": "pick up {target} and set it down on {base}",
        "held_out_pile": "pile {target} onto {base}",
        "held_out_balance": "let {target} stand on {base}",
    },
    in_hosts={"target": "the red cube", "base": "the green cube"},
)

TASK = Task(
    id="stack_cube-v1",
    summary="put the named object onto the other one that the sentence names, and let go",
    scene=Scene(
        objects=slots(
            Object("target", "box", HALF, position=(0.55, -0.1), mass=0.08),
            Object("base", "box", HALF, position=(0.55, 0.1), mass=0.08, color="green"),
            others=OTHERS,
        ),
        cameras=CAMERAS,
        table_shape="plane",
    ),
    presets=presets("target", "base", others=OTHERS),
    horizon=100,
    hold=5,
    privileged=privileged,
    terms=terms,
    weights=WEIGHTS,
    success=success,
    templates=SEMANTICS.templates,
    target="target",
    twins=(
        Twin("maniskill", "StackCube-v1", "StackCube has two cubes and asks for no grasp rather than for no touch"),
        Twin("robosuite", "Stack", "Stack has two cubes and counts any contact between them above the table"),
    ),
    semantics=SEMANTICS,
    clearance=START_CLEARANCE,
)

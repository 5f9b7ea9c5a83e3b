"""The twins of our tasks in robosuite: Lift, Stack, PickPlaceCan and Door."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.hosts.changes import SURROUNDINGS, TEXTURED, body_knobs
from bench.hosts.robosuite_design import Design, Fixed, Item, Vector
from bench.hosts.robosuite_world import ADAPTERS, RobosuiteWorld
from bench.hosts.views import View
from sim.rotations import from_axis_angle

TABLE = 0.8
"""Height of the table top of robosuite's table arena, m."""

TABLE_FRAME = "base_frame: world minus the base at (-0.56, 0, 0.912); table top at -0.112 m"
AGENTVIEW = ("rows_top_first: OpenGL rows flipped", "camera: agentview")


class RobosuiteLift(RobosuiteWorld):
    """`Lift`: one red cube."""

    design = Design("Lift", {"target": Item(lambda env: env.cube, "cube", "red")}, table=TABLE)
    adapters = (*ADAPTERS, TABLE_FRAME, *AGENTVIEW)
    knobs = TEXTURED | body_knobs("target")


class RobosuiteStack(RobosuiteWorld):
    """`Stack`: a red cube, and a larger green one."""

    design = Design(
        "Stack",
        {"target": Item(lambda env: env.cubeA, "cube", "red"), "base": Item(lambda env: env.cubeB, "cube", "green")},
        table=TABLE,
    )
    adapters = (*ADAPTERS, TABLE_FRAME, *AGENTVIEW)
    knobs = TEXTURED | body_knobs("target") | body_knobs("base")


CAN, FLOOR = 3, 0.82
"""Number of the can among the goods of PickPlace; height of the bins' floors in robosuite's world, m."""

COMPARTMENT, INSIDE = (0.1, 0.125), (0.09, 0.115)
"""Middle of the can's compartment, from that of its bin, and half of its inside, m (bins_arena.xml)."""


def _compartment(env: Any, base: Vector) -> Fixed:
    """Return the can's compartment as the task's bin, with its frame on the floor.

    Our own bin's floor is 6 mm thick. A can stands taller than it is wide and would seem to float by those.
    """
    x, y = env.bin2_pos[:2] + COMPARTMENT - base[:2]
    pose = np.array([x, y, FLOOR - base[2], 1.0, 0.0, 0.0, 0.0])
    return Fixed({"bin": pose}, half_sizes={"bin": np.array([*INSIDE, 0.04])})


class RobosuitePickPlaceCan(RobosuiteWorld):
    """`PickPlaceCan`: a red can in one bin, and four compartments beside it."""

    design = Design(
        "PickPlaceCan",
        {"target": Item(lambda env: env.objects[CAN], "cylinder", "red")},
        table=FLOOR,
        fixed=_compartment,
        tables=("bin1",),
        around=((0.46, -0.33), (0.74, 0.03)),
    )
    adapters = (
        *ADAPTERS,
        "base_frame: world minus the base at (-0.5, -0.1, 0.912); the bins' floor, which is the table, at -0.092 m",
        "rows_top_first: OpenGL rows flipped",
        "camera: agentview of the bins arena, 1.5 m before the base and 0.84 m above it",
        "bin: the compartment of the can, 18 x 23 cm",
    )
    knobs = SURROUNDINGS | body_knobs("target", rigid=True)


DOOR = "tall_right_door"
"""The door of our task that has the measures of robosuite's."""

MIDDLE = np.array([0.3, 0.0, -0.3])
"""Foot of the leaf's middle in the frame of the door's frame, m: x from post to post, z up (door.xml)."""


def _door(env: Any, base: Vector) -> Fixed:
    """Return the door as our fixture of the same measures: its frame and its hinge's angle."""
    data = env.sim.data
    frame = env.object_body_ids["frame"]
    rotation = data.body_xmat[frame].reshape(3, 3)
    place = data.body_xpos[frame] + rotation @ MIDDLE - base
    # Its x runs from the free end to the hinge, ours into the cabinet with the free end at the left.
    yaw = float(np.arctan2(rotation[1, 1], rotation[0, 1]))
    quaternion = np.asarray(from_axis_angle(np.array([0.0, 0.0, yaw])))
    angle = float(data.qpos[env.hinge_qpos_addr])
    return Fixed({DOOR: np.concatenate([place, quaternion])}, joints={DOOR: angle})


class RobosuiteDoor(RobosuiteWorld):
    """`Door` without its latch: a door with a horizontal handle at the robot's right."""

    design = Design(
        "Door",
        {},
        table=TABLE,
        view=View((1.3, 0.0, 0.688), (0.46, 0.0, 0.068), 50.0),
        options={"use_latch": False},
        fixed=_door,
        door=lambda env: env.door,
    )
    adapters = (
        *ADAPTERS,
        TABLE_FRAME,
        "rows_top_first: OpenGL rows flipped",
        "camera: agentview where our task has its own: the host's hardly shows the handle",
        "use_latch: False, the version of Door without a lever to press",
        "door: the fixture tall_right_door, whose frame lies under the middle of the host's leaf",
    )
    knobs = (TEXTURED - {"others.count"}) | {"door.position"}

"""The twins of our tasks in ManiSkill: PickCube, PushCube, PullCube, StackCube, PlaceSphere and LiftPegUpright."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.hosts.changes import TEXTURED, body_knobs
from bench.hosts.maniskill_design import BASE_VIEW, Design, Fixed, Halves, Item, Vector, raw
from bench.hosts.maniskill_world import ADAPTERS, ManiskillWorld
from bench.hosts.views import View
from tasks import bins

CENTRAL = "camera: base_camera with the field of view of its central half (53.13 instead of 90 degrees)"
MOVED = "camera: put where PickCube-v1 has its base_camera, with the field of view of its central half (53.13 degrees)"


def _goal_site(env: Any, base: Vector) -> Mapping[str, Any]:
    """Return the goal that ManiSkill drew, as seen from the base, m."""
    goal = raw(env.goal_site.pose.p) - base[:3]
    return {"goal.position": [float(x) for x in goal]}


def _set_cube(env: Any, halves: Halves) -> None:
    """Tell where the cube rests, and so how low it counts as lying on the table."""
    env.cube_half_size = float(halves["target"][2])


class ManiskillPickCube(ManiskillWorld):
    """`PickCube-v1`: one red cube and a goal in the air."""

    design = Design("PickCube-v1", {"target": Item("cube", "cube", "red")}, extras=_goal_site, rule=_set_cube)
    adapters = (*ADAPTERS, CENTRAL, "goal_hidden: the goal marker is not drawn, as in ManiSkill's own observations")
    knobs = TEXTURED | body_knobs("target")


def _region(env: Any, base: Vector) -> Mapping[str, Fixed]:
    """Return the round region as the task's goal; ManiSkill's disc lies turned, ours does not."""
    place = raw(env.goal_region.pose.p) - base[:3]
    return {"goal": Fixed(np.array([*place[:2], -base[2], 1.0, 0.0, 0.0, 0.0]))}


AHEAD = View((1.115, 0.0, 0.6), (0.715, 0.0, 0.1), BASE_VIEW.fovy)
"""The base camera's view, 20 cm farther from the robot: PushCube's region lies up to 97 cm ahead of the base."""


class ManiskillPushCube(ManiskillWorld):
    """`PushCube-v1`: one blue cube and a round region 20 cm ahead of it."""

    design = Design(
        "PushCube-v1", {"target": Item("obj", "cube", "blue")}, view=AHEAD, moved=True, fixed=_region, rule=_set_cube
    )
    adapters = (
        *ADAPTERS,
        "camera: base_camera moved 20 cm away from the robot, which else does not show the region, with 53.13 degrees",
        "goal: the region's centre, without its tilt",
    )
    knobs = TEXTURED | body_knobs("target")


class ManiskillPullCube(ManiskillWorld):
    """`PullCube-v1`: one blue cube and a round region 20 cm nearer to the robot."""

    design = Design(
        "PullCube-v1",
        {"target": Item("obj", "cube", "blue")},
        moved=True,
        fixed=_region,
        rule=_set_cube,
        around=((0.36, -0.22), (0.7, 0.22)),
    )
    adapters = (*ADAPTERS, MOVED, "goal: the region's centre, without its tilt")
    knobs = TEXTURED | body_knobs("target")


def _set_stack(env: Any, halves: Halves) -> None:
    """Tell how far off centre the upper cube may be, by the lower one, and how far above it is, by both."""
    import torch

    x, y, z = halves["base"]
    mean = (float(halves["target"][2]) + float(z)) / 2
    env.cube_half_size = torch.tensor([float(x), float(y), mean])


class ManiskillStackCube(ManiskillWorld):
    """`StackCube-v1`: a red cube and a green one."""

    design = Design(
        "StackCube-v1",
        {"target": Item("cubeA", "cube", "red"), "base": Item("cubeB", "cube", "green")},
        rule=_set_stack,
    )
    adapters = (*ADAPTERS, CENTRAL, "robot: panda instead of panda_wristcam, whose hand is turned by 90 degrees")
    knobs = TEXTURED | body_knobs("target") | body_knobs("base")


def _shallow_bin(env: Any, base: Vector) -> Mapping[str, Fixed]:
    """Return the bin, with its frame as far below its floor as our own bin's is."""
    floor = float(env.block_half_size[0])
    place = raw(env.bin.pose.p) - base[:3] + [0.0, 0.0, floor - bins.WALL]
    inside = float(env.inner_side_half_len)
    return {"bin": Fixed(np.array([*place, 1.0, 0.0, 0.0, 0.0]), np.array([inside, inside, 2 * floor]))}


def _set_sphere(env: Any, halves: Halves) -> None:
    env.radius = float(halves["target"][2])


class ManiskillPlaceSphere(ManiskillWorld):
    """`PlaceSphere-v1`: one blue ball and a shallow bin that just holds it."""

    design = Design(
        "PlaceSphere-v1",
        {"target": Item("obj", "ball", "blue")},
        moved=True,
        fixed=_shallow_bin,
        rule=_set_sphere,
    )
    adapters = (*ADAPTERS, MOVED, "bin: its frame as far below its floor as our bin's; its inside is 4 x 4 cm")
    knobs = TEXTURED | body_knobs("target")


class ManiskillLiftPegUpright(ManiskillWorld):
    """`LiftPegUpright-v1`: one peg, red on one half and blue on the other."""

    design = Design("LiftPegUpright-v1", {"target": Item("peg", "peg", "")})
    adapters = (*ADAPTERS, CENTRAL)
    knobs = TEXTURED | body_knobs("target", rigid=True)

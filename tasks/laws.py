"""Laws of randomness and scene parts that several tasks share: robot, table, looks, and one set per object slot."""

from __future__ import annotations

from collections.abc import Sequence

from sim.scene import Camera, Object
from tasks.randomization import Knob, knobs

CAMERAS = (
    ("near", Camera(position=(1.06, 0.0, 0.55), target=(0.5085, 0.0, 0.0), fovy=45.0)),
    ("high", Camera(position=(0.915, 0.0, 0.6), target=(0.515, 0.0, 0.1), fovy=53.13)),
)
"""Third-person views: where robosuite's and ManiSkill's own base cameras look from."""

ROBOT = knobs(
    "gripper.friction *U(0.6, 1.4)",
    "gripper.opening =U(0.3, 1)",
    "robot.q +U([-0.2, -0.15, -0.15, -0.2, -0.15, -0.2, -0.35], [0.2, 0.15, 0.15, 0.2, 0.15, 0.2, 0.35])",
    "robot.response *U(0.35, 1.1)",
    "robot.damping *U(0.8, 1.25)",
    "table.height =U(-0.13, 0.02)",
    "action.noise =U(0, 0.05)",
    "observation.noise =U(0, 0.002)",
)
"""Physics of robot and table."""

LOOKS = knobs(
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
"""Looks of everything but the objects."""

HELD_OUT = knobs(
    "camera.offset +U([-0.04, -0.04, -0.04], [0.04, 0.04, 0.04])",
    "light.direction =U([-1.2, -1.0, -1.2], [1.0, 1.0, -0.6])",
    "image.noise =U(4, 12)",
)
"""Wider than training."""

EXTRAS = {
    "lights": knobs(
        "light.count =choice(1, 2, 3)",
        "light.direction2 =U([-1.0, -1.0, -1.2], [1.0, 1.0, -0.4])",
        "light.diffuse2 =U([0.05, 0.05, 0.05], [0.4, 0.4, 0.4])",
        "light.direction3 =U([-1.0, -1.0, -1.2], [1.0, 1.0, -0.4])",
        "light.diffuse3 =U([0.05, 0.05, 0.05], [0.3, 0.3, 0.3])",
    ),
    "shadows": knobs("light.shadows =choice(0, 1)"),
    "jpeg": knobs("image.jpeg =choice(0, 0, 90, 75, 60, 45, 30)"),
    # From robosuite's gripper, which takes 10 control steps from open to closed, to ManiSkill's, which takes 2.
    "grippers": knobs("gripper.speed =choice(0.08, 0.1, 0.14, 0.2, 0.35, 1, 1)"),
    # What collecting with `perturb_std` does to an expert, which had better have learnt to recover from it.
    "disturbed": knobs("action.noise =U(0, 0.5)"),
}
"""Laws that a preset takes in when its name says so, "train[+lights]"; by itself it stays as its digest knows it."""

HELD_OUT_EXTRAS = {
    "lights": knobs(
        "light.count =choice(2, 3)",
        "light.diffuse2 =U([0.0, 0.0, 0.0], [0.6, 0.6, 0.6])",
        "light.diffuse3 =U([0.0, 0.0, 0.0], [0.45, 0.45, 0.45])",
    ),
    "jpeg": knobs("image.jpeg =U(10, 30)"),
}
"""What "held_out" makes of them: wider than training."""

START_CLEARANCE = 0.1
"""Least height of the TCP above the table at the start, m: the hand is clear of objects and fixtures."""

OTHERS = ("other1", "other2", "other3")
"""Slots of the objects that no sentence is about."""


def slots(*roles: Object, others: Sequence[str] = OTHERS) -> tuple[Object, ...]:
    """Return the roles' objects, and one per slot of `others` that is absent unless a draw brings it."""
    half = (0.02, 0.02, 0.02)
    rest = [Object(name, "box", half, (0.5, 0.0), mass=0.08, color="blue", present=0.0) for name in others]
    return (*roles, *rest)


def presets(
    *names: str,
    others: Sequence[str] = OTHERS,
    fixtures: Sequence[str] = (),
    extra: Sequence[Knob] = (),
    looks: Sequence[Knob] = (),
) -> dict[str, tuple[Knob, ...]]:
    """Return the presets of a task whose roles fill the slots `names`.

    `extra` are physical laws of its own, `looks` visual ones.
    """
    bodies = [
        law for name in (*names, *others) for law in (f"{name}.mass *U(0.4, 2.5)", f"{name}.friction *U(0.5, 1.2)")
    ]
    shades = [f"{name}.shade *U(0.7, 1.15)" for name in (*names, *others, *fixtures)]
    physical = ROBOT + knobs(*bodies) + tuple(extra)
    train = physical + LOOKS + knobs(*shades) + tuple(looks)
    wider = HELD_OUT + knobs(*(f"{name}.mass *U(0.3, 3.5)" for name in names))
    return {"none": (), "physical": physical, "train": train, "held_out": train + wider}

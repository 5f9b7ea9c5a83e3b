"""The small scenes on which engines are compared: three objects; a door, a bin, a region and slots for objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine import Engine, Keeping, Values
from sim.fixtures import region
from sim.scene import Camera, Object, Scene, Value
from sim.streams import uniforms
from tasks.doors import LOW
from tasks.place_in_bin import BIN

SCENE = Scene(
    objects=(
        Object("cube", "box", half_size=(0.02, 0.02, 0.02), position=(0.5, -0.15), mass=0.08, color="red"),
        Object("can", "cylinder", half_size=(0.022, 0.022, 0.03), position=(0.6, 0.15), mass=0.1, color="green"),
        Object("ball", "sphere", half_size=(0.02, 0.02, 0.02), position=(0.4, 0.2), mass=0.05, color="blue"),
    ),
    cameras=(("near", Camera(position=(1.06, 0.0, 0.55), target=(0.5085, 0.0, 0.0), fovy=45.0)),),
)

NOMINAL = SCENE.nominal()

HOLD = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
"""The canonical action that stands still with an open gripper."""


def world_values(world: int, *, episode: int = 0) -> Values:
    """Return the values of a world: sizes and masses of the world, poses of the episode in it.

    Some engines fix sizes and masses when they create a world; so nothing but poses changes between its episodes.
    """
    values: dict[str, Value] = dict(NOMINAL)
    for item in SCENE.objects:
        size, mass = uniforms(world, "check-engine", item.name, "body", count=2)
        x, y, yaw = uniforms(world, "check-engine", item.name, episode, count=3)
        values[f"{item.name}.half_size"] = tuple(half * (0.8 + 0.4 * size) for half in item.half_size)
        values[f"{item.name}.mass"] = item.mass * (0.6 + 0.8 * mass)
        values[f"{item.name}.position"] = (item.position[0] + 0.1 * (x - 0.5), item.position[1] + 0.1 * (y - 0.5))
        values[f"{item.name}.yaw"] = 6.0 * (yaw - 0.5)
    turns = uniforms(world, "check-engine", "robot.q", episode, count=7)
    values["robot.q"] = tuple(q + 0.3 * (turn - 0.5) for q, turn in zip(SCENE.home, turns, strict=True))
    (height,) = uniforms(world, "check-engine", "table.height", count=1)
    values["table.height"] = -0.12 + 0.1 * height
    return values


def start(engine: Engine, *, episode: int = 0) -> list[Values]:
    """Begin an episode in all worlds and return its values."""
    values = [world_values(world, episode=episode) for world in range(engine.n)]
    engine.reset(np.arange(engine.n), values)
    return values


def host(array: Any) -> NDArray[np.float64]:
    """Return an array of the state on the CPU, float64."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array, dtype=np.float64)


def repeated(engine: Engine, action: Sequence[float] | NDArray[np.float64], *, steps: int) -> None:
    """Execute the same action in all worlds."""
    actions = np.tile(np.asarray(action, dtype=np.float64), (engine.n, 1))
    for _ in range(steps):
        engine.step(actions)


FURNISHED = Scene(
    objects=(
        Object("thing", "box", half_size=(0.02, 0.02, 0.02), position=(0.45, -0.25), mass=0.08),
        Object("spare", "box", half_size=(0.02, 0.02, 0.02), position=(0.4, -0.2), mass=0.08, present=0.0),
    ),
    cameras=SCENE.cameras,
    table_shape="plane",
    fixtures=(
        LOW,
        replace(BIN, position=(0.45, 0.32)),
        region("goal", radius=0.05, position=(0.3, -0.35), color="green"),
    ),
)
"""A scene with all that stays on a table: a door on its hinge, a bin, a region; and with slots that draws fill."""

SIZES: dict[str, tuple[float, float, float]] = {
    "box": (0.02, 0.02, 0.02),
    "cylinder": (0.018, 0.018, 0.03),
    "sphere": (0.022, 0.022, 0.022),
}
"""Half extents of the furnished scene's objects, by shape, m."""


def furnished_values(world: int, *, episode: int = 0) -> Values:
    """Return the values of a furnished world: other shapes, objects, places and resistances in each."""
    values: dict[str, Value] = dict(FURNISHED.nominal())
    for k, item in enumerate(FURNISHED.objects):
        shape = list(SIZES)[(world + episode + k) % len(SIZES)]
        x, y, yaw = uniforms(world, "check-engine", item.name, "furnished", episode, count=3)
        values[f"{item.name}.shape"], values[f"{item.name}.half_size"] = shape, SIZES[shape]
        values[f"{item.name}.position"] = (item.position[0] + 0.03 * x, item.position[1] - 0.1 * k + 0.03 * y)
        values[f"{item.name}.yaw"] = 6.0 * (yaw - 0.5)
        values[f"{item.name}.present"] = 1.0 if k == 0 else float((world + episode) % 2)
    for fixture in FURNISHED.fixtures:
        x, y, yaw = uniforms(world, "check-engine", fixture.name, "furnished", episode, count=3)
        values[f"{fixture.name}.position"] = (fixture.position[0] + 0.05 * x, fixture.position[1] + 0.04 * y)
        values[f"{fixture.name}.yaw"] = 0.6 * (yaw - 0.5)
    (height,) = uniforms(world, "check-engine", "table.height", episode, count=1)
    values["table.height"] = -0.12 + 0.1 * height
    return values


def furnish(engine: Engine, *, episode: int = 0) -> list[Values]:
    """Begin an episode in all furnished worlds and return its values."""
    values = [furnished_values(world, episode=episode) for world in range(engine.n)]
    engine.reset(np.arange(engine.n), values)
    return values


def announce(engine: Engine) -> None:
    """Tell an engine that keeps bodies in stock which ones the furnished scene needs."""
    if isinstance(engine, Keeping):
        engine.stock([furnished_values(world, episode=episode) for world in range(6) for episode in range(6)])

"""The small scene on which engines are compared: a box, a cylinder, a sphere, and what differs between worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine import Engine, Values
from sim.scene import Camera, Object, Scene, Value
from sim.streams import uniforms

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

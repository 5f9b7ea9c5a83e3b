"""What every physics engine must offer, and the registry that finds one by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError, unknown
from sim.scene import Scene, Value
from sim.state import Array, State

Values = Mapping[str, Value]
"""Every scene parameter of one world by path, absolute: the scene's nominal values overlaid with a draw."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do; what it cannot do it refuses in words."""

    # Name and version of the physics, as stored in datasets and results.
    name: str
    version: str
    # "cpu" or "cuda".
    device: str
    # Same seed, same bytes, whatever the number of worlds and threads.
    deterministic: bool
    # Largest number of worlds.
    max_worlds: int
    # Patterns of the parameters that a world cannot take as they are drawn (`Keeping`); empty: a reset sets everything.
    fixed: tuple[str, ...] = ()
    # It draws frames of its own (`Drawing`).
    renders: bool = False
    # What the state's arrays are: torch tensors stay on the engine's device.
    arrays: Literal["numpy", "torch"] = "numpy"


class Engine(Protocol):
    """n worlds of one scene, advanced together by canonical actions."""

    n: int
    scene: Scene
    capabilities: Capabilities

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes; the others stay as they are."""

    def step(self, actions: Array) -> State:
        """Execute one canonical action (n, 7) per world for one control step and return the new state."""

    def state(self) -> State:
        """Return the state as it is."""

    def diverged(self) -> NDArray[np.bool_]:
        """Return which worlds (n,) the physics could not integrate since their reset; they stand still until reset."""

    def positions(self) -> NDArray[np.float64]:
        """Return the generalized positions (n, nq), enough to draw a frame."""

    def close(self) -> None:
        """Free threads and memory."""


@runtime_checkable
class Keeping(Protocol):
    """An engine that cannot give every world every value: some are decided when the worlds are created."""

    def stock(self, values: Sequence[Values]) -> None:
        """Tell, before the first reset, what later episodes may ask for: a sample of their values."""

    def fixed_values(self, world: int, values: Values) -> Values:
        """Return what `world` has in the place of some of `values`, by path; empty before the first reset."""


@runtime_checkable
class Drawing(Protocol):
    """An engine with cameras of its own."""

    def render(self, ids: NDArray[np.intp], values: Sequence[Values], *, camera: str = "image") -> NDArray[np.uint8]:
        """Return frames (k, size, size, 3), RGB, of worlds as `values` make them look."""


ENGINES: dict[str, str] = {
    "isaacgym": "sim.isaacgym_engine:IsaacGymEngine",
    "mujoco": "sim.mujoco_engine:MujocoEngine",
    "mujoco_warp": "sim.warp_engine:WarpEngine",
}

EXTRAS = {"mujoco_warp": "warp"}
"""Engine -> the extra of this package that brings what it needs."""

WITH_DEVICE = ("mujoco_warp",)
"""Engines that can be put on a device of choice."""


def make_engine(name: str, scene: Scene, *, n: int, threads: int | None = None, device: str | None = None) -> Engine:
    """Return the engine `name` with `n` worlds of `scene`; `device` is for engines that offer a choice."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if device is not None and name not in WITH_DEVICE:
        raise UserError(
            f"The engine {name!r} cannot be put on the device {device!r}: it has no choice of devices. Leave --device "
            f"away, or use one that has: {', '.join(WITH_DEVICE)}."
        )
    module, attribute = ENGINES[name].split(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        wanted = f"'demomill[{EXTRAS[name]}]'" if name in EXTRAS else error.name
        raise UserError(
            f"Engine {name!r} needs the package {error.name!r}, which is not installed. Type: pip install {wanted}"
        ) from error
    chosen = {"device": device} if device is not None else {}
    engine: Engine = factory(scene, n=n, threads=threads, **chosen)
    return engine

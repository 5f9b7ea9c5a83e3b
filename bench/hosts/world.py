"""What a single environment of another simulator must offer, in canonical terms, to become a world of `HostEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sim.episodes import Images
from sim.state import State


class World(Protocol):
    """One environment of another simulator, spoken to in canonical terms."""

    # Physics engine and version.
    engine: str
    # Names of the conversions that it makes.
    adapters: tuple[str, ...]

    def reset(self, seed: int) -> None:
        """Begin the host's own episode of `seed`."""

    def step(self, action: NDArray[np.float64]) -> None:
        """Execute one canonical action (7,) for one control step."""

    def state(self) -> State:
        """Return the state of one world (n = 1), Panda base frame, wxyz."""

    def success(self) -> bool:
        """Return the host's own verdict on the state as it is."""

    def fault(self) -> str | None:
        """Return why the simulation cannot be trusted since its reset, or None."""

    def image(self, camera: str) -> Images:
        """Return one RGB frame (size, size, 3) of `camera`, row 0 on top."""

    def extras(self) -> Mapping[str, Any]:
        """Return what the host drew beyond State, as JSON: a goal position, for example."""

    def close(self) -> None:
        """Free simulator and renderer."""

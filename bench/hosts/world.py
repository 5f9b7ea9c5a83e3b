"""What a single environment of another simulator must offer, in canonical terms, to become a world of `HostEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.hosts.changes import AS_IT_IS
from bench.hosts.views import Pinhole, wrist_camera
from bench.hosts.words import thing
from bench.variation import Changes
from sim.episodes import WRIST, Images
from sim.scene import Value
from sim.state import State
from tasks.grammar import Thing


class World(Protocol):
    """One environment of another simulator, spoken to in canonical terms.

    Objects stand in the state under the role that they play in our task ("target", "base"), what else there is as
    "other1" and so on; fixtures and joints under the names of the task ("goal", "bin", "tall_right_door").
    """

    # Physics engine and version.
    engine: str
    # Names of the conversions that it makes.
    adapters: tuple[str, ...]
    # Paths that `reset` can change.
    knobs: ClassVar[frozenset[str]]
    # Steps that an episode of it needs at least; 0: those of our task do.
    horizon: ClassVar[int]

    def reset(self, seed: int, changes: Changes = AS_IT_IS) -> None:
        """Begin the host's own episode of `seed`, with `changes` to the values that the host gives in it.

        Without changes it is the host as it is, byte for byte, whatever was changed before.
        """

    def step(self, action: NDArray[np.float64]) -> None:
        """Execute one canonical action (7,) for one control step."""

    def state(self) -> State:
        """Return the state of one world (n = 1), Panda base frame, wxyz."""

    def things(self) -> tuple[Thing, ...]:
        """Return the objects as sentences speak of them, where they stood after the reset."""

    def changed(self) -> Mapping[str, Value]:
        """Return the absolute values that the changes of this episode have made, by path."""

    def success(self) -> bool:
        """Return the host's own verdict on the state as it is."""

    def fault(self) -> str | None:
        """Return why the simulation cannot be trusted since its reset, or None."""

    def image(self, camera: str) -> Images:
        """Return one RGB frame (size, size, 3) of `camera`, "image" or "wrist_image", row 0 on top."""

    def pinhole(self, camera: str) -> Pinhole:
        """Return where `camera` is at the moment, base frame."""

    def extras(self) -> Mapping[str, Any]:
        """Return what the host drew beyond State, as JSON: a goal position, for example."""

    def close(self) -> None:
        """Free simulator and renderer."""


class SceneWorld:
    """What worlds of every host share: they show the scene they are in, as its dials have changed it."""

    adapters: tuple[str, ...]
    knobs: ClassVar[frozenset[str]]
    horizon: ClassVar[int] = 0
    # The built scene that the episode is in, with `state`, `tcp`, `image`, `wrist_image` and `bodies`.
    _scene: Any
    # Its dials, with `values` and `view`.
    _dials: Any
    # What the changes made when the scene was chosen.
    _chosen: dict[str, Value]
    _things: tuple[Thing, ...] = ()

    def _look_round(self) -> None:
        """Remember the objects as they stand."""
        state = self._scene.state()
        self._things = tuple(thing(name, body.kind, body.color, state) for name, body in self._scene.bodies.items())

    def state(self) -> State:
        """Return the state of this world."""
        state: State = self._scene.state()
        return state

    def things(self) -> tuple[Thing, ...]:
        """Return the objects as sentences speak of them."""
        return self._things

    def changed(self) -> Mapping[str, Value]:
        """Return the absolute values that this episode's changes have made."""
        return {**self._chosen, **self._dials.values}

    def image(self, camera: str) -> Images:
        """Return one frame of the view, or of the camera on the hand, row 0 on top."""
        frame: Images = self._scene.wrist_image() if camera == WRIST else self._scene.image()
        return frame

    def pinhole(self, camera: str) -> Pinhole:
        """Return the view as it is in this episode, or the camera on the hand as it is held at the moment."""
        found: Pinhole = wrist_camera(self._scene.tcp()) if camera == WRIST else self._dials.view.pinhole()
        return found

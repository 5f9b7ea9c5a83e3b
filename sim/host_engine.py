"""An engine whose tensors live on a device, seen from the host: states arrive as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine import Drawing, Engine, Values
from sim.errors import UserError
from sim.state import State


def on_host(engine: Engine) -> Engine:
    """Return `engine` itself if its states are numpy arrays, else the same engine behind one that copies them over."""
    return engine if engine.capabilities.arrays == "numpy" else HostEngine(engine)


class HostEngine:
    """Passes everything on to `inner`; states come back as float64 numpy arrays."""

    def __init__(self, inner: Engine) -> None:
        """Wrap `inner`, which this one closes."""
        self.inner, self.n, self.scene = inner, inner.n, inner.scene
        self.capabilities = replace(inner.capabilities, arrays="numpy")

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes."""
        self.inner.reset(ids, values)

    def step(self, actions: NDArray[np.float64]) -> State:
        """Execute canonical actions (n, 7) for one control step."""
        return state_to_host(self.inner.step(actions))

    def state(self) -> State:
        """Return the state as it is."""
        return state_to_host(self.inner.state())

    def diverged(self) -> NDArray[np.bool_]:
        """Return which worlds (n,) could not be integrated since their reset."""
        return self.inner.diverged()

    def positions(self) -> NDArray[np.float64]:
        """Return the generalized positions (n, nq)."""
        return self.inner.positions()

    def render(self, ids: NDArray[np.intp], values: Sequence[Values], *, camera: str = "image") -> NDArray[np.uint8]:
        """Return frames (k, size, size, 3), RGB, of worlds as `values` make them look."""
        if not isinstance(self.inner, Drawing):
            raise UserError(
                f"The engine {self.capabilities.name!r} draws no frames of its own. Use sim.renderer.Renderer."
            )
        return self.inner.render(ids, values, camera=camera)

    def close(self) -> None:
        """Close the engine behind."""
        self.inner.close()


def state_to_host(state: State) -> State:
    """Return the state with every array as float64 numpy; boolean arrays stay boolean."""
    return State(**{field.name: _to_host(getattr(state, field.name)) for field in fields(State)})


def _to_host(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: _to_host(part) for name, part in value.items()}
    array = np.asarray(value.cpu() if hasattr(value, "cpu") else value)
    return array if array.dtype == np.bool_ else array.astype(np.float64)

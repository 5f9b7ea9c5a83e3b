"""What State tells of worlds on a device and no physics changes: sizes, shapes, presence, fixtures, the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sim.engine import Values
from sim.model_values import SceneFacts
from sim.scene import Scene


class DeviceFacts:
    """The facts of n worlds as tensors: 32-bit floats, shapes as 64-bit integers, presence as booleans."""

    def __init__(self, scene: Scene, *, n: int, device: str) -> None:
        """Make room for n worlds."""
        self._scene, self._device = scene, device
        self._shown = _mapped(SceneFacts(scene, n).shown(), self._tensor)

    def write(self, index: torch.Tensor, values: Sequence[Values]) -> None:
        """Take over the values of the worlds `index` (k,)."""
        fresh = SceneFacts(self._scene, len(values))
        for k, chosen in enumerate(values):
            fresh.write(k, chosen)
        for name, part in fresh.shown().items():
            kept = self._shown[name]
            for key in part if isinstance(part, dict) else (None,):
                rows, new = (kept, part) if key is None else (kept[key], part[key])
                rows[index] = self._tensor(new)

    def shown(self) -> dict[str, Any]:
        """Return these fields of State, as fresh copies."""
        return _mapped(self._shown, torch.clone)

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        kept = array.astype(np.float32) if array.dtype.kind == "f" else array
        return torch.as_tensor(kept, device=self._device)


def _mapped(fields: dict[str, Any], change: Callable[[Any], torch.Tensor]) -> dict[str, Any]:
    """Return the fields with every array changed, those in dictionaries too."""
    return {
        name: {key: change(array) for key, array in part.items()} if isinstance(part, dict) else change(part)
        for name, part in fields.items()
    }

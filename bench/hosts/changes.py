"""What one episode changes in a host's scene: an operation on the host's own value, path by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import numpy as np

from sim.errors import UserError
from sim.scene import Value, rgb

Change = tuple[Literal["=", "*", "+"], Value]
"""Operation and operand: "=" takes the operand, "*" and "+" apply it to the value that the host itself gives."""

Changes = Mapping[str, Change]
"""Path -> change. Paths and units are those of `sim.scene.Scene.nominal`; "target" is the task's target."""

AS_IT_IS: Changes = {}
"""The host without a change."""


def applied(path: str, nominal: Value, change: Change) -> Value:
    """Return the absolute value of `path` after `change`; a number stands for all components of a vector.

    A colour's name counts as its RGB where it is multiplied or added to.
    """
    operation, operand = change
    if isinstance(operand, str):
        if operation != "=" or not (isinstance(nominal, str) or path.endswith(".color")):
            raise UserError(f"The change {operation} {operand!r} of {path} is not allowed: its value is {nominal!r}.")
        return operand
    if path.endswith(".color") and isinstance(nominal, str):
        nominal = rgb(nominal)
    if isinstance(nominal, str):
        raise UserError(f"The change {operation} {operand!r} of {path} is not allowed: it is a name, {nominal!r}.")
    base, value = np.asarray(nominal, dtype=np.float64), np.asarray(operand, dtype=np.float64)
    if value.ndim and value.shape != base.shape:
        raise UserError(f"The change of {path} has {len(value)} components; its value is {nominal!r}.")
    result = {"=": np.broadcast_to(value, base.shape), "*": base * value, "+": base + value}[operation]
    if not np.isfinite(result).all():
        raise UserError(f"The change {operation} {operand!r} of {path} makes it {result.tolist()}: not finite.")
    return cast(Value, tuple(result.tolist()) if result.ndim else float(result))

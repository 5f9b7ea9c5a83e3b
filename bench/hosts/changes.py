"""What one episode changes in a host's scene: an operation on the host's own value, path by path."""

from __future__ import annotations

import numpy as np

from bench import variation
from bench.variation import Change, Changes
from sim.errors import UserError
from sim.scene import Value, rgb

AS_IT_IS: Changes = {}
"""The host without a change."""


def applied(path: str, nominal: Value, change: Change) -> Value:
    """Return the absolute value of `path` after `change`; a number stands for all components of a vector.

    A colour's name counts as its RGB where it is multiplied or added to.
    """
    operation, operand = change
    colored = path.endswith(".color")
    if isinstance(operand, str) and not (colored or isinstance(nominal, str)):
        raise UserError(f"The change {operation} {operand!r} of {path} is not allowed: its value is {nominal!r}.")
    if colored and isinstance(nominal, str) and not isinstance(operand, str):
        nominal = rgb(nominal)
    value = variation.applied(change, nominal, path=path)
    if not isinstance(value, str) and not np.isfinite(value).all():
        raise UserError(f"The change {operation} {operand!r} of {path} makes it {value}: not finite.")
    return value

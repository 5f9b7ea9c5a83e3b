"""The options of a POLICY text, as in `runs/vla?execute=2&ensemble=0.01&dtype=int8`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl

from sim.errors import UserError, nearest

DTYPES = ("fp32", "bf16", "int8")
"""Arithmetic of a VLA: single precision, bfloat16 where it is safe, or 8-bit weights of the linear layers."""


@dataclass(frozen=True)
class PolicyOptions:
    """What stands behind the "?" of a POLICY text; None leaves a policy as it is."""

    # Actions of each chunk that are executed before the policy is asked again.
    execute: int | None = None
    # Temporal ensembling: decay m of the weights exp(-m i) of overlapping plans, the oldest first (Zhao et al. 2023).
    ensemble: float | None = None
    # Exponential filter: share of the action before in each arm action, 0 to below 1.
    smooth: float | None = None
    # Largest arm action, as a share of the canonical limits, above 0 to 1.
    limit: float | None = None
    # Of an expert: the least height above the table that it may ask the TCP to go to, m (policies/guard.py).
    floor: float | None = None
    # Arithmetic of a VLA checkpoint: "fp32", "bf16" or "int8".
    dtype: str | None = None
    # For a fine-tuned model: where its pretrained model lies now, and whether Python files that came with it may run.
    base: str | None = None
    remote_code: bool | None = None
    # For ws://: the file that says what a server means which does not say so itself, and seconds to wait for an answer.
    declare: str | None = None
    timeout: float | None = None

    def given(self) -> tuple[str, ...]:
        """Return the names of the options that were given."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    @property
    def filters(self) -> bool:
        """Whether actions are changed after the policy."""
        return any(value is not None for value in (self.ensemble, self.smooth, self.limit))


_RANGES = {
    "execute": (1, 1000, "integers from 1"),
    "ensemble": (0.0, 100.0, "numbers from 0"),
    "smooth": (0.0, 0.999, "numbers from 0 to below 1"),
    "limit": (1e-6, 1.0, "numbers above 0 to 1"),
    "floor": (0.0, 0.2, "metres from 0 to 0.2"),
    "timeout": (1e-3, 86_400.0, "seconds above 0"),
}


def parse_policy(text: str) -> tuple[str, PolicyOptions]:
    """Return what stands before the "?" of a POLICY text, and the options behind it; unknown ones are refused."""
    base, mark, query = text.partition("?")
    if not mark:
        return base, PolicyOptions()
    known = [field.name for field in fields(PolicyOptions)]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise UserError(f"{text!r}: the options {query!r} are not of the form name=value&name=value.") from error
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in known:
            raise UserError(f"{text!r}: unknown option {name!r}.{nearest(name, known)} Allowed: {', '.join(known)}.")
        if name in values:
            raise UserError(f"{text!r} gives the option {name!r} twice.")
        values[name] = _value(name, value, text)
    return base, PolicyOptions(**values)


def _value(name: str, value: str, text: str) -> Any:
    """Return the value of one option; what is out of range is refused."""
    if name == "dtype":
        if value not in DTYPES:
            raise UserError(f"{text!r}: dtype = {value!r}.{nearest(value, DTYPES)} Allowed: {', '.join(DTYPES)}.")
        return value
    if name in ("declare", "base"):
        return value
    if name == "remote_code":
        if value not in ("true", "false"):
            raise UserError(f"{text!r}: remote_code = {value!r} is not allowed. Allowed: true, false.")
        return value == "true"
    low, high, allowed = _RANGES[name]
    try:
        number = int(value) if name == "execute" else float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise UserError(f"{text!r}: {name} = {value!r} is not allowed. Allowed: {allowed}.")
    return number

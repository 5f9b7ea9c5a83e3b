"""Laws of randomness on a host's own values, drawn for one episode."""

from __future__ import annotations

from collections.abc import Iterable

from bench.hosts.changes import Change
from sim.scene import Value
from tasks.randomization import Knob


def drawn_changes(laws: Iterable[Knob], seed: int) -> dict[str, Change]:
    """Return the change of every path in the episode `seed`; several laws may share a path: the last one applies."""
    return {law.path: (law.op, law.draw(_neutral(law), seed, "variation")) for law in laws}


def _neutral(law: Knob) -> Value:
    """Return the value on which the law's operation gives its operand."""
    if law.law == "choice":
        return 0.0 if all(_is_number(name) for name in law.choices) else ""
    number = 1.0 if law.op == "*" else 0.0
    width = len(law.arguments[0])
    return number if width == 1 else (number,) * width


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

"""An arm of a benchmark: laws laid over the worlds of a host, drawn per episode from its seed alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from sim.errors import UserError
from sim.scene import Value
from tasks.randomization import Knob, Operation, is_number, operated

NOMINAL_AXIS = "nominal"

STREAM = "variation"
"""Name of the random stream of an arm's laws, the same in every host."""

Change = tuple[Operation, Value]
"""How a value differs from the nominal one of its episode: "=" replaces it, "*" multiplies it, "+" adds to it."""

Changes = Mapping[str, Change]

WRAPPED = frozenset(
    {
        "action.latency",
        "action.noise",
        "state.position_noise",
        "state.rotation_noise",
        "privileged.noise",
        "image.exposure",
        "image.noise",
        "image.blur",
        "image.jpeg",
        "sentence.form",
    }
)
"""Paths that need no host: they are turned around any environment (see `bench.variation_env`)."""


@dataclass(frozen=True)
class Arm:
    """What is laid over the episodes of a cell; without laws the nominal one."""

    axis: str = NOMINAL_AXIS
    level: int = 0
    laws: tuple[Knob, ...] = ()

    @property
    def name(self) -> str:
        """Return "axis-level", or "nominal"."""
        return self.axis if self.axis == NOMINAL_AXIS else f"{self.axis}-{self.level}"

    @property
    def wrapped(self) -> tuple[Knob, ...]:
        """Return the laws that any environment can be given."""
        return tuple(law for law in self.laws if law.path in WRAPPED)

    @property
    def hosted(self) -> tuple[Knob, ...]:
        """Return the laws that the host's worlds must turn."""
        return tuple(law for law in self.laws if law.path not in WRAPPED)


NOMINAL = Arm()


@runtime_checkable
class Varying(Protocol):
    """What an environment may offer beside its protocol: worlds whose parameters can be turned."""

    @property
    def knobs(self) -> frozenset[str]:
        """Paths that its worlds can turn."""

    def vary(self, laws: Sequence[Knob]) -> None:
        """Lay `laws` over every episode from the next reset on; none: the worlds as they are."""


def drawn_changes(laws: Iterable[Knob], seed: int) -> dict[str, Change]:
    """Return what the episode `seed` draws of `laws`, by path; equal in every host.

    Each value comes from the stream (seed, STREAM, path) and knows no nominal value: `applied` lays it over one.
    """
    return {law.path: (law.op, _sampled(law, seed)) for law in laws}


def _sampled(law: Knob, seed: int) -> Value:
    if law.law == "choice":
        name = law.draw("", seed, STREAM)
        return float(name) if isinstance(name, str) and is_number(name) else name
    neutral = 1.0 if law.op == "*" else 0.0
    width = len(law.arguments[0])
    return law.draw(neutral if width == 1 else (neutral,) * width, seed, STREAM)


def applied(change: Change, nominal: Value, *, path: str = "") -> Value:
    """Return the absolute value that `change` makes of `nominal`; one number counts for all components of a vector."""
    op, value = change
    if isinstance(value, str) or isinstance(nominal, str):
        if op != "=" or (isinstance(nominal, str) and not isinstance(value, str | tuple)):
            raise UserError(f"The change {op!r} {value!r} does not fit {path or 'a value'}, which is {nominal!r}.")
        return value
    if isinstance(nominal, tuple | list):
        return _vector(op, value, tuple(nominal), path)
    if isinstance(value, tuple):
        raise UserError(f"The change {op!r} {value!r} has {len(value)} components, but {path or 'the value'} has one.")
    return operated(op, float(nominal), value)


def _vector(op: Operation, value: float | tuple[float, ...], nominal: tuple[float, ...], path: str) -> Value:
    values = value if isinstance(value, tuple) else (value,) * len(nominal)
    if len(values) != len(nominal):
        raise UserError(
            f"The change {op!r} {value!r} has {len(values)} components, but {path or 'the value'} has {len(nominal)}."
        )
    return tuple(operated(op, float(n), v) for v, n in zip(values, nominal, strict=True))


def place_of(record: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """Return the cell of a record: host, task, axis, level. A run without a suite has hosts alone."""
    task, axis, level = (record.get(name, default) for name, default in (("task", ""), ("axis", ""), ("level", 0)))
    return str(record["host"]), str(task), str(axis), int(level)

"""Domain randomization: laws in = * + notation on nominal values, one random stream per knob name."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from sim.errors import UserError, nearest
from sim.scene import Value
from sim.streams import uniforms

Operation = Literal["=", "*", "+"]

_FORM = re.compile(
    r"^(?P<path>[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*)\s*(?P<op>[=*+])\s*(?P<law>[UN]|choice)\((?P<args>.*)\)$"
)
NORMAL = NormalDist()
_VECTOR = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True)
class Knob:
    """One randomized parameter: `path op law`, always applied to the NOMINAL value, never to the current one.

    Written as text: ``"cube.mass *U(0.5, 2)"``, ``"cube.position +U([-.1, -.2], [.1, .2])"``,
    ``"light.diffuse *N(1, 0.2)"``, ``"table.texture =choice(plain, checker)"``. U is uniform, N normal (mean, standard
    deviation). A law with numbers draws ONE number for all components; with [vectors] it draws each on its own. A
    choice is one of several names, or of several numbers: ``"action.latency =choice(0, 1, 2)"``.
    """

    path: str
    op: Operation
    law: Literal["U", "N", "choice"]
    arguments: tuple[tuple[float, ...], ...] = ()
    choices: tuple[str, ...] = ()
    # The text it was written as.
    text: str = ""

    def draw(self, nominal: Value, seed: int, *names: str | int) -> Value:
        """Return the drawn absolute value, from the stream (seed, names, path)."""
        self._check(nominal)
        if self.law == "choice":
            (u,) = uniforms(seed, *names, self.path, count=1)
            chosen = self.choices[int(u * len(self.choices))]
            return chosen if isinstance(nominal, str) else float(chosen)
        sample = self._sample(uniforms(seed, *names, self.path, count=len(self.arguments[0])))
        if isinstance(nominal, tuple):
            if len(sample) == 1:
                sample = sample * len(nominal)
            return tuple([operated(self.op, n, x) for n, x in zip(nominal, sample, strict=True)])
        return operated(self.op, float(nominal), sample[0])

    def _check(self, nominal: Value) -> None:
        """Refuse a law that does not fit the parameter's kind or length."""
        if self.law == "choice":
            if isinstance(nominal, tuple) or not (isinstance(nominal, str) or all(map(is_number, self.choices))):
                raise UserError(f"The law {self.text!r} draws a name, but {self.path} holds numbers: {nominal!r}.")
            return
        if isinstance(nominal, str):
            raise UserError(f"The law {self.text!r} draws a number, but {self.path} holds the name {nominal!r}.")
        width, wanted = len(self.arguments[0]), len(nominal) if isinstance(nominal, tuple) else 1
        if width not in (1, wanted):
            raise UserError(f"The law {self.text!r} has {width} components, but {self.path} has {wanted}.")

    def _sample(self, quantiles: tuple[float, ...]) -> list[float]:
        """Return the samples at the quantiles of U(a, b) or N(a, b), one per component."""
        return [self.quantile(u, a, b) for u, a, b in zip(quantiles, *self.arguments, strict=True)]

    def quantile(self, share: float, a: float, b: float) -> float:
        """Return the sample of U(a, b) or N(a, b) below which a `share` of all samples lies."""
        if self.law == "U":
            return a + (b - a) * share
        return a + b * NORMAL.inv_cdf(min(max(share, 1e-12), 1 - 1e-12))


def operated(op: Operation, nominal: float, number: float) -> float:
    """Return the absolute value: `number` takes the place of the nominal one, multiplies it or is added to it."""
    if op == "=":
        return number
    return nominal * number if op == "*" else nominal + number


def is_number(text: str) -> bool:
    """Return whether a choice is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def knob(text: str) -> Knob:
    """Return the knob that `text` describes; a wrong form is refused with an example."""
    match = _FORM.match(text.strip())
    if match is None:
        raise UserError(
            f"The law {text!r} cannot be read. Write: path, then = * or +, then U(low, high), N(mean, std) or "
            'choice(a, b); for example "cube.mass *U(0.5, 2)" or "cube.position +U([-.1, -.2], [.1, .2])".'
        )
    path, op, law, arguments = match["path"], match["op"], match["law"], match["args"]
    if law == "choice":
        names = tuple(name.strip() for name in arguments.split(","))
        if op != "=" or not all(names):
            raise UserError(f"The law {text!r} cannot be read. Write a choice as path =choice(a, b).")
        return Knob(path, op, law, choices=names, text=text)  # type: ignore[arg-type]
    vectors = _VECTOR.findall(arguments) or arguments.split(",")
    try:
        values = tuple(tuple(float(x) for x in vector.split(",")) for vector in vectors)
    except ValueError as error:
        raise UserError(f"The law {text!r} has an argument that is not a number: {error}.") from error
    if len(values) != 2 or len(values[0]) != len(values[1]):
        raise UserError(f"The law {text!r} needs two arguments of equal length; got {len(values)}.")
    pairs = zip(*values, strict=True)
    if any(high < low if law == "U" else high < 0 for low, high in pairs):
        wanted = "low <= high" if law == "U" else "a standard deviation of at least 0"
        raise UserError(f"The law {text!r} needs {wanted}.")
    return Knob(path, op, law, arguments=values, text=text)  # type: ignore[arg-type]


def knobs(*texts: str) -> tuple[Knob, ...]:
    """Return one knob per text."""
    return tuple(knob(text) for text in texts)


VISUAL = ("color", "shade", "texture", "extent", "light", "camera", "image", "background")
"""Parts of a path that make a knob visual: it changes pixels and nothing else."""


@functools.cache
def is_visual(path: str) -> bool:
    """Return whether the knob `path` changes pixels only."""
    owner, attribute = path.split(".")
    return owner in VISUAL or attribute in VISUAL


def draw_values(
    chosen: Iterable[Knob], nominal: Mapping[str, Value], seed: int, *, names: tuple[str | int, ...] = ()
) -> dict[str, Value]:
    """Return the drawn value of every knob by path. Several knobs may share a path: the last one applies.

    `names` extends the stream names, so that visual knobs can be drawn anew per step: ``names=("step", 7)``.
    """
    values: dict[str, Value] = {}
    for each in chosen:
        if each.path not in nominal:
            raise UserError(f"The law {each.text!r} names no parameter of the scene.{nearest(each.path, nominal)}")
        values[each.path] = each.draw(nominal[each.path], seed, *names)
    return values

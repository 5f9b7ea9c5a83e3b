"""Named sets of knobs, parts of one, and more: "train", "train[camera, light]", "train[-image]", "train[+lights]"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sim.errors import UserError, nearest
from tasks.laws import EXTRAS, HELD_OUT_EXTRAS
from tasks.randomization import Knob, is_visual

SENTENCE, SEMANTICS = "sentence", "semantics"
"""Parts that are no knobs: whether sentences are held-out ones; which objects there are, where, and what is meant."""

_FORM = re.compile(r"^\s*(?P<base>[a-z_][a-z0-9_]*)\s*(?:\[(?P<parts>[^\[\]]*)\])?\s*$")


@dataclass(frozen=True)
class Selection:
    """What a preset's name, with or without a list of parts, stands for."""

    # The preset that is named before the bracket.
    base: str
    # The chosen knobs, in the preset's order.
    knobs: tuple[Knob, ...]
    # The chosen ones of the parts that are no knobs.
    parts: frozenset[str]

    @property
    def held_out_sentences(self) -> bool:
        """Whether instructions are taken from the held-out sentences."""
        return self.base == "held_out" and SENTENCE in self.parts


def select(
    text: str, presets: Mapping[str, tuple[Knob, ...]], *, task: str, parts: Iterable[str] = (SENTENCE,)
) -> Selection:
    """Return what `text` chooses of a task's presets and of the `parts` that are no knobs.

    In the brackets stand a group ("camera", the part of a path before its dot), a path ("cube.mass"), "visual",
    "physical" or one of `parts`. What has "-" before it is left out. Where nothing is named without a sign, all that is
    not left out is chosen; knobs that are not chosen keep their nominal values. What has "+" before it is a name of
    `EXTRAS`, whose laws come on top.
    """
    match = _FORM.match(text)
    base = match["base"] if match else text
    if match is None or base not in presets:
        raise UserError(
            f"Task {task} has no randomization preset {text!r}.{nearest(base, presets)} "
            f"Allowed: {', '.join(sorted(presets))}, each with or without parts of it in brackets, for example "
            '"train[camera, light]", "train[-image]" or "train[+lights]".'
        )
    available = presets[base]
    if match["parts"] is None:
        return Selection(base, available, frozenset(parts))
    named = [part.strip() for part in match["parts"].split(",")]
    wanted = [part for part in named if not part.startswith(("-", "+"))]
    unwanted, added = ([part[1:].strip() for part in named if part.startswith(sign)] for sign in "-+")
    _check(text, (*wanted, *unwanted), {*parts}.union(*(_names(knob.path) for knob in available)))
    _check(text, (f"+{name}" for name in added), {f"+{name}" for name in EXTRAS})
    kept = [knob for knob in available if _chosen(_names(knob.path), wanted, unwanted)]
    for name in added:
        kept += EXTRAS[name] + (HELD_OUT_EXTRAS.get(name, ()) if base == "held_out" else ())
    return Selection(base, tuple(kept), frozenset(part for part in parts if _chosen({part}, wanted, unwanted)))


def _names(path: str) -> set[str]:
    """Return the parts by which a knob can be named."""
    return {path, path.split(".")[0], "visual" if is_visual(path) else "physical"}


def _chosen(names: set[str], wanted: Iterable[str], unwanted: Iterable[str]) -> bool:
    """Return whether something that has these names is chosen: by name or because nothing is, and not left out."""
    return (not wanted or not names.isdisjoint(wanted)) and names.isdisjoint(unwanted)


def _check(text: str, parts: Iterable[str], allowed: set[str]) -> None:
    """Refuse a part that names nothing of the preset."""
    for part in parts:
        if part not in allowed:
            raise UserError(
                f"The preset {text!r} names the part {part!r}, which is not in it.{nearest(part, allowed)} "
                f"Allowed: {', '.join(sorted(allowed))}."
            )

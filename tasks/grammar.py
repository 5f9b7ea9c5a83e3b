"""Referring expressions: "the small red cube that is left of the ball", said, read back, and what they denote.

Left and right are those of the picture: the cameras stand in front of the robot and look at it, so that left is -y of
the base frame. A phrase that a person could not decide (two places nearly level, a middling size) denotes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from sim.scene import PALETTE

NOUNS: dict[str, str] = {
    "cube": "cube",
    "cylinder": "cylinder",
    "ball": "ball",
    "peg": "peg",
    "object": "",
    "block": "cube",
    "can": "cylinder",
    "sphere": "ball",
    "stick": "peg",
    "thing": "",
}
"""Noun -> the kind of thing it names; "" names every kind."""

HELD_OUT_NOUNS = ("block", "can", "sphere", "stick", "thing")
"""Nouns that no training sentence has."""

SIZES = ("small", "large")
FIRST = ("leftmost", "rightmost")
LAST = ("closest to the robot", "farthest from the robot")
RELATIONS = ("left of", "right of", "nearer to the robot than", "farther from the robot than")

MARGIN = 0.04
"""Two things closer than this along an axis are level in it, m."""

EYE = 1.06
"""Where the cameras stand, x in m, base frame: perspective decides with it what looks left of what."""


@dataclass(frozen=True)
class Thing:
    """An object as sentences speak of it."""

    # Name of its slot in the scene.
    name: str
    # "cube", "cylinder", "ball" or "peg"; a name of PALETTE; "small", "medium" or "large".
    kind: str
    color: str
    size: str
    # Position on the table (x, y), m, base frame.
    place: tuple[float, float]


@dataclass(frozen=True)
class Phrase:
    """A definite description of one thing."""

    noun: str
    color: str = ""
    size: str = ""
    # A word of FIRST or of LAST: which of several.
    rank: str = ""
    # A word of RELATIONS with what it relates to.
    relation: str = ""
    anchor: Phrase | None = None

    def __str__(self) -> str:
        """Return it in words, with its article."""
        first, last = (self.rank, "") if self.rank in FIRST else ("", self.rank)
        words = ["the", first, self.size, self.color, self.noun, last]
        if self.anchor is not None:
            words += ["that is", self.relation, str(self.anchor)]
        return " ".join(word for word in words if word)


def denoted(phrase: Phrase, things: Sequence[Thing]) -> tuple[str, ...]:
    """Return the names of the things that fit the phrase; none where a person could not decide."""
    fitting = _fitting(phrase, things)
    if phrase.anchor is not None:
        anchors = denoted(phrase.anchor, things)
        if len(anchors) != 1:
            return ()
        fitting = _related(fitting, next(t for t in things if t.name == anchors[0]), phrase.relation)
    if phrase.rank:
        fitting = _first(fitting, phrase.rank)
    return tuple(t.name for t in fitting)


def _fitting(phrase: Phrase, things: Sequence[Thing]) -> list[Thing]:
    """Return the things of the phrase's kind, colour and size; none where a middling size leaves it open."""
    kind = NOUNS[phrase.noun]
    fitting = [t for t in things if kind in ("", t.kind) and phrase.color in ("", t.color)]
    if not phrase.size:
        return fitting
    if any(t.size not in SIZES for t in fitting):
        return []
    return [t for t in fitting if t.size == phrase.size]


def _related(fitting: list[Thing], anchor: Thing, relation: str) -> list[Thing]:
    """Return the things that stand in the relation to the anchor; none where one of them looks level with it."""
    offsets = [(t, _offset(t, anchor, relation)) for t in fitting if t is not anchor]
    return [] if any(offset == 0 for _, offset in offsets) else [t for t, offset in offsets if offset > 0]


def _first(fitting: list[Thing], rank: str) -> list[Thing]:
    """Return the one of several things that clearly comes first, or none."""
    if len(fitting) < 2:
        return []
    relation = dict(zip((*FIRST, *LAST), RELATIONS, strict=True))[rank]
    return [t for t in fitting if all(_offset(t, other, relation) > 0 for other in fitting if other is not t)]


def _offset(thing: Thing, anchor: Thing, relation: str) -> float:
    """Return how far `thing` stands in the relation's direction from `anchor`, m; 0 where they look level."""
    sign = -1.0 if relation in ("left of", "nearer to the robot than") else 1.0
    (x, y), (ax, ay) = thing.place, anchor.place
    if "robot" in relation:
        return sign * (x - ax) if abs(x - ax) >= MARGIN else 0.0
    seen = y / (EYE - x) - ay / (EYE - ax)
    level = abs(y - ay) < MARGIN or abs(seen) < MARGIN or (y - ay) * seen < 0
    return 0.0 if level else sign * (y - ay)


def descriptions(things: Sequence[Thing], name: str, *, held_out: bool = False) -> list[Phrase]:
    """Return every phrase of the grammar that denotes the thing `name` and nothing else, the shortest first."""
    target = next(t for t in things if t.name == name)
    nouns = [n for n, kind in NOUNS.items() if kind in ("", target.kind) and (n in HELD_OUT_NOUNS) == held_out]
    sizes = ("", target.size) if target.size in SIZES else ("",)
    anchors, found = _anchors(things, name), []
    for noun, color, size in product(nouns, ("", target.color), sizes):
        plain = Phrase(noun, color, size)
        fitting = _fitting(plain, things)
        if fitting == [target]:
            found.append(plain)
        if target in fitting:
            found += [replace(plain, rank=r) for r in (*FIRST, *LAST) if _first(fitting, r) == [target]]
            found += [
                replace(plain, relation=relation, anchor=anchor)
                for (thing, anchor), relation in product(anchors, RELATIONS)
                if _related(fitting, thing, relation) == [target]
            ]
    return sorted(found, key=_length)


def _anchors(things: Sequence[Thing], name: str) -> list[tuple[Thing, Phrase]]:
    """Return each other thing that a plain phrase denotes, with the shortest one."""
    found = []
    for thing in things:
        if thing.name != name:
            plain = [Phrase(n, c) for n, c in product((thing.kind, "object"), ("", thing.color))]
            unique = [p for p in plain if _fitting(p, things) == [thing]]
            found += [(thing, phrase) for phrase in sorted(unique, key=_length)[:1]]
    return found


def _length(phrase: Phrase) -> tuple[int, str]:
    """Return how many attributes a phrase spends, for sorting; "object" counts as vaguer than a proper noun."""
    spent = bool(phrase.color) + bool(phrase.size) + 2 * bool(phrase.rank) + 3 * (phrase.anchor is not None)
    return spent + (NOUNS[phrase.noun] == ""), str(phrase)


_SIMPLE = (
    rf"the (?:(?P<first>{'|'.join(FIRST)}) )?(?:(?P<size>{'|'.join(SIZES)}) )?"
    rf"(?:(?P<color>{'|'.join(PALETTE)}) )?(?P<noun>{'|'.join(NOUNS)})(?: (?P<last>{'|'.join(LAST)}))?"
)
_PHRASE = re.compile(rf"(?P<head>.+?)(?: that is (?P<relation>{'|'.join(RELATIONS)}) (?P<anchor>.+))?")


def parse(text: str) -> Phrase | None:
    """Return the phrase that `text` is, or None where the grammar has no such phrase."""
    whole = _PHRASE.fullmatch(text)
    if whole is None:
        return None
    head = re.fullmatch(_SIMPLE, whole["head"])
    anchor = parse(whole["anchor"]) if whole["anchor"] else None
    if head is None or (whole["anchor"] and anchor is None):
        return None
    rank = head["first"] or head["last"] or ""
    return Phrase(head["noun"], head["color"] or "", head["size"] or "", rank, whole["relation"] or "", anchor)


def read(sentence: str, templates: Mapping[str, str]) -> tuple[str, dict[str, Phrase]] | None:
    """Return the template that a sentence was made from and the phrase of each of its roles, or None."""
    for name, template in templates.items():
        roles = re.findall(r"\{(\w+)\}", template)
        for parts in _splits(sentence, re.split(r"\{\w+\}", template)):
            phrases = [parse(part) for part in parts]
            if all(phrase is not None for phrase in phrases):
                return name, {role: p for role, p in zip(roles, phrases, strict=True) if p is not None}
    return None


def _splits(sentence: str, fixed: list[str]) -> Iterator[list[str]]:
    """Yield every way to see `sentence` as the `fixed` texts with something between each two."""
    head, *rest = fixed
    if not sentence.startswith(head):
        return
    left = sentence[len(head) :]
    if not rest:
        if not left:
            yield []
        return
    for at in range(1, len(left) + 1):
        if left.startswith(rest[0], at) and (rest[0] or len(rest) > 1 or at == len(left)):
            for tail in _splits(left[at:], rest):
                yield [left[:at], *tail]

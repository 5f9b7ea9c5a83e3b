"""What an episode means: which object is the target, what stands beside it, and the sentence that names it.

Everything is drawn jointly, so that by construction each role of a sentence denotes exactly one object: whatever shares
the target's colour and kind differs clearly in size, or, once in a while, only in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from sim.scene import PALETTE, Value
from tasks.grammar import FIRST, SIZES, Phrase, Thing, denoted, descriptions
from tasks.layout import Dice, Layout, Place, Region
from tasks.things import HALF, HEIGHTS, HELD_OUT, HELD_OUT_HALF, KINDS, PEG_THICKNESS, Body, HeldOut, half_size

TWIN_SHARE = 0.3
"""Share of the scenes with others in which one of them differs from the target in its place alone."""


@dataclass(frozen=True)
class Role:
    """A slot that every episode has and sentences may name."""

    slot: str
    kinds: tuple[str, ...]
    # Where it may stand.
    region: Region
    sizes: tuple[str, ...] = ("small", "medium", "large")
    # Radius around it that stays free for the fingers, m.
    radius: float = 0.075
    # Half the height of a cylinder, in radii.
    heights: tuple[float, float] = HEIGHTS


@dataclass(frozen=True)
class Meaning:
    """The semantic part of a draw: absolute values by path, and the objects as sentences speak of them."""

    values: Mapping[str, Value]
    things: tuple[Thing, ...]


Places = Mapping[str, Place]
Arrange = Callable[[Dice, Layout, Places], dict[str, Value]]
"""Draws what goes with the roles (a goal, a bin): dice, what is taken, places by slot -> values by path."""


@dataclass(frozen=True)
class Semantics:
    """How a task's scenes and sentences are drawn."""

    # Slots of the roles, the target first, and of the others.
    roles: tuple[Role, ...]
    others: tuple[str, ...]
    other_kinds: tuple[str, ...]
    # Where the others may stand, and how many there are: each entry is as likely.
    around: Region
    # Template id -> sentence with {slot} for each role; ids that begin with "held_out" are never trained on.
    templates: Mapping[str, str]
    # Role -> its words in a host's scene that gives it no one colour, such as a peg of two.
    in_hosts: Mapping[str, str]
    counts: tuple[int, ...] = (0, 1, 1, 2, 2, 3)
    held_out: HeldOut = HELD_OUT
    arrange: Arrange | None = field(default=None, repr=False)
    # Half the thickness of pegs, as shares of half an edge.
    peg_thickness: tuple[float, float] = PEG_THICKNESS

    def draw(self, seed: int, name: str, *, held_out: bool) -> Meaning:
        """Return the meaning of the episode `seed` of the task `name`."""
        dice, layout = Dice(seed, name, "semantics"), Layout()
        scene = _Drawn(self, dice, layout, held_out=held_out)
        for role in self.roles:
            scene.add_role(role)
        if self.arrange is not None:
            scene.values |= self.arrange(dice, layout, {thing.name: thing.place for thing in scene.things})
        count = dice.pick(self.counts)
        for k, slot in enumerate(self.others):
            twin = k == 0 and bool(self.roles) and dice.uniform() < TWIN_SHARE
            if k >= count or not scene.add_other(slot, twin=twin):
                scene.values[f"{slot}.present"] = 0.0
        scene.settle_twin()
        return Meaning(scene.values, tuple(scene.things))

    def nominal(self, values: Mapping[str, Value]) -> Meaning:
        """Return the meaning of a scene without draws: the roles alone, as `values` have them."""
        things = []
        for role in self.roles:
            x, y = cast(Place, values[f"{role.slot}.position"])
            things.append(Thing(role.slot, role.kinds[0], str(values[f"{role.slot}.color"]), "medium", (x, y)))
        return Meaning({f"{slot}.present": 0.0 for slot in self.others}, tuple(things))

    def sentence(self, meaning: Meaning, seed: int, name: str, *, held_out: bool) -> tuple[str, str]:
        """Return a sentence that means what the scene means, and the id of its template."""
        dice = Dice(seed, name, "sentence")
        template = self._template(dice, held_out=held_out)
        phrases = {}
        for role in self.roles:
            nouns = held_out and dice.uniform() < 0.5
            options = descriptions(meaning.things, role.slot, held_out=nouns)
            plain = [p for p in options if _spent(p) == _spent(options[0])]
            phrases[role.slot] = str(dice.pick(plain if dice.uniform() < 0.6 else options))
        return self.templates[template].format(**phrases), template

    def host_sentence(self, seed: int, name: str, *, held_out: bool, things: Sequence[Thing]) -> tuple[str, str]:
        """Return a sentence for a host's scene with these `things`, and the id of its template.

        Each role is called by colour and kind, and by more where that leaves it open which one is meant.
        """
        template = self._template(Dice(seed, name, "sentence"), held_out=held_out)
        phrases = {role.slot: self._in_host(role.slot, things) for role in self.roles}
        return " ".join(self.templates[template].format(**phrases).split()), template

    def _in_host(self, slot: str, things: Sequence[Thing]) -> str:
        """Return the words for a role in a host's scene; what has no one colour is called as `in_hosts` says."""
        target = next(thing for thing in things if thing.name == slot)
        if not target.color:
            return self.in_hosts[slot].format(color="").replace("  ", " ")
        options = descriptions(things, slot)
        named = [p for p in options if p.color == target.color and p.noun == target.kind]
        return str((named or options)[0])

    def _template(self, dice: Dice, *, held_out: bool) -> str:
        return dice.pick(sorted(t for t in self.templates if t.startswith("held_out") == held_out))

    def data(self) -> dict[str, Any]:
        """Return it as JSON, for the task's digest."""
        stored = asdict(self)
        del stored["arrange"]
        if self.peg_thickness == PEG_THICKNESS:  # Not every task always had it: old digests stand.
            del stored["peg_thickness"]
        for role, data in zip(self.roles, stored["roles"], strict=True):
            if role.heights == HEIGHTS:  # Not every role had them: old digests stand.
                del data["heights"]
        return {**stored, "half": HALF, "held_out_half": HELD_OUT_HALF, "twin_share": TWIN_SHARE}


def _spent(phrase: Phrase) -> int:
    """Return how many attributes a phrase spends."""
    return sum(map(bool, (phrase.color, phrase.size, phrase.rank, phrase.relation)))


class _Drawn:
    """A scene in the making."""

    def __init__(self, semantics: Semantics, dice: Dice, layout: Layout, *, held_out: bool) -> None:
        self._semantics, self._dice, self._layout, self._held_out = semantics, dice, layout, held_out
        self.values: dict[str, Value] = {}
        self.things: list[Thing] = []
        self._twin = ""

    def add_role(self, role: Role) -> None:
        """Add a thing that must be there."""
        kind, size = self._dice.pick(role.kinds), self._dice.pick(role.sizes)
        color = self._color(kind, size)
        if self._held_out and self._dice.uniform() < 0.5:
            kind, color = self._never_trained(role.kinds)
        body = self._body(kind, size, heights=role.heights)
        place = self._layout.best(self._dice, role.region, clear=role.radius, reach=body.reach)
        self._add(Thing(role.slot, kind, color, size, place), body, radius=role.radius)

    def add_other(self, slot: str, *, twin: bool) -> bool:
        """Add a thing beside the roles; return whether there was room for it."""
        kind = self._dice.pick(self._semantics.other_kinds)
        size = self._dice.pick(("small", "medium", "large"))
        color = self._color(kind, size)
        if twin:
            kind, color, size = self.things[0].kind, self.things[0].color, self.things[0].size
        body = self._body(kind, size)
        place = self._layout.find(self._dice, self._semantics.around, clear=0.045, reach=body.reach)
        if place is None:
            return False
        if twin:
            self._twin = slot
        self._add(Thing(slot, kind, color, size, place), body, radius=0.04)
        return True

    def settle_twin(self) -> None:
        """Give the target's twin another colour unless left and right tell them apart."""
        if not self._twin:
            return
        target = self.things[0]
        if any(denoted(Phrase(target.kind, target.color, rank=rank), self.things) == (target.name,) for rank in FIRST):
            return
        k = next(k for k, thing in enumerate(self.things) if thing.name == self._twin)
        twin = self.things.pop(k)
        color = self._color(twin.kind, twin.size)
        self.things.insert(k, Thing(twin.name, twin.kind, color, twin.size, twin.place))
        self.values[f"{twin.name}.color"] = color

    def _body(self, kind: str, size: str, heights: tuple[float, float] = HEIGHTS) -> Body:
        """Return the body of a thing, drawn."""
        thickness = self._semantics.peg_thickness
        held = self._held_out
        half = half_size(kind, size, self._dice, held_out=held, heights=heights, peg_thickness=thickness)
        return Body(half, self._dice.uniform(-math.pi, math.pi), long=kind == "peg")

    def _add(self, thing: Thing, body: Body, *, radius: float) -> None:
        """Write a thing's values and take its place."""
        (x, y), (dx, dy) = thing.place, body.reach
        self._layout.take((x - dx, y - dy), radius=radius, to=(x + dx, y + dy))
        self.things.append(thing)
        self.values |= {
            f"{thing.name}.present": 1.0,
            f"{thing.name}.shape": KINDS[thing.kind],
            f"{thing.name}.half_size": body.half_size,
            f"{thing.name}.position": thing.place,
            f"{thing.name}.yaw": body.yaw,
            f"{thing.name}.color": thing.color,
        }

    def _color(self, kind: str, size: str) -> str:
        """Return a colour with which a thing of this kind and size is no double of another one."""
        allowed = [c for c in PALETTE if self._held_out or self._semantics.held_out.allows(c, kind)]
        return self._dice.pick([c for c in allowed if not any(_double(kind, c, size, t) for t in self.things)])

    def _never_trained(self, kinds: Sequence[str]) -> tuple[str, str]:
        """Return a kind and a colour that training never shows together."""
        held_out = self._semantics.held_out
        pairs = [(k, c) for k in kinds for c in PALETTE if not held_out.allows(c, k)]
        free = [(k, c) for k, c in pairs if not any(_double(k, c, "medium", thing) for thing in self.things)]
        return self._dice.pick(free)


def _double(kind: str, color: str, size: str, thing: Thing) -> bool:
    """Return whether a sentence could not tell a thing of this look from `thing` by colour, kind and size."""
    clear = {size, thing.size} == set(SIZES)
    return (kind, color) == (thing.kind, thing.color) and not clear

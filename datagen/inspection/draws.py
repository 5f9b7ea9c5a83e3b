"""JSON objects that episodes carry, such as their draw: counted by component in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from datagen.coverage import Coverage, DrawValues, counted, coverage

BATCH = 20_000
"""Draws after which the bins are fixed; what comes later is counted into them."""

DRAW = "draw"
"""Name of the text of an episode that says what it drew."""


class Draws:
    """The draws seen so far, by the key of the text that holds them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._bins: dict[str, dict[str, Coverage]] = {}
        self._waiting: dict[str, DrawValues] = {}

    def add(self, key: str, draw: Mapping[str, Any]) -> None:
        """Take one draw in."""
        waiting = self._waiting.setdefault(key, DrawValues())
        waiting.add(draw)
        if waiting.count >= BATCH:
            self._count(key)

    def _count(self, key: str) -> None:
        """Count the waiting draws into bins; knobs that are new get bins of their own."""
        waiting = self._waiting.pop(key)
        bins = self._bins.setdefault(key, {})
        for knob, each in bins.items():
            new = counted(each, waiting).kept
            bins[knob] = replace(each, kept=tuple(a + b for a, b in zip(each.kept, new, strict=True)))
        for each in coverage(waiting):
            bins.setdefault(each.knob, each)

    def coverages(self) -> dict[str, tuple[Coverage, ...]]:
        """Return the coverage of every component, by the key of the text that holds it."""
        for key in list(self._waiting):
            self._count(key)
        return {key: tuple(bins[knob] for knob in sorted(bins)) for key, bins in sorted(self._bins.items())}

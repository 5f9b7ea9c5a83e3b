"""Suspicious episodes: what is wrong with one, in words, counted by kind and listed up to a limit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

KINDS = {
    "unreadable": "The record is damaged, missing, or does not hold what features.json declares",
    "incomplete": "Steps are missing, or is_first, is_last and is_terminal are wrong",
    "not finite": "A number is NaN or infinite",
    "missing sentence": "The instruction is empty or blank",
    "black image": "A picture is a single colour",
    "broken image": "A picture cannot be decoded",
    "frozen sensor": "Pictures or states stand still while the actions move",
    "outlier action": "An action is far from all others (robust z-score)",
    "bad quaternion": "An orientation does not have the norm 1",
    "constant gripper": "The gripper never moves, which it does in nearly all other episodes",
    "duplicate": "Actions and states equal those of another episode",
}
"""Kind of a finding -> what it means."""

LISTED = 200
"""Most findings of one kind that are listed; all are counted."""


@dataclass(frozen=True)
class Finding:
    """One thing that is suspicious about one episode."""

    kind: str
    split: str
    # Number of the episode in its split, in stored order.
    episode: int
    # What is wrong, in words.
    reason: str


class Findings:
    """The findings so far: at most `LISTED` of each kind are kept, all are counted."""

    def __init__(self) -> None:
        """Begin with none."""
        self._listed: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """Count one finding and list it while there is room."""
        if finding.kind not in KINDS:
            raise ValueError(f"{finding.kind!r} is no kind of finding")
        if self.counts[finding.kind] < LISTED:
            self._listed.append(finding)
        self.counts[finding.kind] += 1

    def listed(self) -> tuple[Finding, ...]:
        """Return the findings by kind, split and episode."""
        order = list(KINDS)
        return tuple(sorted(self._listed, key=lambda f: (order.index(f.kind), f.split, f.episode, f.reason)))

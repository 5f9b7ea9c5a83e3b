"""Language grounding: whether the sentence decides which of several objects the hand goes for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.events import HOLD_STEPS, MOVED, holds
from bench.intervals import mcnemar, wilson
from bench.paired import difference
from bench.record import Record
from sim.episodes import Episode

ARMS = {
    "grounding_right": "names the target",
    "grounding_swapped": "names another object",
    "grounding_blank": "says nothing",
}
"""Arms on the same scenes, and what their sentence does."""


def acted_on(episode: Episode) -> str:
    """Return the object that the hand went for: the first one held, else the first one moved 3 cm; "" for none."""
    tcp = np.asarray(episode.traces["tcp"], dtype=np.float64)
    objects = {
        name.removeprefix("object/"): np.asarray(trace, dtype=np.float64)
        for name, trace in episode.traces.items()
        if name.startswith("object/")
    }
    held = {name: found[0].begin for name, poses in objects.items() if (found := holds(tcp, poses))}
    moved = {name: step for name, poses in objects.items() if (step := _first_moved(poses)) is not None}
    first = held or moved
    return min(first, key=lambda name: first[name]) if first else ""


def _first_moved(poses: NDArray[np.float64]) -> int | None:
    """Return the step from which an object (T, 7) was away from its start for a while, m; None for never."""
    away = np.linalg.norm(poses[:, :3] - poses[:1, :3], axis=1) > MOVED
    lasting = np.flatnonzero(np.convolve(away, np.ones(HOLD_STEPS), mode="valid") >= HOLD_STEPS)
    return int(lasting[0]) if len(lasting) else None


def objects_in(record: Mapping[str, Any]) -> int:
    """Return how many objects the scene of a record has."""
    shown = [value for path, value in record["draw"].items() if path.endswith(".present")]
    return sum(float(value) >= 0.5 for value in shown)


def grounding(records: Sequence[Record]) -> dict[str, Any] | None:
    """Return what one policy did with right, swapped and blank sentences in one place; None where nothing was asked.

    Only scenes with two objects or more count. "followed" is the share of episodes in which the hand went for what the
    sentence names; chance is the mean of 1 / objects. "effect" compares, on the same seeds, how often the hand went for
    an object when the sentence named it and when it named another one.
    """
    asked = [r for r in records if r.get("axis") in ARMS and r["error"] is None and objects_in(r) > 1]
    arms = {arm: {r["seed"]: r for r in asked if r["axis"] == arm} for arm in ARMS}
    if not arms["grounding_right"] or not arms["grounding_swapped"]:
        return None
    return {
        "chance": float(np.mean([1 / objects_in(r) for r in arms["grounding_right"].values()])),
        "arms": [_arm(arm, list(found.values())) for arm, found in arms.items() if found],
        "effect": _effect(arms["grounding_right"], arms["grounding_swapped"]),
    }


def _arm(arm: str, records: Sequence[Record]) -> dict[str, Any]:
    """Return the rates of one arm."""
    n = len(records)
    named = [r["draw"]["sentence.names"] for r in records]
    hands = [r["acted_on"] for r in records]
    rates = {
        "target": sum(hand == r["target"] for hand, r in zip(hands, records, strict=True)),
        "nothing": sum(not hand for hand in hands),
    }
    if all(named):
        rates["followed"] = sum(hand == name for hand, name in zip(hands, named, strict=True))
    return {"arm": arm, "says": ARMS[arm], "n": n, **{name: asdict(wilson(k, n)) for name, k in rates.items()}}


def _effect(right: Mapping[int, Record], swapped: Mapping[int, Record]) -> dict[str, Any] | None:
    """Return how much oftener the hand went for the other object when the sentence named it, paired by seed."""
    seeds = sorted(right.keys() & swapped.keys())
    if not seeds:
        return None
    names = {seed: swapped[seed]["draw"]["sentence.names"] for seed in seeds}
    told = [swapped[seed]["acted_on"] == names[seed] for seed in seeds]
    untold = [right[seed]["acted_on"] == names[seed] for seed in seeds]
    test = mcnemar(told, untold)
    return {"difference": asdict(difference(test.only_first, test.only_second, test.n)), "p": test.p, "n": test.n}

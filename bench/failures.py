"""Why an episode failed: one mode for each, decided by measured events in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.events import Events
from bench.intervals import wilson
from sim.episodes import Episode

MODES: Mapping[str, str] = {
    "unsafe stop": "the environment ended the episode, or the object fell off the table or went out of reach",
    "wrong object": "another object was held, or the gripper closed on one",
    "dropped": "the object was held and fell out of the hand",
    "put down": "the object was held and let go where it does not count",
    "knocked over": "another object was moved or tilted",
    "never reached": "the hand never came close to the object",
    "missed grasp": "the gripper closed near the object and held nothing",
    "timeout": "none of these before the time was over",
}
"""The modes of failure in the order in which they are looked for; thresholds stand in `bench.events`."""


def failure(episode: Episode, events: Events, *, success: bool) -> dict[str, Any] | None:
    """Return {"mode", "distance" m, "object"} of an episode that ran; None for one in which our task succeeded."""
    if success:
        return None
    mode = next(mode for mode in MODES if _happened(mode, episode, events))
    distance = {"never reached": events.closest, "missed grasp": events.closed_at}.get(mode)
    others = {"wrong object": events.held_others or (events.closed_on,), "knocked over": events.knocked}.get(mode)
    return {"mode": mode, "distance": distance, "object": ", ".join(map(str, others)) if others else None}


def _happened(mode: str, episode: Episode, events: Events) -> bool:
    """Return whether `mode` fits, given that none of those before it does."""
    grasps = "grasp" in episode.terms or bool(events.holds)
    held_to_the_end = bool(events.holds) and events.holds[-1].end == episode.length
    return {
        "unsafe stop": episode.terminated or events.lost,
        "wrong object": bool(events.held_others) or (grasps and not events.holds and events.closed_on is not None),
        "dropped": events.drops > 0 and not held_to_the_end,
        "put down": bool(events.holds) and not held_to_the_end,
        "knocked over": bool(events.knocked),
        "never reached": events.reached is None and events.closest is not None,
        "missed grasp": grasps and not events.holds and events.closed_at is not None,
        "timeout": True,
    }[mode]


def progress(events: Events, *, once: bool, success: bool) -> float:
    """Return how far an episode came, in quarters: object reached, held, success at some step, success at the end.

    A success counts as having passed what comes before it: a pushed object is never held.
    """
    passed = (events.reached is not None or once, bool(events.holds) or once, once, success)
    return sum(passed) / len(passed)


def told(found: Mapping[str, Any]) -> str:
    """Return a failure in words: "missed grasp by 2.3 cm"."""
    text = str(found["mode"])
    if found.get("distance") is not None:
        link = "by" if text == "missed grasp" else "- closest"
        text += f" {link} {100 * found['distance']:.1f} cm"
    return f"{text} ({found['object']})" if found.get("object") else text


def counted(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each mode that occurred in judged records, its count, its rate with interval and its seeds."""
    modes: dict[str, list[int]] = {}
    for record in records:
        if record.get("failure"):
            modes.setdefault(record["failure"]["mode"], []).append(record["seed"])
    ordered = sorted(modes, key=lambda mode: (-len(modes[mode]), mode))
    return [
        {"mode": mode, "rate": asdict(wilson(len(modes[mode]), len(records))), "seeds": modes[mode]} for mode in ordered
    ]

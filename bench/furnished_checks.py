"""Checks of slots and fixtures: shapes that differ between worlds, objects that come and go, a door to open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from bench.checklist import Finding
from bench.engine_checks import Pair, below, largest
from bench.engine_scene import FURNISHED, HOLD, furnish, host, repeated
from sim.engine import Engine
from sim.state import Array
from tasks.doors import handle
from tasks.open_door import OPEN

APPROACH, CLOSE, PULL = 30, 6, 44
"""Control steps of a scripted opening of the door: to the handle, closing the fingers, pulling."""


def slots(pair: Pair) -> Iterator[Finding]:
    """Change the shapes and the presence of objects from episode to episode, and let them lie for a second."""
    for episode in range(2):
        for each in (pair.engine, pair.reference):
            furnish(each, episode=episode)
        ours, theirs = pair.engine.state(), pair.reference.state()
        same = all(
            name in ours.shapes
            and np.array_equal(host(ours.shapes[name]), host(theirs.shapes[name]))
            and np.array_equal(host(ours.present[name]), host(theirs.present[name]))
            for name in theirs.shapes
        )
        yield Finding(f"shapes and presence, episode {episode}", "MuJoCo's", "the same" if same else "others", same)
    start = {name: host(pose) for name, pose in pair.engine.state().poses.items()}
    yield below("places", max(largest(start[name], theirs.poses[name]) for name in start), 1e-4, "m")
    repeated(pair.engine, HOLD, steps=20)
    state = pair.engine.state()
    for name in start:
        there = host(theirs.present[name]) > 0.5
        height = host(state.poses[name])[:, 2] - host(state.table) - host(state.half_sizes[name])[:, 2]
        yield below(f"{name} above the table", float(np.abs(height[there]).max()), 1e-3, "m")
        if not there.all():
            moved = np.abs(host(state.poses[name]) - start[name])[~there]
            yield below(f"{name} where it is absent", float(moved.max()), 1e-6, "m")


def fixtures(pair: Pair) -> Iterator[Finding]:
    """Compare what the state says of fixtures and their joints, after an episode before it had them elsewhere."""
    for each in (pair.engine, pair.reference):
        furnish(each, episode=0)
        furnish(each, episode=1)
    ours, theirs = pair.engine.state(), pair.reference.state()
    for fixture in FURNISHED.fixtures:
        yield _told(fixture.name, ours.fixtures.get(fixture.name), theirs.fixtures[fixture.name])
        if fixture.joint is not None:
            yield _told(f"{fixture.name}'s joint", ours.joints.get(fixture.name), theirs.joints[fixture.name])


def _told(what: str, ours: Array | None, theirs: Array) -> Finding:
    if ours is None:
        return Finding(what, "told", "the state does not tell it", False)
    return below(what, largest(ours, theirs), 1e-4, "m or rad")


def door(pair: Pair) -> Iterator[Finding]:
    """Open the door by its handle: contact with a part that moves, its weight and its friction."""
    if "door" not in pair.engine.state().joints:
        yield Finding("", "opened", "the state does not tell the door's joint", False)
        return
    angles = [_pulled(each) for each in (pair.engine, pair.reference)]
    got = f"{angles[0].min():.2f} to {angles[0].max():.2f} rad"
    opened = bool(angles[0].min() > OPEN)
    yield Finding("", f"more than {OPEN:g} rad; MuJoCo {angles[1].min():.2f} rad", got, opened)


def _pulled(engine: Engine) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the door's angle (n,), rad, after the hand has gone to the handle, closed and pulled."""
    engine.reset(np.arange(engine.n), [FURNISHED.nominal()] * engine.n)
    for step in range(APPROACH + CLOSE + PULL):
        state = engine.state()
        way = host(handle(state)) - host(state.tcp)[:, :3]
        pulling = step >= APPROACH + CLOSE
        if not pulling:
            beside = np.linalg.norm(way[:, :2], axis=1) > 0.012
            way[:, 2] += np.where(beside, 0.08, 0.0)
        actions = np.tile(HOLD, (engine.n, 1))
        actions[:, :3] = np.clip(way, -0.02, 0.02) if pulling else np.clip(way, -0.03, 0.03)
        actions[:, 0] -= 0.02 if pulling else 0.0
        actions[:, 6] = float(step <= APPROACH)
        engine.step(actions)
    return host(engine.state().joints["door"])


FURNISHED_CHECKS: dict[str, Callable[[Pair], Iterable[Finding]]] = {
    "slots": slots,
    "fixtures": fixtures,
    "door": door,
}
"""Name -> check, in the order in which they run."""

"""Which worlds cannot be trusted any more, told from their state alone, in whatever simulator."""

from __future__ import annotations

from collections.abc import Iterator

from array_api_compat import array_namespace

from sim.state import Array, State

REACH = 1.6
"""A TCP farther than this from the robot's base, m, is not on the arm: it reaches 1.2 m."""

OBJECT_BOX = 5.0
"""Objects stay within this distance of the base along every axis, m. A thrown one ends its episode long before."""

OBJECT_SPEED = 20.0
"""An object faster than this, m/s, was shot out by the solver; the arm moves at 2 m/s."""

DEPTH = 0.02
"""Two shapes that overlap by more than this, m, have passed into each other; a hard press reaches 5 mm."""


def faults(state: State) -> Iterator[tuple[str, Array]]:
    """Yield what can be wrong with a world, and which worlds (n,) bool it is wrong with; weightiest first.

    Objects that an episode does without are not looked at.
    """
    xp = array_namespace(state.q)
    moving = [state.q, state.qd, state.tcp, *state.poses.values(), *state.twists.values()]
    yield "the state is not finite", ~xp.all(xp.isfinite(xp.concat(moving, axis=1)), axis=1)
    reach = xp.sqrt(xp.sum(state.tcp[:, :3] ** 2, axis=1))
    yield f"the TCP is more than {REACH:g} m from the base", reach > REACH
    for name, pose in state.poses.items():
        there = state.present.get(name, xp.ones_like(state.time) > 0)
        far = xp.any(xp.abs(pose[:, :3]) > OBJECT_BOX, axis=1)
        yield f"{name} is more than {OBJECT_BOX:g} m away", far & there
        speed = xp.sqrt(xp.sum(state.twists[name][:, :3] ** 2, axis=1))
        yield f"{name} is faster than {OBJECT_SPEED:g} m/s", (speed > OBJECT_SPEED) & there
    if state.depth is not None:
        yield f"two shapes overlap by more than {1e3 * DEPTH:g} mm", state.depth > DEPTH

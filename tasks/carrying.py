"""Putting something somewhere: reward terms that lead from the grasp over the way there to letting go."""

from __future__ import annotations

from array_api_compat import array_namespace

from sim.state import Array, State
from tasks import parts

WEIGHTS = {
    **parts.GRASP_WEIGHTS,
    "lift": 2.0,
    "carry": 3.0,
    "place": 3.0,
    "release": 3.0,
    "success": 4.0,
    **parts.MOTION_WEIGHTS,
}


def carry_terms(
    state: State, name: str, *, goal: Array, clear: Array, placed: Array, grip: Array | None = None
) -> dict[str, Array]:
    """Return terms for carrying the object `name` to `goal` (n, 3), the place of its centre.

    Its underside has to be `clear` (n,) m above the table on the way; `placed` (n,) bool says that it is where it
    belongs. Then the terms of the grasp are full whatever the hand does, so that letting go costs nothing. It is
    grasped at `grip` (n, 3), by default at its centre.
    """
    xp = array_namespace(state.q)
    way = goal - state.poses[name][:, :3]
    there = parts.flag(placed, state.q)
    up = xp.clip(parts.height(state, name) / clear, 0.0, 1.0)
    gap, grasped = parts.spare(state, name), parts.grasp_terms(state, name, grip=grip)
    terms = {key: xp.maximum(value, there) for key, value in grasped.items()}
    return {
        **terms,
        "lift": xp.maximum(up, there),
        "carry": xp.maximum(up * (1 - xp.tanh(6 * parts.length(way[:, :2]))), there),
        "place": xp.maximum(xp.exp(-((parts.length(way) / 0.03) ** 2)), there),
        "release": there * xp.clip(0.2 + gap / 0.02, 0.0, 1.0),
    }

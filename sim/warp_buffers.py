"""How much room the contacts and constraints of n worlds need in MuJoCo Warp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

CONTACTS_PER_PAIR, PER_ROUND_PAIR = 8, 16
"""Largest number of contacts between two boxes, and between two shapes of which one may be a cylinder with its foot."""

CONVEX_PER_PAIR = 3
"""Largest number of pairs that two cylinders, each with a box inside, are to the general convex collider."""

SHARE, CROWD = 128, 64
"""Contacts per world where more than CROWD worlds share the buffer: they never all need what one world may."""

_BOX, _CYLINDER = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_CYLINDER)


@dataclass(frozen=True)
class Room:
    """Sizes of the buffers."""

    # Contacts of all worlds together.
    contacts: int
    # Pairs of all worlds together that the general convex collider may look at.
    convex: int
    # Constraint rows of one world; a world that needs more counts as diverged.
    rows: int


def room(wide: mujoco.MjModel, lean: mujoco.MjModel, *, n: int) -> Room:
    """Return the room for n worlds of a scene whose objects have one geom per shape in `wide` and one in `lean`."""
    found = [_convex(*pair) for pair in _pairs_of_kinds(wide, lean)]
    strict = max(CONTACTS_PER_PAIR, sum(PER_ROUND_PAIR if convex else CONTACTS_PER_PAIR for convex in found))
    contacts = min(strict * n, max(SHARE * n, strict * CROWD))
    return Room(contacts, min(contacts, max(1, CONVEX_PER_PAIR * sum(found) * n)), _row_limit(lean, strict))


def touching_pairs(model: mujoco.MjModel) -> Iterator[tuple[int, int]]:
    """Yield the pairs of geoms that may touch."""
    kinds, affinities, bodies = model.geom_contype, model.geom_conaffinity, model.geom_bodyid
    first, second = np.triu_indices(model.ngeom, k=1)
    touching = (kinds[first] & affinities[second]) | (kinds[second] & affinities[first])
    apart = model.body_weldid[bodies[first]] != model.body_weldid[bodies[second]]
    chosen = touching.astype(bool) & apart
    yield from zip(first[chosen].tolist(), second[chosen].tolist(), strict=True)


def _pairs_of_kinds(wide: mujoco.MjModel, lean: mujoco.MjModel) -> Iterator[tuple[set[int], set[int]]]:
    """Yield what two geoms of `lean` that may touch can be: a geom alone in its body may have any of its shapes."""
    types = {body: set(wide.geom_type[wide.geom_bodyid == body].tolist()) for body in range(wide.nbody)}

    def kinds(geom: int) -> set[int]:
        body = int(lean.geom_bodyid[geom])
        alone = np.count_nonzero(lean.geom_bodyid == body) == 1
        return types[body] if alone else {int(lean.geom_type[geom])}

    yield from ((kinds(a), kinds(b)) for a, b in touching_pairs(lean))


def _convex(a: set[int], b: set[int]) -> bool:
    return (_CYLINDER in a and bool(b & {_BOX, _CYLINDER})) or (_CYLINDER in b and bool(a & {_BOX, _CYLINDER}))


def _row_limit(model: mujoco.MjModel, contacts: int) -> int:
    """Return the room for constraint rows of a world that can have so many `contacts`.

    Four rows per contact; of the contacts that are possible a world never has them all at once. A lift needs 48. A
    world that needs more than there is room for counts as diverged.
    """
    free = int(np.count_nonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE))
    own = int(np.count_nonzero(model.jnt_limited)) + int(np.count_nonzero(model.dof_frictionloss))
    return min(4 * contacts + own, 64 + 96 * max(free, 1) + own)

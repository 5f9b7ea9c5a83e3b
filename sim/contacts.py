"""What touches what, and how hard: shared by everything that has a collision shape."""

from __future__ import annotations

import mujoco

from sim.fixtures import Shape, Vec

# Collision bits. The arm's links have no collision shapes; fixtures count as table.
TABLE, OBJECT, HAND = 1, 2, 4

SOLREF = (0.01, 1.0)
"""Time constant (s) and damping ratio of contacts: two physics steps, the stiffest that stays stable."""

SOLIMP = (0.95, 0.99, 0.001, 0.5, 2.0)
"""Contact impedance: hard enough that a grasped cube creeps by half a millimetre in two seconds."""

GEOM_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}


def size_triple(shape: Shape, half_size: Vec) -> list[float]:
    """Return MuJoCo's size triple for a shape's half extents."""
    x, _, z = half_size
    return {"box": list(half_size), "cylinder": [x, z, 0.0], "sphere": [x, 0.0, 0.0]}[shape]

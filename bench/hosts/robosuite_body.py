"""A free object of a robosuite environment: where it lies in the compiled model, and what it is at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.hosts.robosuite_design import Vector
from tasks.things import KINDS


@dataclass
class Body:
    """A free object in the model: ids, and what it is at the moment."""

    body: int
    qpos: int
    qvel: int
    solid: NDArray[np.intp]
    visible: NDArray[np.intp]
    kind: str
    color: str
    half_size: Vector

    @property
    def shape(self) -> str:
        """Its shape, a name of `SHAPES`."""
        return KINDS[self.kind]


def body_of(model: Any, made: Any, kind: str, color: str) -> Body:
    """Return where an object's model lies in the compiled one."""
    solid = np.array([model.geom_name2id(name) for name in made.contact_geoms], dtype=np.intp)
    visible = np.array([model.geom_name2id(name) for name in made.visual_geoms], dtype=np.intp)
    joint = made.joints[0]
    return Body(
        body=model.body_name2id(made.root_body),
        qpos=model.get_joint_qpos_addr(joint)[0],
        qvel=model.get_joint_qvel_addr(joint)[0],
        solid=solid,
        visible=visible,
        kind=kind,
        color=color,
        half_size=_half_size(model._model, int(solid[0])),
    )


def _half_size(model: mujoco.MjModel, geom: int) -> Vector:
    """Return the half extents (3,) of a geom, m; of a mesh those of the box around it."""
    x, y, _ = size = model.geom_size[geom]
    half = {
        mujoco.mjtGeom.mjGEOM_BOX: size,
        mujoco.mjtGeom.mjGEOM_CYLINDER: [x, x, y],
        mujoco.mjtGeom.mjGEOM_SPHERE: [x, x, x],
    }.get(mujoco.mjtGeom(model.geom_type[geom]), model.geom_aabb[geom, 3:])
    return np.array(half, dtype=np.float64)

"""Slots in MuJoCo Warp: worlds share a geom's type, so an object has one geom per shape, and each world wears one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.contacts import GEOM_TYPES, size_triple
from sim.engine import Values
from sim.errors import UserError
from sim.scene import Object, Scene

FAR = -1e6
"""Margin, m, of a shape that a world does without: no broad-phase test finds it near anything."""

FOOT = 0.9
"""Half the diagonal of a cylinder's foot, a square prism of its height, in radii.

Between the flat end of a cylinder and a box MuJoCo finds several contacts, MuJoCo Warp one, on which nothing stands.
The prism inside gives the others; it is thinner, so that the cylinder's side is felt before it.
"""


def foot_name(item: Object) -> str:
    """Return the name of the prism inside the cylinder that `item` may be."""
    return f"{item.name}/foot"


def shape_name(item: Object, shape: str) -> str:
    """Return the name of the geom that is `item` in that shape."""
    return item.name if shape == item.shape else f"{item.name}/{shape}"


def add_shapes(spec: mujoco.MjSpec, scene: Scene) -> mujoco.MjSpec:
    """Give every object of a spec of `scene` one geom per shape that it may have; bodies and joints stay."""
    for item in scene.objects:
        own = spec.geom(item.name)
        for shape in item.shapes:
            if shape == item.shape:
                continue
            spec.body(item.name).add_geom(
                name=shape_name(item, shape),
                type=GEOM_TYPES[shape],
                size=size_triple(shape, item.half_size),
                mass=0,
                group=own.group,
                **_contact_of(own),
            )
    return spec


def _contact_of(geom: mujoco.MjsGeom) -> dict[str, Any]:
    """Return what decides how a geom touches others, for one that stands in for it."""
    return {name: getattr(geom, name) for name in ("contype", "conaffinity", "friction", "solref", "solimp")}


def add_feet(spec: mujoco.MjSpec, scene: Scene) -> mujoco.MjSpec:
    """Give every object that may be a cylinder the prism inside."""
    for item in scene.objects:
        if "cylinder" not in {item.shape, *item.shapes}:
            continue
        own = spec.geom(item.name)
        spec.body(item.name).add_geom(
            name=foot_name(item),
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=item.half_size,
            mass=0,
            **_contact_of(own),
        )
    return spec


class Slots:
    """How the geoms of a model with one per shape (wide) follow from those of one with one per object (lean)."""

    def __init__(
        self, wide: mujoco.MjModel, lean: mujoco.MjModel, scene: Scene, *, others: Mapping[str, str] | None = None
    ) -> None:
        """Compare the two compiled models; `others` are further geoms of the wide one, each with the one it follows."""
        owner = {shape_name(item, shape): item.name for item in scene.objects for shape in item.shapes}
        owner |= {name: item.name for item in scene.objects for name in (item.name, foot_name(item))}
        names, followed = [wide.geom(i).name for i in range(wide.ngeom)], owner | dict(others or {})
        # The lean geom of every wide one, and whether it is one of an object's shapes.
        self.source = np.array([lean.geom(followed.get(name, name)).id for name in names])
        self._slot = np.array([name in owner for name in names])
        feet = {foot_name(item) for item in scene.objects}
        self._feet = np.array([name in feet for name in names])
        # The shape of the lean geom with which the wide one is worn.
        self._types = np.where(self._feet, GEOM_TYPES["cylinder"], wide.geom_type)

    def worn(self, lean: mujoco.MjModel, there: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which wide geoms (ngeom,) a world has, given its lean model and which lean geoms are `there`."""
        same = lean.geom_type[self.source] == self._types
        return np.asarray(~self._slot | (same & there[self.source]))

    def row(self, name: str, lean: mujoco.MjModel) -> NDArray[np.float64]:
        """Return what the field `name` of the wide model is in the world that `lean` was written for."""
        value = getattr(lean, name)
        if not name.startswith("geom_"):
            return np.asarray(value)
        if name == "geom_margin":
            return np.where(self.worn(lean, lean.geom_contype != 0), value[self.source], FAR)
        found = np.asarray(value[self.source])
        if name == "geom_size":
            radius, height = found[self._feet, 0], found[self._feet, 1]
            found[self._feet] = np.stack([radius * FOOT / np.sqrt(2), radius * FOOT / np.sqrt(2), height], axis=1)
        return found

    @staticmethod
    def refuse_others(scene: Scene, values: Values) -> None:
        """Refuse a shape that was not built for its object."""
        for item in scene.objects:
            shape = values[f"{item.name}.shape"]
            if shape != item.shape and shape not in item.shapes:
                raise UserError(
                    f"{item.name}.shape = {shape!r}: the engine 'mujoco_warp' builds only the shapes that the scene "
                    f"names for an object, here {', '.join(item.shapes)}. Use --engine mujoco, or add it to them."
                )

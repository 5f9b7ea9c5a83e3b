"""What MuJoCo Warp's ray tracer is given to draw: the visual model, and the values of one world's look in its terms."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.appearance import HIDDEN, SURFACES, VISIBLE, build_visual_spec
from sim.scene import Scene
from sim.warp_shapes import Slots, add_shapes

PER_WORLD = (
    "body_pos",
    "body_quat",
    "geom_pos",
    "geom_size",
    "geom_rgba",
    "geom_matid",
    "mat_rgba",
    "cam_pos",
    "cam_quat",
    "cam_fovy",
    "light_pos",
    "light_dir",
    "light_castshadow",
)
"""Fields of the model in which a frame's values are."""

LIFT = 2e-4
"""Height of a textured surface above its box, m: the ray tracer knows textures of planes and meshes only."""

AWAY = (0.0, 0.0, -1000.0)
"""Where a shape is, in its body's frame, m, that a world does without."""

FILL = 14.0
"""Distance, m, of four lights that throw no shadow: at this one a fifth of a light arrives, as ambient light does."""

PLANES = {"table": "table_top", "floor": "floor"}
"""Surface -> the box on which it lies."""


class LookRows:
    """The rows of PER_WORLD of one world, from the lean visual model that its look was written into."""

    def __init__(self, lean: mujoco.MjModel, wide: mujoco.MjModel, scene: Scene) -> None:
        """Look up the ids of two compiled models: with one geom per object (lean) and one per shape (wide)."""
        self._slots = Slots(wide, lean, scene, others={f"{box}/plane": box for box in PLANES.values()})
        self._boxes = {name: lean.geom(box).id for name, box in PLANES.items()}
        self._planes = {name: wide.geom(f"{box}/plane").id for name, box in PLANES.items()}
        self._lights = {name: getattr(wide, name)[lean.nlight :].copy() for name in PER_WORLD if "light_" in name}
        names = [lean.material(i).name for i in range(lean.nmat)]
        self._materials = {s: [i for i, name in enumerate(names) if name.startswith(f"{s}_")] for s in SURFACES}

    def row(self, name: str, lean: mujoco.MjModel, tint: NDArray[np.float64]) -> Any:
        """Return the field `name` of the wide model."""
        found = np.array(getattr(lean, name)[self._slots.source] if name.startswith("geom_") else getattr(lean, name))
        if name.startswith("light_"):
            found = np.concatenate([found, self._lights[name]])
        if name == "mat_rgba":
            for surface, materials in self._materials.items():
                found[materials, :3] = lean.geom_rgba[self._boxes[surface], :3] * tint
        if name == "geom_rgba":
            found[:, :3] *= tint
        if name == "geom_matid":
            # A material's own colour would hide a geom's.
            found[:] = -1
            for surface, plane in self._planes.items():
                found[plane] = lean.geom_matid[self._boxes[surface]]
        if name in ("geom_pos", "geom_size"):
            gone = ~self._slots.worn(lean, lean.geom_group != HIDDEN)
            found[gone] = AWAY if name == "geom_pos" else 0.0
            for surface, plane in self._planes.items():
                if name == "geom_pos":
                    found[plane, 2] += lean.geom_size[self._boxes[surface], 2] + LIFT
        return found


def visual_spec(scene: Scene) -> mujoco.MjSpec:
    """Return the visual spec with a geom per shape of an object, and a plane on top of every textured box."""
    spec = add_shapes(build_visual_spec(scene, lights=1), scene)
    # Warp does not know the mid-phase, and nothing collides here.
    spec.option.disableflags &= ~mujoco.mjtDisableBit.mjDSBL_MIDPHASE.value
    for x, y in ((FILL, 0), (-FILL, 0), (0, FILL), (0, -FILL)):
        spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_POINT, pos=[x, y, 0], castshadow=False)
    for surface in (material for material in spec.materials if material.name.startswith(tuple(PLANES))):
        # A uniform texture lies twice as densely on a plane of Warp's as on a box of MuJoCo's.
        surface.texrepeat = [0.5 * count for count in surface.texrepeat]
    for box in PLANES.values():
        under = spec.geom(box)
        body = spec.body("table") if box == "table_top" else spec.worldbody
        body.add_geom(
            name=f"{box}/plane",
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=under.size,
            pos=under.pos,
            group=VISIBLE,
            contype=0,
            conaffinity=0,
            material=under.material,
        )
    return spec


def plain_type(value: NDArray[Any]) -> type:
    """Return the type in which the device holds such numbers."""
    return {"f": np.float32, "b": np.bool_, "u": np.bool_}.get(value.dtype.kind, np.int32)

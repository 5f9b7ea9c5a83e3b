"""One MuJoCo Warp model with a row per world: what the CPU engine writes into n models is written into n rows."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray

from sim.engine import Values
from sim.errors import UserError
from sim.mjcf import build_spec
from sim.model_values import ModelWriter
from sim.scene import Scene
from sim.warp_shapes import Slots, add_feet, add_shapes

PER_WORLD = (
    "body_pos",
    "body_quat",
    "body_ipos",
    "body_iquat",
    "body_mass",
    "body_inertia",
    "body_subtreemass",
    "body_invweight0",
    "body_gravcomp",
    "jnt_pos",
    "jnt_axis",
    "jnt_range",
    "jnt_stiffness",
    "dof_damping",
    "dof_frictionloss",
    "dof_armature",
    "dof_invweight0",
    "geom_pos",
    "geom_quat",
    "geom_size",
    "geom_aabb",
    "geom_rbound",
    "geom_margin",
    "geom_friction",
    "geom_solref",
    "geom_solimp",
    "site_pos",
    "site_quat",
    "actuator_gainprm",
    "actuator_biasprm",
    "actuator_forcerange",
)
"""Fields of MjModel that may differ from world to world: Warp gives each a leading axis of worlds."""

BY_MARGIN = ("geom_type", "geom_contype", "geom_conaffinity")
"""What worlds share and yet differ in: each shape of an object is a geom of its own, and unused ones have no margin."""


def compiled(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Return a compiled spec with the options that MuJoCo Warp knows.

    Warp has no mid-phase to switch off. Its sensors are off: contact forces are read from the solver. Without the
    general convex collider, boxes collide by MuJoCo's own box test, as on the CPU: a pad that is not quite parallel to
    a face touches it at four points, not at two.
    """
    model = spec.compile()
    flags = mujoco.mjtDisableBit
    model.opt.disableflags &= ~flags.mjDSBL_MIDPHASE.value
    model.opt.disableflags |= flags.mjDSBL_NATIVECCD.value | flags.mjDSBL_SENSOR.value
    return model


class WarpModel:
    """The device's model of n worlds, and how a world's values get into its row.

    Each world is written by the CPU engine's own writer into one scratch model, whose derived constants MuJoCo
    recomputes; the row is a copy of that, rounded to float32.
    """

    def __init__(self, scene: Scene, *, n: int, device: str) -> None:
        """Put the scene on `device` and give every field of PER_WORLD one row per world."""
        self.base, self.lean = (
            compiled(add_feet(add_shapes(build_spec(scene), scene), scene)),
            compiled(build_spec(scene)),
        )
        self._scene, self._scratch = scene, copy.copy(self.lean)
        self._slots = Slots(self.base, self.lean, scene)
        self._writer = ModelWriter(self.lean, scene)
        self._data = mujoco.MjData(self.lean)
        self.model = mjw.put_model(self.base)
        self._device = device
        self._fields = {name: getattr(self.base, name) for name in PER_WORLD if getattr(self.base, name).size}
        self._rows = {name: self._expand(self.model, name, value, n) for name, value in self._fields.items()}
        mean = np.array([self.base.stat.meaninertia])
        self._mean_inertia = self._expand(self.model.stat, "meaninertia", mean[0], n)
        # Worlds without a NaN in their row: Warp clamps forces, and a NaN would come out as the largest one.
        self.finite = torch.ones(n, dtype=torch.bool, device=device)
        used = {field.name for field in dataclasses.fields(mjw.Model)} - {*PER_WORLD, *BY_MARGIN}
        self._shared = [name for name in sorted(used) if _is_numbers(getattr(self.lean, name, None))]
        self.static = np.flatnonzero(self.base.body_weldid[self.base.geom_bodyid] == 0)

    def _expand(self, owner: object, name: str, value: NDArray[np.float64], n: int) -> torch.Tensor:
        """Replace a shared field by one with n rows; return the tensor that shares its memory."""
        kind = getattr(owner, name).dtype
        rows = torch.as_tensor(np.asarray(value, dtype=np.float32), device=self._device)
        rows = rows.repeat(n, *([1] * rows.ndim)).contiguous()
        shaped = rows.reshape(n, len(value), 2, 3) if name == "geom_aabb" else rows
        setattr(owner, name, wp.from_torch(shaped, dtype=kind))
        return rows

    def write(self, ids: NDArray[np.intp], values: Sequence[Values]) -> NDArray[np.float32]:
        """Write the values of world `ids[k]`.

        Returns positions (k, s, 3) and orientations (k, s, 9) of the s geoms that never move, side by side (k, s, 12).
        """
        rows = {name: np.empty((len(ids), *value.shape), dtype=np.float32) for name, value in self._fields.items()}
        mean = np.empty(len(ids), dtype=np.float32)
        still = np.empty((len(ids), len(self.static), 12), dtype=np.float32)
        model, places = self._scratch, self._slots.source[self.static]
        for k, chosen in enumerate(values):
            if k == 0 or chosen is not values[k - 1]:
                self._slots.refuse_others(self._scene, chosen)
                self._writer.write(model, chosen)
                mujoco.mj_kinematics(model, self._data)
            for name, row in rows.items():
                row[k] = self._slots.row(name, model)
            mean[k] = model.stat.meaninertia
            still[k, :, :3], still[k, :, 3:] = self._data.geom_xpos[places], self._data.geom_xmat[places]
        if len(ids):
            self._refuse_others()
            self._put(ids, rows, mean)
        return still

    def _put(self, ids: NDArray[np.intp], rows: dict[str, NDArray[np.float32]], mean: NDArray[np.float32]) -> None:
        """Copy the rows of the worlds `ids` to the device."""
        index = torch.as_tensor(ids, device=self._device)
        for name, row in rows.items():
            self._rows[name][index] = torch.as_tensor(row, device=self._device)
        self._mean_inertia[index] = torch.as_tensor(mean, device=self._device)
        whole = np.all([np.isfinite(row).reshape(len(ids), -1).all(axis=1) for row in rows.values()], axis=0)
        self.finite[index] = torch.as_tensor(whole, device=self._device)

    def _refuse_others(self) -> None:
        """Refuse a knob that changes what all worlds share; the last world written stands for all."""
        for name in self._shared:
            if not np.array_equal(getattr(self._scratch, name), getattr(self.lean, name)):
                raise UserError(
                    f"The engine 'mujoco_warp' cannot vary {name} from world to world, and this scene randomizes it. "
                    f"It can vary: {', '.join(PER_WORLD)}. Use --engine mujoco, or leave that knob out of the preset."
                )

    def row(self, name: str, world: int) -> NDArray[np.float32]:
        """Return what the device holds of the field `name` in one world."""
        rows = self._mean_inertia if name == "meaninertia" else self._rows[name]
        return np.asarray(rows[world].cpu().numpy())


def _is_numbers(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.size > 0 and value.dtype.kind in "fiub"

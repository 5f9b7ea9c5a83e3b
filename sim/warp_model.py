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

PER_WORLD = (
    "body_pos",
    "body_quat",
    "body_ipos",
    "body_iquat",
    "body_mass",
    "body_inertia",
    "body_subtreemass",
    "body_invweight0",
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

CONTACTS_PER_PAIR = 8
"""Largest number of contacts between two geoms (two boxes)."""


def base_model(scene: Scene) -> mujoco.MjModel:
    """Return the compiled scene with the options that MuJoCo Warp knows.

    Warp has no mid-phase to switch off. Its sensors are off: contact forces are read from the solver. Without the
    general convex collider, boxes collide by MuJoCo's own box test, as on the CPU: a pad that is not quite parallel to
    a face touches it at four points, not at two.
    """
    model = build_spec(scene).compile()
    flags = mujoco.mjtDisableBit
    model.opt.disableflags &= ~flags.mjDSBL_MIDPHASE.value
    model.opt.disableflags |= flags.mjDSBL_NATIVECCD.value | flags.mjDSBL_SENSOR.value
    return model


class WarpModel:
    """The device's model of n worlds, and how a world's values get into its row.

    Each world is written by the CPU engine's own writer into one scratch model, whose derived constants MuJoCo
    recomputes; the row is a copy of that, rounded to float32.
    """

    def __init__(self, base: mujoco.MjModel, scene: Scene, *, n: int, device: str) -> None:
        """Put `base` on `device` and give every field of PER_WORLD one row per world."""
        self.base, self._scratch = base, copy.copy(base)
        self._writer = ModelWriter(base, scene)
        self._data = mujoco.MjData(base)
        self.model = mjw.put_model(base)
        self._device = device
        self._fields = {name: getattr(base, name) for name in PER_WORLD if getattr(base, name).size}
        self._rows = {name: self._expand(self.model, name, value, n) for name, value in self._fields.items()}
        mean = np.array([base.stat.meaninertia])
        self._mean_inertia = self._expand(self.model.stat, "meaninertia", mean[0], n)
        # Worlds without a NaN in their row: Warp clamps forces, and a NaN would come out as the largest one.
        self.finite = torch.ones(n, dtype=torch.bool, device=device)
        used = {field.name for field in dataclasses.fields(mjw.Model)}
        self._shared = [name for name in sorted(used - set(PER_WORLD)) if _is_numbers(getattr(base, name, None))]
        self.static = np.flatnonzero(base.body_weldid[base.geom_bodyid] == 0)

    def _expand(self, owner: object, name: str, value: NDArray[np.float64], n: int) -> torch.Tensor:
        """Replace a shared field by one with n rows; return the tensor that shares its memory."""
        kind = getattr(owner, name).dtype
        rows = torch.as_tensor(np.asarray(value, dtype=np.float32), device=self._device)
        rows = rows.repeat(n, *([1] * rows.ndim)).contiguous()
        shaped = rows.reshape(n, len(value), 2, 3) if name == "geom_aabb" else rows
        setattr(owner, name, wp.from_torch(shaped, dtype=kind))
        return rows

    def write(self, ids: NDArray[np.intp], values: Sequence[Values | None]) -> NDArray[np.float32]:
        """Write the values of world `ids[k]`; None stands for the compiled scene.

        Returns positions (k, s, 3) and orientations (k, s, 9) of the s geoms that never move, side by side (k, s, 12).
        """
        rows = {name: np.empty((len(ids), *value.shape), dtype=np.float32) for name, value in self._fields.items()}
        mean = np.empty(len(ids), dtype=np.float32)
        still = np.empty((len(ids), len(self.static), 12), dtype=np.float32)
        for k, chosen in enumerate(values):
            model = self.base
            if chosen is not None:
                model = self._scratch
                self._writer.write(model, chosen)
            for name, row in rows.items():
                row[k] = getattr(model, name)
            mean[k] = model.stat.meaninertia
            mujoco.mj_kinematics(model, self._data)
            still[k, :, :3], still[k, :, 3:] = self._data.geom_xpos[self.static], self._data.geom_xmat[self.static]
        if len(ids):
            self._refuse_others()
            index = torch.as_tensor(ids, device=self._device)
            for name, row in rows.items():
                self._rows[name][index] = torch.as_tensor(row, device=self._device)
            self._mean_inertia[index] = torch.as_tensor(mean, device=self._device)
            whole = np.all([np.isfinite(row).reshape(len(ids), -1).all(axis=1) for row in rows.values()], axis=0)
            self.finite[index] = torch.as_tensor(whole, device=self._device)
        return still

    def _refuse_others(self) -> None:
        """Refuse a knob that changes what all worlds share; the last world written stands for all."""
        for name in self._shared:
            if not np.array_equal(getattr(self._scratch, name), getattr(self.base, name)):
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


def most_contacts(model: mujoco.MjModel) -> int:
    """Return the largest number of contacts that one world can have: eight per pair of geoms that may touch."""
    kinds, affinities, bodies = model.geom_contype, model.geom_conaffinity, model.geom_bodyid
    first, second = np.triu_indices(model.ngeom, k=1)
    touching = (kinds[first] & affinities[second]) | (kinds[second] & affinities[first])
    apart = model.body_weldid[bodies[first]] != model.body_weldid[bodies[second]]
    return CONTACTS_PER_PAIR * max(1, int(np.count_nonzero(touching.astype(bool) & apart)))

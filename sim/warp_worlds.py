"""The physics of n worlds in MuJoCo Warp: buffers shared with torch, one control step as one CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray

from sim.engine import Values
from sim.errors import UserError
from sim.scene import Scene
from sim.warp_buffers import room
from sim.warp_device import torch_stream
from sim.warp_kernels import damp_free_joints, forget_first, look_at_contacts, note_fill
from sim.warp_model import WarpModel

TOUCHED = ("hand", "left_finger", "right_finger")
"""Bodies whose contact forces are added up."""


class WarpWorlds:
    """Model, data and launches.

    Its tensors time (n,), qpos (n, nq), qvel (n, nv) and depth (n,), the deepest overlap of the last control step, are
    Warp's own memory.
    """

    def __init__(self, scene: Scene, *, n: int, device: str) -> None:
        """Allocate everything on `device`."""
        self._device, self._substeps = device, scene.substeps
        with wp.ScopedDevice(device):
            self._model = WarpModel(scene, n=n, device=device)
            base = self._model.base
            space = room(base, self._model.lean, n=n)
            self._contacts, self._rows = space.contacts, space.rows
            self._data = mjw.make_data(base, nworld=n, naconmax=space.contacts, naccdmax=space.convex, njmax=space.rows)
            self._most_contacts, self._most_rows = wp.zeros(1, dtype=wp.int32), wp.zeros(n, dtype=wp.int32)
            self._deepest, self._first = wp.zeros(n, dtype=wp.float32), wp.zeros(n, dtype=wp.int32)
            free = base.jnt_dofadr[base.jnt_type == int(mjw.JointType.FREE)]
            self._free: Any = wp.array(free, dtype=wp.int32)
        callbacks = self._model.model.callback
        callbacks.contactfilter, callbacks.passive = self._look, self._damp
        data = self._data
        self.depth, self._starting = wp.to_torch(self._deepest), wp.to_torch(self._first)
        self.time, self.qpos, self.qvel = wp.to_torch(data.time), wp.to_torch(data.qpos), wp.to_torch(data.qvel)
        self._control, self._acceleration = wp.to_torch(data.ctrl), wp.to_torch(data.qacc)
        self._warmstart = wp.to_torch(data.qacc_warmstart)
        self._still = wp.to_torch(data.geom_xpos), wp.to_torch(data.geom_xmat).reshape(n, base.ngeom, 9)
        self._fill = wp.to_torch(self._most_contacts), wp.to_torch(self._most_rows)
        touched = np.isin(base.geom_bodyid, [base.body(name).id for name in TOUCHED])
        self._touched = torch.as_tensor(touched, device=device)
        self._graph: Any = None

    def _look(self, model: Any, data: Any) -> None:
        """Judge the contacts of one physics step; MuJoCo Warp calls this between collision and constraints."""
        look_at_contacts(model, data, self._deepest)

    def _damp(self, model: Any, data: Any) -> None:
        """Complete the passive forces of one physics step; MuJoCo Warp calls this once it has its own."""
        damp_free_joints(model, data, self._free)

    def write(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Write masses, sizes, frictions ... of world `ids[k]`, and where its immovable shapes stand.

        Warp computes the poses of shapes that never move once, for all worlds alike: here the table's height differs.
        """
        still = torch.as_tensor(self._model.write(ids, values), device=self._device)
        worlds = torch.as_tensor(np.asarray(ids, dtype=np.int64), device=self._device)[:, None]
        geoms = torch.as_tensor(self._model.static, device=self._device)[None]
        positions, orientations = self._still
        positions[worlds, geoms], orientations[worlds, geoms] = still[..., :3], still[..., 3:]

    def place(self, index: torch.Tensor, positions: torch.Tensor) -> None:
        """Put the worlds `index` (k,) at rest at `positions` (k, nq), their clocks at zero."""
        self.qpos[index] = positions
        for tensor in (self.qvel, self.time, self._acceleration):
            tensor[index] = 0.0
        self._starting[index] = 1

    def prepare(self) -> None:
        """Compile the kernels and, on a GPU, record one control step as a graph. The worlds' states are lost."""
        with wp.ScopedDevice(self._device):
            self._launch()
            if self._device != "cpu" and wp.is_mempool_enabled(self._device):
                wp.synchronize_device(self._device)
                with wp.ScopedCapture() as capture:
                    self._launch()
                self._graph = capture.graph

    def _launch(self) -> None:
        """Launch the physics steps of one control step."""
        data = self._data
        for substep in range(self._substeps):
            if substep == self._substeps - 1:
                forget_first(self._first, self._deepest)
            mjw.step(self._model.model, data)
            note_fill(data, self._most_contacts, self._most_rows)

    def advance(self, controls: torch.Tensor) -> None:
        """Run one control step under `controls` (n, nu)."""
        self._control.copy_(controls)
        # The solver starts from rest, as in the CPU engine: a step depends on state and action alone.
        self._warmstart.zero_()
        for most in (*self._fill, self.depth):
            most.zero_()
        with torch_stream(self._device) as stream:
            if self._graph is None:
                self._launch()
            else:
                wp.capture_launch(self._graph, stream=stream)
        self._starting.zero_()

    def within(self, bound: float) -> torch.Tensor:
        """Return which worlds (n,) stayed finite and below `bound`, and within the room for constraints.

        Contacts share one buffer: where it was too small, nobody can tell which worlds lost some, and all is refused.
        """
        contacts, rows = self._fill
        if int(contacts[0]) > self._contacts:
            raise UserError(
                f"The contact buffer of the engine 'mujoco_warp' overflowed: {int(contacts[0])} contacts, room for "
                f"{self._contacts} in {len(rows)} worlds. What was computed since is wrong. Use --engine mujoco."
            )
        sound: torch.Tensor = self._model.finite & (rows <= self._rows)
        for values in (self.qpos, self.qvel, self._acceleration):
            # A comparison with NaN is false.
            sound = sound & (torch.abs(values) < bound).all(dim=1)
        return sound

    def contact_force(self) -> torch.Tensor:
        """Return the sum of the normal contact forces on hand and fingers (n,), N, in the last physics step."""
        contact, force = self._data.contact, wp.to_torch(self._data.efc.force)
        worlds, geoms = wp.to_torch(contact.worldid).long(), wp.to_torch(contact.geom).long()
        rows = wp.to_torch(contact.efc_address).long()
        live = torch.arange(len(worlds), device=self._device) < wp.to_torch(self._data.nacon)
        counted = live & self._touched[torch.where(live[:, None], geoms, 0)].any(dim=1)
        valid = counted[:, None] & (rows >= 0)
        worlds = torch.where(live, worlds, 0)
        # In a pyramidal cone the normal force is the sum over the cone's edges.
        edges = torch.where(valid, force[worlds[:, None], torch.where(valid, rows, 0)], 0.0)
        total = torch.zeros(len(self.time), device=self._device)
        return total.index_add(0, worlds, edges.sum(dim=1).clamp(min=0.0))

    def most_rows(self) -> int:
        """Return the largest number of constraint rows that a world needed in the last control step."""
        return int(self._fill[1].max())

    def close(self) -> None:
        """Let go of the device's memory."""
        self._graph = None
        for name in ("_model", "_data"):
            if hasattr(self, name):
                delattr(self, name)

"""Frames of many worlds at once by MuJoCo Warp's own ray tracer: the scene and knobs of `sim.renderer`.

Its shading is its own: one light, full or in shadow, and an ambient term that it chooses. Colour and strength of
`light.diffuse` and `light.ambient` tint all surfaces alike; a second light is refused. There are no highlights. All
else is as the values say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray

from sim.appearance import CAMERAS, VISIBLE, build_visual_spec
from sim.engine import Values
from sim.errors import UserError, unknown
from sim.image_effects import apply_effects
from sim.looks import Look
from sim.scene import Scene
from sim.warp_device import chosen_device, torch_stream
from sim.warp_looks import PER_WORLD, LookRows, plain_type, visual_spec

SIZE = 256


class WarpRenderer:
    """Draws up to n worlds of one scene in one go, on the device."""

    def __init__(self, scene: Scene, *, size: int = SIZE, n: int = 1, device: str | None = None) -> None:
        """Build the visual model for frames of size x size pixels of n worlds."""
        if not 16 <= size <= 4096:
            raise UserError(f"size = {size} is not allowed for a frame. Allowed: 16 to 4096 pixels.")
        self.size, self.n, self.device = size, n, chosen_device(device)
        self._nominal = scene.nominal()
        self._lean, self._wide = build_visual_spec(scene, lights=1).compile(), visual_spec(scene).compile()
        self._look, self._slots = Look(scene, self._lean), LookRows(self._lean, self._wide, scene)
        self._host = mujoco.MjData(self._wide)
        with torch_stream(self.device):
            self._model, self._data = mjw.put_model(self._wide), mjw.make_data(self._wide, nworld=n, nconmax=1, njmax=1)
            self._rows = {name: self._expand(name) for name in PER_WORLD}
        self._qpos = wp.to_torch(self._data.qpos)
        still = self._wide.body_weldid[self._wide.geom_bodyid] == 0
        self._static = np.flatnonzero(still)
        self._still = (
            wp.to_torch(self._data.geom_xpos),
            wp.to_torch(self._data.geom_xmat).reshape(n, self._wide.ngeom, 9),
        )
        self._contexts: dict[str, Any] = {}

    def _expand(self, name: str) -> torch.Tensor:
        """Replace a shared field of the device's model by one with a row per world; return the rows."""
        kind = getattr(self._model, name).dtype
        value = getattr(self._wide, name)
        rows = torch.as_tensor(np.asarray(value, dtype=plain_type(value)), device=self.device)
        rows = rows.repeat(self.n, *([1] * value.ndim)).contiguous()
        setattr(self._model, name, wp.from_torch(rows, dtype=kind))
        return rows

    def _context(self, camera: str) -> Any:
        """Return the render context of one camera, made when it is first asked for."""
        if camera not in CAMERAS:
            raise unknown("camera", camera, CAMERAS)
        if camera not in self._contexts:
            active = [self._wide.camera(i).name == camera for i in range(self._wide.ncam)]
            with torch_stream(self.device):
                self._contexts[camera] = mjw.create_render_context(
                    self._wide,
                    nworld=self.n,
                    cam_res=(self.size, self.size),
                    render_rgb=True,
                    render_depth=False,
                    render_seg=False,
                    use_shadows=True,
                    enabled_geom_groups=[VISIBLE],
                    cam_active=active,
                    # The field of view differs from world to world.
                    use_precomputed_rays=False,
                )
        return self._contexts[camera]

    def dress(self, values: Sequence[Values]) -> None:
        """Give the first worlds the looks of `values`; a path that one lacks is nominal."""
        count = len(values)
        if not 1 <= count <= self.n:
            raise UserError(f"{count} frames were asked for; this renderer was made for 1 to {self.n} worlds.")
        rows: dict[str, NDArray[Any]] = {
            name: np.empty((count, *getattr(self._wide, name).shape), dtype=plain_type(getattr(self._wide, name)))
            for name in PER_WORLD
        }
        still = np.empty((count, len(self._static), 12), dtype=np.float32)
        for k, chosen in enumerate(values):
            self._look.apply(chosen)
            tint = self._tint(chosen)
            for name, row in rows.items():
                row[k] = self._slots.row(name, self._lean, tint)
                getattr(self._wide, name)[:] = row[k]
            mujoco.mj_kinematics(self._wide, self._host)
            still[k, :, :3] = self._host.geom_xpos[self._static]
            still[k, :, 3:] = self._host.geom_xmat[self._static]
        for name, row in rows.items():
            self._rows[name][:count] = torch.as_tensor(row, device=self.device)
        placed, (positions, turns) = torch.as_tensor(still, device=self.device), self._still
        geoms = torch.as_tensor(self._static, device=self.device)
        positions[:count, geoms], turns[:count, geoms] = placed[..., :3], placed[..., 3:]

    def _tint(self, values: Values) -> NDArray[np.float64]:
        """Return the light's colour and strength against the nominal one, (3,)."""
        paths = ("light.diffuse", "light.ambient")
        shown = sum(self._look.vector(path, values) for path in paths)
        return np.asarray(shown / sum(np.asarray(self._nominal[path]) for path in paths))

    def draw(self, positions: NDArray[np.float64] | torch.Tensor, *, camera: str = "image") -> torch.Tensor:
        """Return frames (k, size, size, 3), uint8, on the device, of positions (k, nq), looking as last dressed."""
        count = len(positions)
        self._qpos[:count] = torch.as_tensor(positions, dtype=torch.float32, device=self.device)
        context = self._context(camera)
        with torch_stream(self.device):
            mjw.kinematics(self._model, self._data)
            mjw.camlight(self._model, self._data)
            mjw.refit_bvh(self._model, self._data, context)
            mjw.render(self._model, self._data, context)
        packed = wp.to_torch(context.rgb_data.view(wp.int32))[:count].reshape(count, self.size, self.size)
        # 0xAARRGGBB.
        return torch.stack([(packed >> shift) & 255 for shift in (16, 8, 0)], dim=-1).to(torch.uint8)

    def render_many(
        self,
        positions: NDArray[np.float64],
        values: Sequence[Values],
        *,
        camera: str = "image",
        noise_seeds: Iterable[int | None] | None = None,
    ) -> NDArray[np.uint8]:
        """Return the frames (k, size, size, 3) of positions (k, nq), each with its values and its noise seed."""
        seeds: list[int | None] = [None] * len(positions) if noise_seeds is None else list(noise_seeds)
        self.dress(values)
        frames = self.draw(positions, camera=camera).cpu().numpy()
        finished = [self._finished(*each) for each in zip(frames, values, seeds, strict=True)]
        return np.stack(finished)

    def render(
        self, positions: NDArray[np.float64], values: Values, *, camera: str = "image", noise_seed: int | None = None
    ) -> NDArray[np.uint8]:
        """Return one frame (size, size, 3), RGB, row 0 on top, of positions (nq,)."""
        frames = self.render_many(positions[None], [values], camera=camera, noise_seeds=[noise_seed])
        return np.asarray(frames[0])

    def _finished(self, frame: NDArray[np.uint8], values: Values, seed: int | None) -> NDArray[np.uint8]:
        """Return the frame with exposure, blur, sensor noise and JPEG compression."""
        return apply_effects(frame, seed=seed, **self._look.effects(values))

    def close(self) -> None:
        """Let go of the device's memory."""
        self._contexts.clear()

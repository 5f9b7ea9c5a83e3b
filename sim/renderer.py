"""Frames of a scene from recorded positions: kinematics only, straight into MuJoCo's renderer."""

from __future__ import annotations

import atexit
import importlib
import weakref
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.appearance import CAMERAS, HIDDEN, build_visual_spec
from sim.engine import Values
from sim.errors import UserError, unknown
from sim.gl import make_context, uncollected
from sim.image_effects import apply_effects
from sim.looks import Look, seen_at
from sim.scene import Scene

SIZE = 256
"""Width and height of a frame in the canonical convention, pixels."""

_MAX_GEOMS = 100


class Renderer:
    """Draws frames of one scene; holds an OpenGL context, so it belongs to one thread and wants to be closed.

    The same positions and values give the same bytes in every process of a machine.
    """

    def __init__(self, scene: Scene, *, size: int = SIZE) -> None:
        """Compile the visual model and open a context for frames of size x size pixels."""
        if not 16 <= size <= 4096:
            raise UserError(f"size = {size} is not allowed for a frame. Allowed: 16 to 4096 pixels.")
        self.size = size
        spec = build_visual_spec(scene)
        spec.visual.global_.offwidth = spec.visual.global_.offheight = size
        self.model = spec.compile()
        self._data = mujoco.MjData(self.model)
        self._look = Look(scene, self.model)
        self._gl = make_context(size, size)
        self._target = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._target)
        self._viewport = mujoco.MjrRect(0, 0, size, size)
        self._scene = mujoco.MjvScene(self.model, maxgeom=_MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[HIDDEN] = 0
        self._option.sitegroup[:] = 0
        self._pixels = np.zeros((size, size, 3), np.uint8)
        self._free = weakref.finalize(self, _free, self._gl, self._target)
        # At exit it must come before EGL is shut down, whose own hook stands since the context was made: last in, first
        # out. A finalizer's hook may be older than that.
        self._free.atexit = False
        atexit.register(self._free)
        self._cameras = {name: self._fixed(name) for name in CAMERAS}

    def render(
        self,
        positions: NDArray[np.float64],
        values: Values,
        *,
        camera: str = "image",
        noise_seed: int | None = None,
    ) -> NDArray[np.uint8]:
        """Return the frame (size, size, 3), RGB, row 0 on top, of generalized positions (nq,) under `values`.

        `camera` is "image" or "wrist_image". Values that are not given are nominal; without `noise_seed` there is no
        sensor noise.
        """
        if camera not in self._cameras:
            raise unknown("camera", camera, self._cameras)
        if np.shape(positions) != (self.model.nq,):
            raise UserError(f"positions has the shape {np.shape(positions)}; this scene needs ({self.model.nq},).")
        if not self._free.alive:
            raise UserError("This renderer is closed. Make a new one.")
        self._look.apply(values)
        self._draw(positions, self._cameras[camera])
        return apply_effects(self._pixels[::-1].copy(), seed=noise_seed, **self._look.effects(values))

    def project(self, points: NDArray[np.float64], *, camera: str = "image") -> NDArray[np.float64]:
        """Return where points (k, 3), m, base frame, lie in the frame of `camera` that was rendered last, (k, 2).

        x to the right and y down, as shares of the frame, which covers 0 to 1; what lies behind the camera is NaN.
        """
        number, data = self._cameras[camera].fixedcamid, self._data
        rotation = data.cam_xmat[number].reshape(3, 3)
        return seen_at(points, eye=data.cam_xpos[number], rotation=rotation, fovy=self.model.cam_fovy[number])

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
        if not len(positions) == len(values) == len(seeds):
            raise UserError(
                f"render_many was given {len(positions)} positions, {len(values)} values and {len(seeds)} noise seeds; "
                "it needs equally many."
            )
        frames = np.empty((len(positions), self.size, self.size, 3), np.uint8)
        for k, (row, look, seed) in enumerate(zip(positions, values, seeds, strict=True)):
            frames[k] = self.render(row, look, camera=camera, noise_seed=seed)
        return frames

    def close(self) -> None:
        """Free the OpenGL context; the renderer cannot draw afterwards. Forgotten, it happens at exit."""
        self._free()
        atexit.unregister(self._free)

    def __enter__(self) -> Renderer:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _fixed(self, name: str) -> mujoco.MjvCamera:
        camera = mujoco.MjvCamera()
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self.model.camera(name).id
        return camera

    def _draw(self, positions: NDArray[np.float64], camera: mujoco.MjvCamera) -> None:
        """Draw into the pixel buffer, bottom row first."""
        model, data = self.model, self._data
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, self._option, None, camera, everything, self._scene)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = int(model.light_castshadow.any())
        with uncollected():
            self._gl.make_current()
            mujoco.mjr_render(self._viewport, self._scene, self._target)
            mujoco.mjr_readPixels(self._pixels, None, self._viewport, self._target)


def _free(context: Any, target: mujoco.MjrContext) -> None:
    failed: type[Exception] = importlib.import_module("OpenGL.error").Error
    try:
        context.make_current()
    except failed:
        # At exit, another library has shut down the display that all share: there is nothing left to free.
        context._context = None
        return
    target.free()
    context.free()

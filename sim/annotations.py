"""What a simulated camera knows beside the colours: distance and instance of every pixel, boxes of objects."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.fixture_geoms import MOVING
from sim.instances import BACKGROUND, ROBOT, TABLE, Annotations, instance_names
from sim.renderer import SIZE, Renderer
from sim.scene import Scene


class AnnotatedRenderer(Renderer):
    """A renderer whose frames come with annotations; the frames are those of `Renderer`, byte for byte."""

    def __init__(self, scene: Scene, *, size: int = SIZE) -> None:
        """Prepare as `Renderer` does, and look up which instance each geom belongs to."""
        super().__init__(scene, size=size)
        # From the far plane at 0 to the near one at 1, where floats are dense: millimetres hold over the whole room.
        self._target.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
        self._ids, self._raw = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
        names = instance_names(scene)
        bodies = [self.model.body(int(i)).name.removesuffix(MOVING) for i in self.model.geom_bodyid]
        fixed = {"world": BACKGROUND, "table": TABLE}
        self._instances = np.array([fixed.get(body, names.get(body, ROBOT)) for body in bodies], np.uint8)

    def annotations(self) -> Annotations:
        """Return depth and instances of the frame that was rendered last."""
        flags = self._scene.flags.copy()
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = 1
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        mujoco.mjr_render(self._viewport, self._scene, self._target)
        mujoco.mjr_readPixels(self._ids, self._raw, self._viewport, self._target)
        self._scene.flags[:] = flags
        near, far = (x * self.model.stat.extent for x in (self.model.vis.map.znear, self.model.vis.map.zfar))
        metres = far * near / (self._raw[::-1].astype(np.float64) * (far - near) + near)
        return Annotations(np.clip(np.rint(metres * 1000), 0, 65535).astype(np.uint16), self._instance_image())

    def _instance_image(self) -> NDArray[np.uint8]:
        """Return the instances from the colours that the drawn geoms were numbered with."""
        low, middle, high = (self._ids[::-1, :, k].astype(np.uint32) for k in range(3))
        drawn = self._scene.geoms[: self._scene.ngeom]
        table = np.zeros(self._scene.ngeom + 1, np.uint8)
        for geom in drawn:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = self._instances[geom.objid]
        found: NDArray[np.uint8] = table[low | middle << 8 | high << 16]
        return found

"""What of a robosuite scene can be made to look otherwise: table, light and camera."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.hosts import views
from bench.hosts.changes import Turned
from bench.hosts.robosuite_scene import RobosuiteScene
from sim.textures import SIZE, pixels

Indices = NDArray[np.intp]

TABLE_TEXTURE, TABLE_MATERIAL = "textable", "table_mat"
"""Texture and material that robosuite's table arena keeps for randomization."""

TABLE_GREY = (0.75, 0.75, 0.75)
"""What counts as the table's own colour where its texture alone is changed: about that of robosuite's ceramic."""


def paint(model: mujoco.MjModel, geoms: Indices, color: tuple[float, ...]) -> None:
    """Give geoms one colour without texture."""
    model.geom_matid[geoms] = -1
    model.geom_rgba[geoms, :3] = np.clip(color, 0.0, 1.0)


class Looks:
    """Changes the looks of one scene; whoever asks for changes puts the model back before."""

    def __init__(self, scene: RobosuiteScene) -> None:
        """Put the camera where the design wants it, and remember its view."""
        self._scene = scene
        self._model: mujoco.MjModel = scene.env.sim.model._model
        if scene.design.view is not None:
            scene.set_view(scene.design.view)
        self._nominal_view = self.view = scene.view()
        of_table = np.isin(self._model.geom_bodyid, [self._model.body(name).id for name in scene.design.tables])
        boxes = self._model.geom_type == mujoco.mjtGeom.mjGEOM_BOX
        self._table = np.flatnonzero(of_table & boxes & (self._model.geom_contype == 0))

    def restore(self) -> None:
        """Look from where the view is nominal; the model is put back by whoever asked for the changes."""
        self.view = self._nominal_view

    def apply(self, turned: Turned) -> None:
        """Make the changes of looks."""
        self._change_table(turned)
        self._change_light(turned)
        if views.KNOBS & turned.changes.keys():
            self.view = views.changed_view(self._nominal_view, turned)
            self._scene.set_view(self.view)

    def _change_table(self, turned: Turned) -> None:
        """Change colour and texture of the table; with a texture and no colour it has the texture's own grey."""
        if (surface := turned.surface("table", TABLE_GREY)) is None:
            return
        name, color = surface
        paint(self._model, self._table, color)
        if name != "plain":
            self._model.geom_matid[self._table] = self._model.material(TABLE_MATERIAL).id
            self._write_texture(name)

    def _write_texture(self, name: str) -> None:
        """Fill the arena's spare texture with ours."""
        texture = self._model.texture(TABLE_TEXTURE).id
        height, width = int(self._model.tex_height[texture]), int(self._model.tex_width[texture])
        picture = np.tile(pixels(name), (height // SIZE, width // SIZE, 1))
        start = int(self._model.tex_adr[texture])
        self._model.tex_data[start : start + picture.size] = picture.ravel()
        self._scene.stale_textures.add(texture)

    def _change_light(self, turned: Turned) -> None:
        """Change direction, colour and strength of the arena's light; the headlight goes with it."""
        model, headlight = self._model, self._model.vis.headlight
        if "light.direction" in turned.changes:
            model.light_dir[0] = turned.direction("light.direction", tuple(model.light_dir[0].tolist()))
        if "light.diffuse" in turned.changes:
            before = model.light_diffuse[0].copy()
            after = np.clip(turned.value("light.diffuse", tuple(before.tolist())), 0.0, 1.0)
            model.light_diffuse[0] = after
            headlight.diffuse[:] = headlight.diffuse * after / before
        if "light.ambient" in turned.changes:
            ambient = turned.value("light.ambient", tuple(headlight.ambient.tolist()))
            headlight.ambient[:] = np.clip(ambient, 0.0, 1.0)

"""What of a robosuite scene can be made to look otherwise: table, light and camera."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.hosts import views
from bench.hosts.changes import applied
from bench.hosts.robosuite_scene import RobosuiteScene
from bench.variation import Changes
from sim.errors import UserError, unknown
from sim.scene import Value, rgb
from sim.textures import SIZE, TEXTURES, pixels

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
        self._values = dict[str, Value]()

    def restore(self) -> None:
        """Look from where the view is nominal; the model is put back by whoever asked for the changes."""
        self.view = self._nominal_view

    def apply(self, changes: Changes) -> dict[str, Value]:
        """Make the changes of looks and return their absolute values by path."""
        self._values = {}
        self._change_table(changes)
        self._change_light(changes)
        if views.KNOBS & changes.keys():
            self.view, values = views.changed_view(self._nominal_view, changes)
            self._scene.set_view(self.view)
            self._values |= values
        return self._values

    def _value(self, path: str, nominal: Value, changes: Changes) -> Any:
        """Return the value of `path` after its change, and remember it."""
        self._values[path] = applied(path, nominal, changes[path])
        return self._values[path]

    def _change_table(self, changes: Changes) -> None:
        """Change colour and texture of the table; with a texture and no colour it has the texture's own grey."""
        if not {"table.color", "table.texture"} & changes.keys():
            return
        model = self._model
        name = self._value("table.texture", "plain", changes) if "table.texture" in changes else "plain"
        if name not in ("plain", *TEXTURES):
            raise unknown("texture for table.texture", str(name), ("plain", *TEXTURES))
        color = self._value("table.color", TABLE_GREY, changes) if "table.color" in changes else TABLE_GREY
        paint(model, self._table, rgb(color))
        if name != "plain":
            self._model.geom_matid[self._table] = self._model.material(TABLE_MATERIAL).id
            self._write_texture(str(name))

    def _write_texture(self, name: str) -> None:
        """Fill the arena's spare texture with ours."""
        texture = self._model.texture(TABLE_TEXTURE).id
        height, width = int(self._model.tex_height[texture]), int(self._model.tex_width[texture])
        picture = np.tile(pixels(name), (height // SIZE, width // SIZE, 1))
        start = int(self._model.tex_adr[texture])
        self._model.tex_data[start : start + picture.size] = picture.ravel()
        self._scene.stale_textures.add(texture)

    def _change_light(self, changes: Changes) -> None:
        """Change direction, colour and strength of the arena's light; the headlight goes with it."""
        model, headlight = self._model, self._model.vis.headlight
        if "light.direction" in changes:
            way = np.array(self._value("light.direction", tuple(model.light_dir[0].tolist()), changes))
            if np.linalg.norm(way) < 1e-6:
                raise UserError("light.direction is (0, 0, 0): a light needs a direction, for example (-0.3, 0.2, -1).")
            model.light_dir[0] = way / np.linalg.norm(way)
        if "light.diffuse" in changes:
            before = model.light_diffuse[0].copy()
            after = np.clip(self._value("light.diffuse", tuple(before.tolist()), changes), 0.0, 1.0)
            model.light_diffuse[0] = after
            headlight.diffuse[:] = headlight.diffuse * after / before
        if "light.ambient" in changes:
            ambient = self._value("light.ambient", tuple(headlight.ambient.tolist()), changes)
            headlight.ambient[:] = np.clip(ambient, 0.0, 1.0)

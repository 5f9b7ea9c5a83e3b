"""What of a ManiSkill scene can be made to look otherwise: table, lights and camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.hosts import views
from bench.hosts.changes import applied
from bench.hosts.maniskill_make import CAMERA, pose_of
from bench.hosts.maniskill_scene import ManiskillScene
from bench.hosts.views import View
from bench.variation import Changes
from sim.errors import UserError, unknown
from sim.scene import Value, rgb
from sim.textures import TEXTURES, pixels

TABLE_WOOD = (0.75, 0.5, 0.35)
"""What counts as the table's own colour where its texture alone is changed: about that of ManiSkill's wood."""


class Looks:
    """Changes the looks of one scene. Each change leaves behind how to undo it."""

    def __init__(self, scene: ManiskillScene) -> None:
        """Look up the lights."""
        import sapien

        self._scene, self._env, self.view = scene, scene.env, scene.design.view
        self._undo: list[Callable[[], None]] = []
        self._values: dict[str, Value] = {}
        kind = sapien.render.RenderDirectionalLightComponent
        found = [entity.find_component_by_type(kind) for entity in scene.stage.entities]
        self._lights = [light for light in found if light is not None]

    def restore(self) -> None:
        """Undo every change, the last one first."""
        while self._undo:
            self._undo.pop()()

    def apply(self, changes: Changes) -> dict[str, Value]:
        """Make the changes of looks and return their absolute values by path."""
        self._values = {}
        self._change_table(changes)
        self._change_light(changes)
        if views.KNOBS & changes.keys():
            view, values = views.changed_view(self._scene.design.view, changes)
            self._set_view(view)
            self._undo.append(lambda: self._set_view(self._scene.design.view))
            self._values |= values
        return self._values

    def _value(self, path: str, nominal: Value, changes: Changes) -> Any:
        """Return the value of `path` after its change, and remember it."""
        self._values[path] = applied(path, nominal, changes[path])
        return self._values[path]

    def _set_view(self, view: View) -> None:
        self.view = view
        (camera,) = self._env.scene.sensors[CAMERA].camera._render_cameras
        camera.set_local_pose(pose_of(view))
        camera.set_fovy(float(np.radians(view.fovy)), compute_x=True)

    def _change_table(self, changes: Changes) -> None:
        """Change colour and texture of the table."""
        if not {"table.color", "table.texture"} & changes.keys():
            return
        import sapien

        name = self._value("table.texture", "plain", changes) if "table.texture" in changes else "plain"
        if name not in ("plain", *TEXTURES):
            raise unknown("texture for table.texture", str(name), ("plain", *TEXTURES))
        color = self._value("table.color", TABLE_WOOD, changes) if "table.color" in changes else TABLE_WOOD
        tinted = np.full((8, 8, 3), 255) if name == "plain" else pixels(str(name)).astype(np.float64)
        tinted = np.clip(tinted * np.array(rgb(color)), 0, 255).astype(np.uint8)
        opaque = np.concatenate([tinted, np.full_like(tinted[..., :1], 255)], axis=-1)
        texture = sapien.render.RenderTexture2D(np.ascontiguousarray(opaque), "R8G8B8A8Unorm", srgb=True)
        for material in visible_materials(self._env.table_scene.table):
            old = material.base_color_texture
            material.set_base_color_texture(texture)
            self._undo.append(lambda material=material, old=old: material.set_base_color_texture(old))  # type: ignore[misc]

    def _change_light(self, changes: Changes) -> None:
        """Change the direction of the first light, colour and strength of all, and what comes from everywhere."""
        if "light.direction" in changes:
            self._turn_light(changes)
        if "light.diffuse" in changes:
            nominal = tuple(float(x) for x in self._lights[0].color[:3])
            ratio = np.clip(self._value("light.diffuse", nominal, changes), 0.0, None) / np.array(nominal)
            for light in self._lights:
                old = list(light.color[:3])
                light.set_color((np.array(old) * ratio).tolist())
                self._undo.append(lambda light=light, old=old: light.set_color(old))  # type: ignore[misc]
        if "light.ambient" in changes:
            stage, before = self._scene.stage, list(self._scene.stage.ambient_light[:3])
            value = self._value("light.ambient", tuple(float(x) for x in before), changes)
            stage.set_ambient_light(np.clip(value, 0.0, None).tolist())
            self._undo.append(lambda: stage.set_ambient_light(before))

    def _turn_light(self, changes: Changes) -> None:
        import sapien

        light = self._lights[0]
        before = light.entity_pose
        nominal = tuple(float(x) for x in before.to_transformation_matrix()[:3, 0])
        way = np.array(self._value("light.direction", nominal, changes))
        if np.linalg.norm(way) < 1e-6:
            raise UserError("light.direction is (0, 0, 0): a light needs a direction, for example (-0.3, 0.2, -1).")
        way = way / np.linalg.norm(way)
        light.set_entity_pose(sapien.Pose(before.p, sapien.math.shortest_rotation([1, 0, 0], way)))
        self._undo.append(lambda: light.set_entity_pose(before))


def visible_materials(actor: Any) -> list[Any]:
    """Return the materials of all that is drawn of an actor."""
    import sapien

    body = actor._objs[0].find_component_by_type(sapien.render.RenderBodyComponent)
    return [part.material for shape in body.render_shapes for part in shape.parts]

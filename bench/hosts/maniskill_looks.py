"""What of a ManiSkill scene can be made to look otherwise: table, lights and camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.hosts import views
from bench.hosts.changes import Turned
from bench.hosts.maniskill_make import CAMERA, pose_of
from bench.hosts.maniskill_scene import ManiskillScene
from bench.hosts.views import View
from sim.textures import pixels

TABLE_WOOD = (0.75, 0.5, 0.35)
"""What counts as the table's own colour where its texture alone is changed: about that of ManiSkill's wood."""


class Looks:
    """Changes the looks of one scene. Each change leaves behind how to undo it."""

    def __init__(self, scene: ManiskillScene) -> None:
        """Look up the lights."""
        import sapien

        self._scene, self._env, self.view = scene, scene.env, scene.design.view
        self._undo: list[Callable[[], None]] = []
        kind = sapien.render.RenderDirectionalLightComponent
        found = [entity.find_component_by_type(kind) for entity in scene.stage.entities]
        self._lights = [light for light in found if light is not None]

    def restore(self) -> None:
        """Undo every change, the last one first."""
        while self._undo:
            self._undo.pop()()

    def apply(self, turned: Turned) -> None:
        """Make the changes of looks."""
        self._change_table(turned)
        self._change_light(turned)
        if views.KNOBS & turned.changes.keys():
            self._set_view(views.changed_view(self._scene.design.view, turned))
            self._undo.append(lambda: self._set_view(self._scene.design.view))

    def _set_view(self, view: View) -> None:
        self.view = view
        (camera,) = self._env.scene.sensors[CAMERA].camera._render_cameras
        camera.set_local_pose(pose_of(view.pinhole()))
        camera.set_fovy(float(np.radians(view.fovy)), compute_x=True)

    def _change_table(self, turned: Turned) -> None:
        """Change colour and texture of the table."""
        import sapien

        if (surface := turned.surface("table", TABLE_WOOD)) is None:
            return
        name, color = surface
        tinted = np.full((8, 8, 3), 255) if name == "plain" else pixels(name).astype(np.float64)
        tinted = np.clip(tinted * np.array(color), 0, 255).astype(np.uint8)
        opaque = np.concatenate([tinted, np.full_like(tinted[..., :1], 255)], axis=-1)
        texture = sapien.render.RenderTexture2D(np.ascontiguousarray(opaque), "R8G8B8A8Unorm", srgb=True)
        for material in visible_materials(self._env.table_scene.table):
            old = material.base_color_texture
            material.set_base_color_texture(texture)
            self._undo.append(lambda material=material, old=old: material.set_base_color_texture(old))  # type: ignore[misc]

    def _change_light(self, turned: Turned) -> None:
        """Change the direction of the first light, colour and strength of all, and what comes from everywhere."""
        if "light.direction" in turned.changes:
            self._turn_light(turned)
        if "light.diffuse" in turned.changes:
            nominal = tuple(float(x) for x in self._lights[0].color[:3])
            ratio = np.clip(turned.value("light.diffuse", nominal), 0.0, None) / np.array(nominal)
            for light in self._lights:
                old = list(light.color[:3])
                light.set_color((np.array(old) * ratio).tolist())
                self._undo.append(lambda light=light, old=old: light.set_color(old))  # type: ignore[misc]
        if "light.ambient" in turned.changes:
            stage, before = self._scene.stage, list(self._scene.stage.ambient_light[:3])
            value = turned.value("light.ambient", tuple(float(x) for x in before))
            stage.set_ambient_light(np.clip(value, 0.0, None).tolist())
            self._undo.append(lambda: stage.set_ambient_light(before))

    def _turn_light(self, turned: Turned) -> None:
        import sapien

        light = self._lights[0]
        before = light.entity_pose
        nominal = tuple(float(x) for x in before.to_transformation_matrix()[:3, 0])
        way = turned.direction("light.direction", nominal)
        light.set_entity_pose(sapien.Pose(before.p, sapien.math.shortest_rotation([1, 0, 0], way)))
        self._undo.append(lambda: light.set_entity_pose(before))


def visible_materials(actor: Any) -> list[Any]:
    """Return the materials of all that is drawn of an actor."""
    import sapien

    body = actor._objs[0].find_component_by_type(sapien.render.RenderBodyComponent)
    return [part.material for shape in body.render_shapes for part in shape.parts]

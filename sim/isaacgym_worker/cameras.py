"""Frames through Isaac Gym's camera sensors: one third-person and one wrist camera per world."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from sim.isaacgym_worker.building import Built


class Cameras:
    """Camera sensors of all worlds; every world has its own colours, textures and third-person viewpoint."""

    def __init__(self, gymapi: Any, gymtorch: Any, built: Built, plan: dict[str, Any]) -> None:
        self._gymapi, self._gymtorch, self._built, self._plan = gymapi, gymtorch, built, plan
        self._gym, self._sim, self._size = built.gym, built.sim, int(plan["size"])
        self._textures = {name: self._texture(path) for name, path in plan["textures"].items()}
        light = plan["light"]
        self._gym.set_light_parameters(
            self._sim, 0, self._vec(light["diffuse"]), self._vec(light["ambient"]), self._vec(light["towards"])
        )
        self._sensors: dict[str, list[int]] = {"image": [], "wrist_image": []}
        for number, world in enumerate(built.worlds):
            self._sensors["image"].append(self._sensor(world.env, float(plan["fovy"][number])))
            self._sensors["wrist_image"].append(self._wrist_sensor(world.env, world.robot))

    def render(self, camera: str, looks: list[dict[str, Any]]) -> Any:
        """Return frames (k, size, size, 3) u8, RGB, row 0 on top, of the worlds that `looks` name."""
        for look in looks:
            self._apply(look)
        self._gym.step_graphics(self._sim)
        self._gym.render_all_camera_sensors(self._sim)
        frames = np.empty((len(looks), self._size, self._size, 3), dtype=np.uint8)
        on_gpu = self._built.device.startswith("cuda")
        if on_gpu:
            self._gym.start_access_image_tensors(self._sim)
        for k, look in enumerate(looks):
            frames[k] = self._image(int(look["world"]), camera, on_gpu=on_gpu)
        if on_gpu:
            self._gym.end_access_image_tensors(self._sim)
        return frames

    def _image(self, world: int, camera: str, *, on_gpu: bool) -> Any:
        """Return one sensor's picture (size, size, 3)."""
        env, sensor, kind = self._built.worlds[world].env, self._sensors[camera][world], self._gymapi.IMAGE_COLOR
        if on_gpu:
            picture = self._gym.get_camera_image_gpu_tensor(self._sim, env, sensor, kind)
            return self._gymtorch.wrap_tensor(picture).cpu().numpy()[:, :, :3]
        flat = self._gym.get_camera_image(self._sim, env, sensor, kind)
        return np.asarray(flat, dtype=np.uint8).reshape(self._size, self._size, 4)[:, :, :3]

    def _apply(self, look: dict[str, Any]) -> None:
        """Give one world its viewpoint, colours and textures; a slot without an object has none."""
        number, built, gym = int(look["world"]), self._built, self._gym
        world, kind = built.worlds[number], self._gymapi.MESH_VISUAL
        sensor = self._sensors["image"][number]
        gym.set_camera_location(sensor, world.env, self._vec(look["position"]), self._vec(look["target"]))
        actors = dict(world.room, table=world.table)
        columns = zip(built.objects, built.active[number])
        actors.update({name: world.bodies[int(column)] for name, column in columns if column >= 0})
        for name, color in look["colors"].items():
            if name in actors:
                gym.set_rigid_body_color(world.env, actors[name], 0, kind, self._vec(color))
        names = [each["name"] for each in (*built.plan["stands"], *built.hinged)]
        fixtures = dict(zip(names, (*world.stands, *world.hinged)))
        for name, links in look["fixtures"].items():
            for link, color in links.items():
                body = gym.find_actor_rigid_body_index(world.env, fixtures[name], link, self._gymapi.DOMAIN_ACTOR)
                gym.set_rigid_body_color(world.env, fixtures[name], body, kind, self._vec(color))
        for name, texture in look["textures"].items():
            gym.set_rigid_body_texture(world.env, actors[name], 0, kind, self._textures[texture])

    def _sensor(self, env: Any, field_of_view: float) -> int:
        """Create a sensor; its picture is square, so the horizontal field of view is the vertical one, degrees."""
        properties = self._gymapi.CameraProperties()
        properties.width = properties.height = self._size
        properties.horizontal_fov = field_of_view
        properties.near_plane, properties.far_plane = 0.01, 20.0
        properties.enable_tensors = self._built.device.startswith("cuda")
        sensor = self._gym.create_camera_sensor(env, properties)
        if sensor < 0:
            raise RuntimeError("create_camera_sensor failed: the graphics device has no room or no driver")
        return int(sensor)

    def _wrist_sensor(self, env: Any, robot: int) -> int:
        """Create the camera in the hand, which moves with it."""
        gymapi, wrist = self._gymapi, self._plan["wrist"]
        sensor = self._sensor(env, float(wrist["fovy"]))
        body = self._gym.find_actor_rigid_body_handle(env, robot, "hand")
        place = gymapi.Transform()
        place.p = self._vec(wrist["position"])
        place.r = gymapi.Quat(*(float(value) for value in wrist["quaternion"]))
        self._gym.attach_camera_to_body(sensor, env, body, place, gymapi.FOLLOW_TRANSFORM)
        return sensor

    def _texture(self, name: str) -> Any:
        return self._gym.create_texture_from_file(self._sim, os.path.join(str(self._built.plan["folder"]), name))

    def _vec(self, values: Any) -> Any:
        return self._gymapi.Vec3(*(float(value) for value in values))

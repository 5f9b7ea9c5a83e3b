"""Building environments of ManiSkill: as they are, or with actors of another shape and with other objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from bench.hosts.maniskill_design import Design
from bench.hosts.others import OTHERS
from bench.hosts.views import Pinhole
from bench.hosts.vulkan import needs_vulkan, prefer_lavapipe
from sim.appearance import WRIST_FOVY
from sim.fixtures import Shape
from sim.scene import rgb

BASE = (-0.615, 0.0, 0.0)
"""Where the Panda stands in ManiSkill's world, m."""

CAMERA = "base_camera"


@dataclass(frozen=True)
class Structure:
    """What of a scene can only be had by building it: shapes and sizes of roles, and the number of other objects."""

    # Role -> shape and half extents, m, where they are not the host's own.
    shapes: Mapping[str, tuple[Shape, tuple[float, ...]]] = field(default_factory=dict)
    count: int = 0

    @property
    def plain(self) -> bool:
        """Whether it is the environment as it is."""
        return not self.shapes and not self.count


def make(design: Design, structure: Structure, *, image_size: int) -> Any:
    """Return the environment, unwrapped: the wrapper would truncate after 50 steps, and the horizon is ours."""
    prefer_lavapipe()
    import gymnasium
    import mani_skill.envs  # noqa: F401  Registers the environments.

    camera: dict[str, Any] = {"width": image_size, "height": image_size, "fov": float(np.radians(design.view.fovy))}
    if design.moved:
        camera["pose"] = pose_of(design.view.pinhole())
    options = {
        "num_envs": 1,
        "obs_mode": "none",
        "reward_mode": "none",
        "control_mode": "pd_ee_delta_pose",
        "sim_backend": "physx_cpu",
        "render_backend": "cpu",
        "sensor_configs": {CAMERA: camera},
        **design.options,
    }
    with needs_vulkan("ManiSkill"):
        if structure.plain:
            return cast(Any, gymnasium.make(design.name, **options).unwrapped)
        from mani_skill.utils.registration import REGISTERED_ENVS

        plain = REGISTERED_ENVS[design.name].cls
        return _class(plain, design, structure)(**options)


def pose_of(camera: Pinhole) -> Any:
    """Return the pose of a camera in ManiSkill's world as SAPIEN writes it."""
    import sapien

    return sapien.Pose(p=camera.eye + BASE, q=camera.forward_left_up())


def add_wrist_camera(env: Any, stage: Any, *, image_size: int) -> Any:
    """Return a sensor like the environment's own, in the SAPIEN scene `stage`; its pose is left to whoever draws.

    Its near plane is 1 cm before it: what it sees of the hand begins more than 2 cm away.
    """
    import sapien
    from mani_skill.sensors.camera import Camera, CameraConfig

    scene, size = env.scene, {"width": image_size, "height": image_size}
    config = CameraConfig("wrist_camera", sapien.Pose(), **size, fov=float(np.radians(WRIST_FOVY)), near=0.01)
    now, scene.sub_scenes = scene.sub_scenes, [stage]
    try:
        return Camera(config, scene)
    finally:
        scene.sub_scenes = now


def _class(plain: Any, design: Design, structure: Structure) -> Any:
    """Return a subclass of ManiSkill's environment whose scene has the structure that its attribute names."""

    def load_scene(self: Any, options: dict[str, Any]) -> None:
        plain._load_scene(self, options)
        for role, (shape, half_size) in self.structure.shapes.items():
            item = design.items[role]
            actor = getattr(self, item.attribute)
            actor.remove_from_scene()
            del self.scene.actors[actor.name]
            self.scene.remove_from_state_dict_registry(actor)
            built = _build(self.scene, actor.name, shape, half_size, item.color)
            setattr(self, item.attribute, built)
        self.others = {
            other.name: _build(self.scene, other.name, other.shape, other.half_size, other.color)
            for other in OTHERS[: self.structure.count]
        }

    return type(plain)(f"{design.name} changed", (plain,), {"_load_scene": load_scene, "structure": structure})


def _build(scene: Any, name: str, shape: Shape, half_size: tuple[float, ...], color: str) -> Any:
    """Return a new actor; a cylinder stands, while SAPIEN's lies along x."""
    import sapien

    x, _, z = half_size
    builder = scene.create_actor_builder()
    material = sapien.render.RenderMaterial(base_color=[*rgb(color or (0.6, 0.6, 0.6)), 1.0])
    standing = sapien.Pose(q=[np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0])
    if shape == "box":
        builder.add_box_collision(half_size=list(half_size))
        builder.add_box_visual(half_size=list(half_size), material=material)
    elif shape == "cylinder":
        builder.add_cylinder_collision(pose=standing, radius=x, half_length=z)
        builder.add_cylinder_visual(pose=standing, radius=x, half_length=z, material=material)
    else:
        builder.add_sphere_collision(radius=x)
        builder.add_sphere_visual(radius=x, material=material)
    builder.set_initial_pose(sapien.Pose(p=[0.0, 0.0, 1.0]))
    return builder.build(name=name)

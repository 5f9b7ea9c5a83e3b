"""What the camera sees: the physics with visual shapes, materials, lights and cameras added."""

from __future__ import annotations

import mujoco
import numpy as np

from sim import textures
from sim.fixture_geoms import fixture_geoms
from sim.meshes import panda_meshes
from sim.mjcf import TABLE_CENTER, TABLE_HALF, build_spec
from sim.scene import Scene

FLOOR = -0.92
"""Height of the floor, m, base frame."""

TABLE_FRONT = TABLE_CENTER[0] + TABLE_HALF[0]
"""Edge of the table that is far from the robot, x in m, base frame; the other edges are the knob "table.extent"."""

SURFACES = ("table", "floor")
"""Surfaces whose texture is a knob; each texture is a material "<surface>_<texture>"."""

CAMERAS = ("image", "wrist_image")
"""Cameras of the model, by the name of the observation that they make."""

LIGHTS = {"key": "", "second": "2", "third": "3"}
"""Directional light -> how its knobs end: "light.direction2". Only the first is on by itself and casts shadows."""

WRIST_POSITION, WRIST_FOVY = (0.05, 0.0, 0.0), 75.0
"""Wrist camera in the hand frame, m and degrees; it looks along the hand's +z, the hand's +x being up."""

VISIBLE, HIDDEN = 1, 3
"""Geom groups: visual shapes and objects; collision shapes, which are not drawn."""

_REPEAT = {"table": 2.0, "floor": 0.8}
"""Repetitions of a texture per metre."""


def build_visual_spec(scene: Scene, *, lights: int = len(LIGHTS)) -> mujoco.MjSpec:
    """Return the physics of `scene` with everything visible added; qpos is that of `build_spec`.

    It has the first `lights` of `LIGHTS`.
    """
    spec = build_spec(scene)
    drawn = {*(item.name for item in scene.objects), *(name for _, _, name in fixture_geoms(scene))}
    for geom in spec.geoms:
        geom.group = VISIBLE if geom.name in drawn else HIDDEN
    _set_quality(spec)
    _add_materials(spec)
    for name in drawn:
        spec.geom(name).material = "object"
    _add_room(spec)
    _add_robot(spec)
    _add_lights(spec, lights)
    _add_cameras(spec)
    return spec


def _set_quality(spec: mujoco.MjSpec) -> None:
    """Set what costs time: no multisampling, a small shadow map, few facets on round objects."""
    quality, headlight = spec.visual.quality, spec.visual.headlight
    quality.offsamples, quality.shadowsize = 0, 1024
    quality.numslices, quality.numstacks, quality.numquads = 24, 12, 1
    headlight.diffuse = headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    spec.visual.map.shadowclip = 1.0
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0.0, 0.2]


def _add_materials(spec: mujoco.MjSpec) -> None:
    """Add the materials of robot, objects and walls, and one per surface and texture."""
    spec.add_material(name="robot", specular=0.3, shininess=0.4)
    spec.add_material(name="object", specular=0.15, shininess=0.3)
    spec.add_material(name="dull", specular=0.0, shininess=0.0)
    for name in textures.TEXTURES:
        texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
        texture.width = texture.height = textures.SIZE
        texture.data = textures.pixels(name).tobytes()
    for surface in SURFACES:
        for name in ("plain", *textures.TEXTURES):
            material = spec.add_material(name=f"{surface}_{name}", specular=0.0, shininess=0.0)
            material.texuniform = True
            material.texrepeat = [_REPEAT[surface]] * 2
            if name != "plain":
                material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _add_room(spec: mujoco.MjSpec) -> None:
    """Add floor, walls, the robot's mount, and the visible table top."""
    box = {"type": mujoco.mjtGeom.mjGEOM_BOX, "group": VISIBLE, "contype": 0, "conaffinity": 0, "mass": 0}
    world = spec.worldbody
    world.add_geom(name="floor", size=[5, 5, 0.01], pos=[0, 0, FLOOR - 0.01], material="floor_plain", **box)
    world.add_geom(name="wall", size=[0.01, 5, 2.5], pos=[-1.5, 0, FLOOR + 2.5], material="dull", **box)
    world.add_geom(name="wall_front", size=[0.01, 5, 2.5], pos=[5, 0, FLOOR + 2.5], material="dull", **box)
    for name, y in (("wall_left", 5.0), ("wall_right", -5.0)):
        world.add_geom(name=name, size=[5, 0.01, 2.5], pos=[0, y, FLOOR + 2.5], material="dull", **box)
    half = -FLOOR / 2 - 0.002
    world.add_geom(name="mount", size=[0.11, 0.14, half], pos=[-0.06, 0, -half - 0.002], material="dull", **box)
    spec.body("table").add_geom(
        name="table_top", size=TABLE_HALF, pos=[0, 0, -TABLE_HALF[2]], material="table_plain", **box
    )


def _add_robot(spec: mujoco.MjSpec) -> None:
    """Add the Panda's meshes to its bodies; the right finger's mesh is the left one turned by pi about z."""
    for mesh in panda_meshes():
        asset = spec.add_mesh(name=mesh.name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        asset.uservert, asset.userface = mesh.vertices.ravel().tolist(), mesh.faces.ravel().tolist()
        bodies = ("left_finger", "right_finger") if mesh.body == "finger" else (mesh.body,)
        for name in bodies:
            spec.body(name).add_geom(
                name=f"robot_{name}_{mesh.shade}",
                type=mujoco.mjtGeom.mjGEOM_MESH,
                meshname=mesh.name,
                quat=[0, 0, 0, 1] if name == "right_finger" else [1, 0, 0, 0],
                rgba=[*mesh.color, 1],
                material="robot",
                group=VISIBLE,
                contype=0,
                conaffinity=0,
                mass=0,
            )


def _add_lights(spec: mujoco.MjSpec, count: int) -> None:
    """Add directional lights, of which all but the first are off; ambient light comes from MuJoCo's headlight."""
    for name in list(LIGHTS)[:count]:
        first = name == "key"
        spec.worldbody.add_light(
            name=name,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=[0.5, 0, 2],
            dir=[0, 0, -1],
            specular=[0.3 if first else 0.1] * 3,
            active=first,
            castshadow=first,
        )


def _add_cameras(spec: mujoco.MjSpec) -> None:
    """Add the third-person camera, placed by `apply_values`, and the wrist camera."""
    spec.worldbody.add_camera(name="image")
    half = np.sqrt(0.5)
    spec.body("hand").add_camera(name="wrist_image", pos=WRIST_POSITION, quat=[0, half, half, 0], fovy=WRIST_FOVY)

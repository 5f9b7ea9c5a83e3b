"""What Isaac Gym's cameras see: meshes and textures as files, the room as boxes, and the look of each world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from sim import textures
from sim.appearance import CAMERAS, FLOOR, WRIST_FOVY, WRIST_POSITION
from sim.engine import Values
from sim.errors import UserError, unknown
from sim.fixture_urdf import Actor, actors
from sim.image_effects import EFFECTS, apply_effects
from sim.meshes import panda_meshes
from sim.rotations import from_matrix, wxyz_to_xyzw
from sim.scene import Scene, rgb

SAME_FOR_ALL = (
    "table.extent",
    "background.distance",
    "robot.color",
    "light.direction",
    "light.diffuse",
    "light.ambient",
    "light.shadows",
    "light.count",
    "camera.roll",
    "camera.fovy",
)
"""Looks that Isaac Gym has one of for all worlds, or fixes when it creates a sensor."""

SHINE = "Ns 10\nillum 1\n"


def wrist_rotation() -> NDArray[np.float64]:
    """Return the wrist camera's rotation (3, 3) in the hand: Isaac Gym looks along x, with z up.

    Ours looks along the hand's z, the hand's x being up; columns are the camera's x, y, z in the hand's frame.
    """
    return np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])


def room_boxes() -> dict[str, dict[str, list[float]]]:
    """Return floor, walls and mount as boxes: half extents and centres, m, base frame, as in our own pictures."""
    mount = -FLOOR / 2 - 0.002
    return {
        "floor": {"half": [5.0, 5.0, 0.01], "center": [0.0, 0.0, FLOOR - 0.01]},
        "wall": {"half": [0.01, 5.0, 2.5], "center": [-1.5, 0.0, FLOOR + 2.5]},
        "wall_front": {"half": [0.01, 5.0, 2.5], "center": [5.0, 0.0, FLOOR + 2.5]},
        "wall_left": {"half": [5.0, 0.01, 2.5], "center": [0.0, 5.0, FLOOR + 2.5]},
        "wall_right": {"half": [5.0, 0.01, 2.5], "center": [0.0, -5.0, FLOOR + 2.5]},
        "mount": {"half": [0.11, 0.14, mount], "center": [-0.06, 0.0, -mount - 0.002]},
    }


class FramePlan:
    """How the worlds of one scene are drawn."""

    def __init__(self, scene: Scene, size: int) -> None:
        """Plan frames of size x size pixels."""
        if not 16 <= size <= 4096:
            raise UserError(f"frame_size = {size} is not allowed. Allowed: 16 to 4096 pixels.")
        self._scene, self._size = scene, size
        self._nominal, self._views = scene.nominal(), dict(scene.cameras)

    def write_meshes(self, folder: Path) -> dict[str, list[str]]:
        """Write the robot's meshes as OBJ files with their colours; return the files of each link."""
        visuals: dict[str, list[str]] = {}
        for mesh in panda_meshes():
            bodies = ("left_finger", "right_finger") if mesh.body == "finger" else (mesh.body,)
            for body in bodies:
                name = f"{body}_{mesh.shade}"
                turned = mesh.vertices * np.array([-1.0, -1.0, 1.0]) if body == "right_finger" else mesh.vertices
                color = " ".join(f"{part:.4f}" for part in mesh.color)
                (folder / f"{name}.mtl").write_text(f"newmtl {name}\nKd {color}\nKa {color}\n{SHINE}")
                (folder / f"{name}.obj").write_text(_obj(name, turned, mesh.faces))
                visuals.setdefault(body, []).append(f"{name}.obj")
        return visuals

    def fields(self, folder: Path, count: int) -> dict[str, Any]:
        """Write the textures and return what the worker needs to know of the cameras of `count` worlds."""
        files = {}
        for name in ("plain", *textures.TEXTURES):
            white = np.full((4, 4, 3), 255, dtype=np.uint8)
            imageio.imwrite(folder / f"{name}.png", white if name == "plain" else textures.pixels(name))
            files[name] = f"{name}.png"
        quaternion = np.asarray(wxyz_to_xyzw(from_matrix(wrist_rotation()[None])))[0]
        towards = -np.asarray(self._nominal["light.direction"], dtype=np.float64)
        frames = {
            "size": self._size,
            "textures": files,
            "light": {
                "diffuse": list(self._nominal["light.diffuse"]),  # type: ignore[arg-type]
                "ambient": list(self._nominal["light.ambient"]),  # type: ignore[arg-type]
                "towards": (towards / np.linalg.norm(towards)).tolist(),
            },
            "fovy": [self._views[str(self._nominal["camera.view"])].fovy] * count,
            "wrist": {"fovy": WRIST_FOVY, "position": list(WRIST_POSITION), "quaternion": quaternion.tolist()},
        }
        return {"frames": frames, "room": room_boxes()}

    def looks(self, ids: NDArray[np.intp], values: Sequence[Values], camera: str) -> list[dict[str, Any]]:
        """Return viewpoint, colours and textures of each world, or refuse what cannot be drawn."""
        if camera not in CAMERAS:
            raise unknown("camera", camera, CAMERAS)
        return [self._look(int(world), self._nominal | dict(chosen)) for world, chosen in zip(ids, values, strict=True)]

    def _look(self, world: int, values: Values) -> dict[str, Any]:
        self._require_drawable(values)
        view = self._views[str(values["camera.view"])]
        up = np.array([0.0, 0.0, float(np.asarray(values["table.height"]))])
        colors = {name: list(rgb(values[f"{name}.color"])) for name in ("table", "floor", "mount")}
        colors |= {name: list(rgb(values["background.color"])) for name in room_boxes() if "wall" in name}
        for item in self._scene.objects:
            colors[item.name] = list(rgb(values[f"{item.name}.color"], values[f"{item.name}.shade"]))
        made = [actor for fixture in self._scene.fixtures for actor in actors(fixture)]
        fixtures = {actor.name: _links(actor, values) for actor in made}
        return {
            "world": world,
            "position": (np.add(view.position, values["camera.offset"]) + up).tolist(),
            "target": (np.add(view.target, values["camera.target_offset"]) + up).tolist(),
            "colors": colors,
            "fixtures": fixtures,
            "textures": {name: str(values[f"{name}.texture"]) for name in ("table", "floor")},
        }

    def _require_drawable(self, values: Values) -> None:
        """Refuse looks that a camera sensor cannot have."""
        wrong = [path for path in SAME_FOR_ALL if not np.allclose(values[path], self._nominal[path])]
        if self._views[str(values["camera.view"])].fovy != self._views[str(self._nominal["camera.view"])].fovy:
            wrong.append("camera.view (its field of view differs)")
        if wrong:
            raise UserError(
                f"Isaac Gym's cameras cannot vary {', '.join(wrong)} from world to world. Leave them nominal, or draw "
                "the states with our own renderer, which varies everything (it is what `demomill generate` does)."
            )

    def finished(self, frames: NDArray[np.uint8], values: Sequence[Values]) -> NDArray[np.uint8]:
        """Return the frames with each world's exposure, blur and JPEG; sensor noise needs a seed and is left out."""
        done = []
        for frame, chosen in zip(frames, values, strict=True):
            full = self._nominal | dict(chosen)
            effects = {name: float(np.asarray(full[f"image.{name}"])) for name in EFFECTS}
            done.append(apply_effects(frame.copy(), seed=None, **effects))
        return np.stack(done)


def _links(actor: Actor, values: Values) -> dict[str, list[float]]:
    """Return the colour of each link of a fixture's actor."""
    name = actor.fixture.name
    colors = {group.link: group.parts[0].color or values[f"{name}.color"] for group in actor.groups}
    return {link: list(rgb(color, values[f"{name}.shade"])) for link, color in colors.items()}


def _obj(name: str, vertices: NDArray[Any], faces: NDArray[np.int32]) -> str:
    """Return a mesh as an OBJ file with one material."""
    corners = "\n".join("v {:.6g} {:.6g} {:.6g}".format(*vertex) for vertex in vertices)
    triangles = "\n".join("f {} {} {}".format(*(face + 1)) for face in faces)
    return f"mtllib {name}.mtl\n{corners}\nusemtl {name}\n{triangles}\n"

"""Where the Panda's visual meshes come from: packages installed beside this one, read without importing them."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import UserError
from sim.mesh_tools import pieces, weld

BODIES = (*(f"link{i}" for i in range(8)), "hand", "finger")
"""Bodies with a mesh of their own, in their link frames of franka_description; both fingers share one mesh."""

DARK_AREA = (5e-4, 30e-4)
"""Surface, m^2, between which a connected piece of the hand or a finger is dark, where the files carry no colours."""


@dataclass(frozen=True)
class Part:
    """Triangles of one colour, in the frame of their body."""

    # (v, 3) m, and (f, 3) indices.
    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    # RGB in [0, 1].
    color: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """A package that brings the meshes, which files of its folder hold them, and how to read one body's parts."""

    package: str
    files: Callable[[Path], list[Path]]
    parts: Callable[[Path, str], Iterator[Part]]


def find_source() -> tuple[Source, Path]:
    """Return the first of SOURCES whose package is installed with its meshes, and the package's folder."""
    for source in SOURCES:
        spec = importlib.util.find_spec(source.package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if all(path.is_file() for path in source.files(Path(place))):
                return source, Path(place)
    names = " or ".join(source.package for source in SOURCES)
    raise UserError(
        f"The Panda's meshes were not found: they come with the Python packages {names}, and neither is installed "
        "in this environment. Type: pip install 'demomill[render]'; in a checkout: make setup"
    )


_ROBOSUITE = Path("models/assets")
_MANISKILL = Path("assets/robots/panda/franka_description/meshes/visual")


def _robosuite_files(root: Path) -> list[Path]:
    assets = root / _ROBOSUITE
    links = sorted((assets / "robots/panda/obj_meshes").glob("link*_vis/*.obj"))
    gripper = assets / "grippers/meshes/panda_gripper"
    return [assets / "robots/panda/robot.xml", *links, gripper / "hand_vis.stl", gripper / "finger_vis.stl"]


def _robosuite_parts(root: Path, body: str) -> Iterator[Part]:
    """Yield one body's parts: links with the materials of robot.xml, hand and fingers by the size of their pieces."""
    assets = root / _ROBOSUITE
    if body in ("hand", "finger"):
        path = assets / f"grippers/meshes/panda_gripper/{body}_vis.stl"
        yield from _by_size(_part(_load(path), (1.0, 1.0, 1.0)))
        return
    robot = ElementTree.parse(assets / "robots/panda/robot.xml").getroot()
    files = {mesh.get("name"): mesh.get("file") for mesh in robot.iter("mesh")}
    colors = {item.get("name"): item.get("rgba", "1 1 1 1") for item in robot.iter("material")}
    for geom in robot.iter("geom"):
        mesh, material = geom.get("mesh", ""), geom.get("material")
        if mesh.startswith(f"{body}_vis"):
            rgb = tuple(float(x) for x in colors[material].split()[:3])
            yield _part(_load(assets / "robots/panda" / str(files[mesh])), rgb)


def _by_size(part: Part) -> Iterator[Part]:
    """Yield the light and the dark pieces of a part without colours."""
    vertices, faces = weld(part.vertices, part.faces)
    area = pieces(vertices, faces)[1]
    dark = (area > DARK_AREA[0]) & (area < DARK_AREA[1])
    yield Part(vertices, faces[~dark], (1.0, 1.0, 1.0))
    yield Part(vertices, faces[dark], (0.0, 0.0, 0.0))


def _maniskill_files(root: Path) -> list[Path]:
    return [root / _MANISKILL / f"{body}.glb" for body in BODIES]


def _maniskill_parts(root: Path, body: str) -> Iterator[Part]:
    """Yield one body's parts in the body's frame, with their materials' base colours."""
    scene = _load(root / _MANISKILL / f"{body}.glb")
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        part = scene.geometry[name].copy()
        part.apply_transform(transform)
        yield _part(part, tuple(float(x) / 255 for x in part.visual.material.baseColorFactor[:3]))


def _load(path: Path) -> Any:
    """Return what trimesh reads in the file: a mesh, or a scene of meshes."""
    import trimesh

    return trimesh.load(path, process=False)


def _part(mesh: Any, color: tuple[float, ...]) -> Part:
    return Part(np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int64), color)


SOURCES = (
    Source("robosuite", _robosuite_files, _robosuite_parts),
    Source("mani_skill", _maniskill_files, _maniskill_parts),
)
"""Packages that bring the Panda, the preferred one first."""

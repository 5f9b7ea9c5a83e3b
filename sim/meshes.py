"""The Panda's visual meshes: read from an installed simulator's package, decimated once, cached as plain arrays."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.files import written_whole
from sim.mesh_sources import BODIES, DARK_AREA, Source, find_source
from sim.mesh_tools import WELD, pieces, weld

COLORS = {"light": (0.92, 0.93, 0.94), "dark": (0.16, 0.16, 0.17)}
"""RGB in [0, 1] of the two colour classes: fixed, so that pictures do not depend on whose meshes are installed."""

FACES = {"light": 700, "dark": 250}
"""Largest number of triangles of one body's mesh in each colour class."""

FINE = {"link6_light": 1100, "link6_dark": 900}
"""Meshes that need more: the discs of link6 are pierced by buttons and screws, and would tear."""

SMALLEST = 0.5e-4
"""Pieces of less surface than this, m^2, are left out: letters, lamps, screws."""

COARSE = 80
"""Pieces of at most so many triangles are kept as they are: plain discs, which a decimator would tear."""

_VERSION = 1


@dataclass(frozen=True)
class Mesh:
    """Triangles of one body in one colour class, in the body's frame."""

    body: str
    shade: str
    # (v, 3) m, and (f, 3) indices counter-clockwise from outside.
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    # RGB in [0, 1].
    color: tuple[float, float, float]

    @property
    def name(self) -> str:
        """Name in models: "link0_light"."""
        return f"{self.body}_{self.shade}"


def panda_meshes(cache: Path | None = None) -> tuple[Mesh, ...]:
    """Return the Panda's decimated meshes, one per body and colour class, from the cache where it has them.

    `cache` is the folder of cached arrays; by default ``$XDG_CACHE_HOME/demomill``. A `UserError` says what to install
    when no installed package brings the meshes.
    """
    source, root = find_source()
    folder = cache_folder() if cache is None else cache
    path = folder / f"meshes-{_digest(source, root)}.npz"
    found = _load(path)
    if found is None:
        found = tuple(_decimated(source, root))
        _save(path, found)
    return found


def mesh_source() -> str:
    """Return the name of the installed package that the meshes come from."""
    return find_source()[0].package


def cache_folder() -> Path:
    """Return the user's cache folder of this project."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "demomill"


def _digest(source: Source, root: Path) -> str:
    """Return a digest over the source files' bytes, what is done to them, and by what version."""
    import fast_simplification

    settings = (_VERSION, BODIES, FACES, FINE, SMALLEST, COARSE, DARK_AREA, WELD, fast_simplification.__version__)
    digest = hashlib.sha256(repr(settings).encode())
    for path in source.files(root):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _decimated(source: Source, root: Path) -> Iterator[Mesh]:
    """Yield every body's meshes: parts of one shade are joined, welded, then decimated."""
    for body in BODIES:
        joined: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        for part in source.parts(root, body):
            shade = "light" if sum(part.color) / 3 > 0.5 else "dark"
            vertices, faces = joined.get(shade, (np.empty((0, 3)), np.empty((0, 3), np.int64)))
            faces = np.concatenate([faces, part.faces + len(vertices)])
            joined[shade] = np.concatenate([vertices, part.vertices]), faces
        for shade in sorted(joined, reverse=True):
            yield _reduce(body, shade, *joined[shade])


def _reduce(body: str, shade: str, vertices: NDArray[Any], faces: NDArray[Any]) -> Mesh:
    """Return the mesh welded, without small pieces, and of no more triangles than FACES or FINE allow."""
    import fast_simplification

    vertices, faces = weld(vertices, faces)
    piece, area = pieces(vertices, faces)
    large = area >= SMALLEST
    coarse = (np.bincount(piece) <= COARSE)[piece]
    kept, dense = faces[large & coarse], faces[large & ~coarse]
    limit = FINE.get(f"{body}_{shade}", FACES[shade]) - len(kept)
    if len(dense) > limit:
        points, triangles = weld(vertices, dense)
        points, triangles = fast_simplification.simplify(
            points.astype(np.float32), triangles.astype(np.int32), target_count=limit, agg=5.0
        )
        dense = triangles + len(vertices)
        vertices = np.concatenate([vertices, points])
    vertices, faces = weld(vertices, np.concatenate([kept, dense]))
    return Mesh(body, shade, vertices.astype(np.float32), faces.astype(np.int32), COLORS[shade])


def _load(path: Path) -> tuple[Mesh, ...] | None:
    """Return the cached meshes, or None where there are none or the file cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as data:
            names = [str(name) for name in data["names"]]
            return tuple(_unpack(name, data[f"{name}.vertices"], data[f"{name}.faces"]) for name in names)
    except (FileNotFoundError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _unpack(name: str, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> Mesh:
    body, shade = name.split("_")
    return Mesh(body, shade, vertices, faces, COLORS[shade])


def _save(path: Path, meshes: tuple[Mesh, ...]) -> None:
    """Write the meshes to the cache; processes that race write equal files, and the last one stays."""
    arrays: dict[str, NDArray[Any]] = {"names": np.array([mesh.name for mesh in meshes])}
    for mesh in meshes:
        arrays |= {f"{mesh.name}.vertices": mesh.vertices, f"{mesh.name}.faces": mesh.faces}
    with written_whole(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)

"""Triangles: vertices of one place made one, and the connected pieces of a mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WELD = 1e-5
"""Vertices closer than this, m, are one: texture and normal seams would tear when a mesh is decimated."""


def weld(vertices: NDArray[Any], faces: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return vertices and faces with vertices of one place made one, unused vertices and empty faces removed."""
    grid = np.round(vertices / WELD).astype(np.int64)
    _, first, place = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    faces = place.reshape(-1)[faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    used, faces = np.unique(faces[whole], return_inverse=True)
    return vertices[first][used], faces.reshape(-1, 3)


def pieces(vertices: NDArray[Any], faces: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, per triangle, the number of the connected piece that it belongs to and that piece's surface, m^2."""
    from trimesh import graph

    find: Any = graph
    piece = np.asarray(find.connected_component_labels(find.face_adjacency(faces), node_count=len(faces)))
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    areas = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return piece, np.bincount(piece, weights=areas)[piece]

"""Annotations of an episode as columns of its steps: poses of objects, points, depth, segmentation, boxes."""

from __future__ import annotations

import zlib
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from datagen.rlds_writer import Column
from datagen.schema import POINTS, point_key
from datagen.units import StateEpisode
from sim.fixtures import fixture_pose
from sim.instances import Annotations, bounding_box, instance_names, things
from sim.rotations import canonical_sign, wxyz_to_xyzw
from sim.scene import Scene


class Annotator(Protocol):
    """A renderer that can annotate what it drew."""

    def annotations(self) -> Annotations:
        """Return depth and instances of the frame that was rendered last."""


class Projector(Protocol):
    """A renderer that can tell where in its frame a place is seen."""

    def project(self, points: NDArray[np.float64], *, camera: str = "image") -> NDArray[np.float64]:
        """Return where points (k, 3) lie in the frame that was rendered last, (k, 2), as shares of it."""


def places(episode: StateEpisode, target: str) -> NDArray[np.float64]:
    """Return the target and the TCP, (T, 2, 3), m, base frame: what POINTS names.

    The target is the centre of the object so called, or where the part of a fixture that it is is grasped.
    """
    where = episode.pose(target)[:, :3] if target in episode.objects else episode.target
    found: NDArray[np.float64] = np.stack([where, episode.states[:, :3]], axis=1).astype(np.float64)
    return found


def pose_columns(episode: StateEpisode, scene: Scene) -> dict[str, Column]:
    """Return the pose of every object and fixture, (T, 7): position in m and quaternion xyzw, base frame."""
    values = scene.nominal() | dict(episode.draw)
    poses = {
        fixture.name: np.tile(fixture_pose(fixture.name, values), (len(episode.poses), 1)) for fixture in scene.fixtures
    }
    for item in scene.objects:
        poses[item.name] = episode.pose(item.name)
    columns: dict[str, Column] = {}
    for name, pose in poses.items():
        quaternion = np.asarray(canonical_sign(wxyz_to_xyzw(pose[:, 3:])), np.float32)
        columns[f"observation/object_pose/{name}"] = np.concatenate([pose[:, :3], quaternion], axis=1).astype(
            np.float32
        )
    return columns


class AnnotationColumns:
    """What one camera's frames are annotated with, as they are drawn."""

    def __init__(
        self, camera: str, scene: Scene, annotations: tuple[str, ...], points: NDArray[np.float64] | None = None
    ) -> None:
        """Begin with no frame; `points` (T, 2, 3) are the `places` of the episode."""
        self._camera, self._annotations, self._places = camera, annotations, points
        self._objects = things(instance_names(scene))
        self._depth: list[bytes] = []
        self._segmentation: list[bytes] = []
        self._points: list[NDArray[np.float64]] = []
        self._boxes: dict[str, list[Any]] = {name: [] for name in self._objects}

    def add(self, renderer: object) -> None:
        """Take the annotations of the frame that `renderer` drew last."""
        if self._places is not None:
            found_at = cast(Projector, renderer).project(self._places[len(self._points)], camera=self._camera)
            self._points.append(found_at)
        if not set(self._annotations) & {"depth", "segmentation", "boxes"}:
            return
        found = cast(Annotator, renderer).annotations()
        self._depth.append(zlib.compress(found.depth.tobytes()))
        self._segmentation.append(zlib.compress(found.instances.tobytes()))
        for name, number in self._objects.items():
            self._boxes[name].append(bounding_box(found.instances, number))

    def columns(self) -> dict[str, Column]:
        """Return the columns that were asked for."""
        columns: dict[str, Column] = {}
        if "depth" in self._annotations:
            columns[f"observation/{self._camera}_depth"] = self._depth
        if "segmentation" in self._annotations:
            columns[f"observation/{self._camera}_segmentation"] = self._segmentation
        if self._places is not None:
            seen = np.nan_to_num(np.array(self._points), nan=-1.0).astype(np.float32)
            columns |= {point_key(self._camera, name): seen[:, k] for k, name in enumerate(POINTS)}
        if "boxes" in self._annotations:
            columns |= {f"observation/{self._camera}_box/{name}": np.array(b) for name, b in self._boxes.items()}
        return columns

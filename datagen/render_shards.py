"""Pass 2: the recorded positions of kept episodes through the renderer, into JPEG, into shards."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datagen.annotation_columns import AnnotationColumns, places, pose_columns
from datagen.features import Leaf
from datagen.rlds_writer import EpisodeRecord, ShardRecord, encode_jpeg, step_columns, write_shard
from datagen.schema import rlds_features
from datagen.unit_files import load_episodes
from datagen.units import Rejected, StateEpisode
from sim.engine import Values
from sim.files import write_json
from sim.instances import instance_names, things
from sim.scene import Scene, Value
from sim.streams import frame_seed
from tasks.catalogue import load_task
from tasks.task import Task

RENDERER = "sim.renderer:Renderer"
"""What draws frames unless something else is named: "module:Class", called with (scene, size=...)."""


ANNOTATED = "sim.annotations:AnnotatedRenderer"
"""What draws them where annotations are asked for."""


class FrameRenderer(Protocol):
    """What draws a frame of one scene."""

    def render(
        self, positions: NDArray[np.float64], values: Values, *, camera: str = "image", noise_seed: int | None = None
    ) -> NDArray[np.uint8]:
        """Return one RGB frame (size, size, 3) of positions (nq,), row 0 on top."""


@dataclass(frozen=True)
class RenderSettings:
    """What all frames of a dataset have in common. It travels to the workers, so it holds plain values only."""

    task: str
    preset: str
    # "episode": visual knobs hold for an episode; "step": they are drawn anew for each frame.
    appearance: str
    image_size: int
    cameras: tuple[str, ...]
    # Metadata that is the same for every episode.
    metadata: Mapping[str, str]
    # The renderer as "module:Class".
    renderer: str = RENDERER
    # What is stored beside the frames, see `schema.ANNOTATIONS`.
    annotations: tuple[str, ...] = ()

    def leaves(self) -> tuple[Leaf, ...]:
        """Return the features of the dataset."""
        objects = tuple(things(instance_names(load_task(self.task).scene)))
        return rlds_features(
            image_size=self.image_size, cameras=self.cameras, annotations=self.annotations, objects=objects
        )


@dataclass(frozen=True)
class Pick:
    """One episode of a unit's file, and how near its start is to those before it, m."""

    row: int
    start_distance: float | None


@dataclass(frozen=True)
class ShardJob:
    """One shard to write: which episodes of which units, in order."""

    path: Path
    # Where its record goes once it is finished.
    note: Path
    settings: RenderSettings
    sources: tuple[tuple[Path, tuple[Pick, ...]], ...]


class Stopped(Exception):
    """The work on a shard was given up because somebody asked for it."""


def render_shard(job: ShardJob, stopped: Callable[[], bool] = lambda: False) -> ShardRecord:
    """Write one shard and its record, each whole or not at all. Once `stopped` says so, it ends with `Stopped`."""
    record = write_shard(job.path, _records(job, stopped), leaves=job.settings.leaves())
    write_json(job.note, asdict(record))
    return record


def _records(job: ShardJob, stopped: Callable[[], bool]) -> Iterator[EpisodeRecord]:
    for path, picks in job.sources:
        episodes = load_episodes(path)
        for pick in picks:
            if stopped():
                raise Stopped
            yield rendered_record(placed(episodes[pick.row], pick.start_distance), job.settings)


def placed(episode: StateEpisode, start_distance: float | None) -> StateEpisode:
    """Return the episode with what only its place in the dataset tells: how near its start is to earlier ones."""
    return replace(episode, measurements={**episode.measurements, "start_distance": start_distance})


def rendered_record(episode: StateEpisode, settings: RenderSettings) -> EpisodeRecord:
    """Return the episode with its frames, as it is stored."""
    task = load_task(settings.task)
    renderer = _renderer(settings.renderer, task.id, settings.image_size)
    frames: dict[str, list[bytes]] = {}
    known = pose_columns(episode, task.scene) if "object_poses" in settings.annotations else {}
    points = places(episode, task.target) if "points" in settings.annotations else None
    for camera in settings.cameras:
        seen = AnnotationColumns(camera, task.scene, settings.annotations, points)
        frames[camera] = []
        for frame in _frames(episode, settings, task=task, renderer=renderer, camera=camera):
            frames[camera].append(encode_jpeg(frame))
            seen.add(renderer)
        known |= seen.columns()
    record = episode_record(episode, frames, metadata=settings.metadata)
    return replace(record, steps={**record.steps, **known}) if known else record


def episode_record(
    episode: StateEpisode, frames: Mapping[str, list[bytes]], *, metadata: Mapping[str, str]
) -> EpisodeRecord:
    """Return an episode and its encoded frames as it is stored; `metadata` holds what is not the episode's own."""
    steps = step_columns(
        states=episode.states,
        joints=episode.joints,
        actions=episode.actions,
        rewards=episode.rewards,
        terminated=episode.terminated,
        instruction=episode.instruction,
        frames=frames,
    )
    own: dict[str, str | int | bool] = {
        "template": episode.template,
        "seed": episode.seed,
        "draw": _json(episode.draw),
        "measurements": _json(episode.measurements),
        "success": bool(episode.measurements["success"]),
        "success_once": bool(episode.measurements["success_once"]),
        "perturbed": episode.perturbed,
    }
    return EpisodeRecord(steps, {**metadata, **own})


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _frames(
    episode: StateEpisode, settings: RenderSettings, *, task: Task, renderer: FrameRenderer, camera: str
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame that one camera saw before each action."""
    for step, positions in enumerate(episode.positions):
        values = looks(task, episode.seed, step, episode.draw, settings)
        yield renderer.render(positions, values, camera=camera, noise_seed=frame_seed(episode.seed, step))


def looks(task: Task, seed: int, step: int, draw: Mapping[str, Any], settings: RenderSettings) -> dict[str, Value]:
    """Return the scene parameters that a frame is drawn with."""
    values = task.scene.nominal() | {path: _value(value) for path, value in draw.items()}
    if settings.appearance == "step":
        values |= task.redraw_visual(seed, step, preset=settings.preset)
    return values


def frame_of(episode: Rejected, positions: NDArray[np.float64], settings: RenderSettings) -> NDArray[np.uint8]:
    """Return what the first camera would have shown of a rejected episode at some positions (nq,)."""
    task = load_task(settings.task)
    renderer = _renderer(settings.renderer, task.id, settings.image_size)
    values = looks(task, episode.seed, 0, episode.draw, settings)
    return renderer.render(positions, values, camera=settings.cameras[0], noise_seed=frame_seed(episode.seed, 0))


def _value(stored: Any) -> Value:
    """Return a scene parameter from JSON, where vectors are lists."""
    return tuple(stored) if isinstance(stored, list) else stored


@functools.lru_cache(maxsize=1)
def _renderer(spec: str, task: str, size: int) -> FrameRenderer:
    """Return this process's renderer for the scene of `task`."""
    module, attribute = spec.split(":")
    factory: Callable[..., FrameRenderer] = getattr(importlib.import_module(module), attribute)
    scene: Scene = load_task(task).scene
    return factory(scene, size=size)

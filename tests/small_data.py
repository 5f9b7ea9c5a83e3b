"""Small RLDS datasets for tests: a coloured square on a grey table, and actions that move towards it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datagen.dataset_statistics import dataset_statistics
from datagen.features import FEATURES_FILE, to_json
from datagen.layout import DESCRIPTION_FILE, INFO_FILE, STATISTICS_FILE, Place, dataset_info, shard_name
from datagen.rlds_writer import EpisodeRecord, encode_jpeg, step_columns, write_shard
from datagen.schema import METADATA_SCALARS, METADATA_TEXTS, POINTS, point_key, rlds_features
from sim import conventions
from sim.episodes import PolicySpec
from sim.files import write_json
from sim.streams import generator


def write_dataset(
    out: Path,
    *,
    name: str = "squares",
    lengths: Sequence[int] = (12, 9, 15),
    val_lengths: Sequence[int] = (10,),
    image_size: int = 64,
    seed: int = 0,
    source: str = "synthetic",
    convention: dict[str, Any] | None = None,
    instruction: str = "Move to the {color} square.",
    cameras: tuple[str, ...] = ("image",),
    annotations: tuple[str, ...] = (),
) -> Path:
    """Write a dataset with the given episode lengths and return its version folder.

    The wrist camera, where it is asked for, shows the square as seen from the hand; "points" say where it is seen.
    """
    place = Place(out, name)
    folder = place.final
    leaves = rlds_features(image_size=image_size, cameras=cameras, annotations=annotations)
    splits, pairs = {}, []
    for split, counts in (("train", lengths), ("val", val_lengths)):
        if not counts:
            continue
        streams = [generator(seed, name, split, k) for k in range(len(counts))]
        records = [
            _episode(n, s, image_size, source, instruction, cameras, annotations)
            for n, s in zip(counts, streams, strict=True)
        ]
        shard = write_shard(folder / shard_name(name, split, 0, 1), records, leaves=leaves)
        splits[split] = ([shard.episodes], shard.size)
        pairs += [(r.steps["action"], r.steps["observation/state"]) for r in records]
    stored = conventions.to_json(replace(conventions.CANONICAL, image_size=image_size)) | (convention or {})
    write_json(folder / FEATURES_FILE, to_json(leaves))
    write_json(folder / STATISTICS_FILE, dataset_statistics(pairs))
    write_json(folder / DESCRIPTION_FILE, {"convention": stored, "source": source, "seed": seed})
    write_json(folder / INFO_FILE, dataset_info(place, splits, description="squares"))
    return folder


def _episode(
    count: int,
    stream: np.random.Generator,
    size: int,
    source: str,
    said: str,
    cameras: tuple[str, ...],
    annotations: tuple[str, ...],
) -> EpisodeRecord:
    goal = stream.uniform(-0.2, 0.2, 2)
    start = stream.uniform(-0.2, 0.2, 2)
    along = np.linspace(0, 1, count)[:, None]
    place = start + along * (goal - start)
    states = np.zeros((count, 8), np.float32)
    states[:, :2], states[:, 2], states[:, 3], states[:, 7] = place, 0.2, 1.0, 1.0
    actions = np.zeros((count, 7), np.float32)
    actions[:, :2] = np.clip(goal - place, -0.05, 0.05)
    actions[:, 6] = np.arange(count) < count * 2 // 3
    color = ("red", "green")[int(stream.integers(2))]
    # What each camera sees of goal and hand: from the wrist, the hand is always in the middle.
    views = {"image": (np.tile(goal, (count, 1)), place), "wrist_image": ((goal - place) / 2, np.zeros((count, 2)))}
    frames = {
        name: [encode_jpeg(_frame(one, two, color, size)) for one, two in zip(*views[name], strict=True)]
        for name in cameras
    }
    columns = step_columns(
        states=states,
        joints=np.zeros((count, 7), np.float32),
        actions=actions,
        rewards=np.zeros(count, np.float32),
        terminated=False,
        instruction=said.format(color=color),
        frames=frames,
    )
    if "points" in annotations:
        for name in cameras:
            for thing, seen in zip(POINTS, views[name], strict=True):
                columns[point_key(name, thing)] = ((seen + 0.25) / 0.5).astype(np.float32)
    texts = dict.fromkeys(METADATA_TEXTS, "") | {"draw": "{}", "measurements": "{}", "source": source}
    scalars = {key: (1 if kind == "int64" else True) for key, kind in METADATA_SCALARS}
    return EpisodeRecord(columns, texts | scalars)


def _frame(goal: np.ndarray, hand: np.ndarray, color: str, size: int) -> np.ndarray:
    image = np.full((size, size, 3), 120, np.uint8)
    for place, shade in ((goal, (200, 30, 30) if color == "red" else (30, 200, 30)), (hand, (240, 240, 240))):
        x, y = ((place + 0.25) / 0.5 * size).astype(int)
        image[max(y - 3, 0) : y + 3, max(x - 3, 0) : x + 3] = shade
    return image


class Standing:
    """A policy that stands still with an open gripper."""

    spec = PolicySpec(name="standing", convention=conventions.CANONICAL, inputs=frozenset())

    def reset(self, ids):
        pass

    def act(self, observation):
        return np.eye(7)[None, 6]


STANDING = Standing()

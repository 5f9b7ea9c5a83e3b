"""Some episodes to look at: the way of the hand, curves of the actions, and filmstrips."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from datagen.inspection.checks import numbers, pictures, pixels, sentences
from datagen.inspection.roles import Column, Roles
from datagen.rlds_reader import StoredEpisode
from sim.charts import Chart, Series

STRIP, CAMERAS = 7, 3
"""Most frames of a filmstrip, and most cameras that are shown."""

THUMBNAIL = 128
"""Least height of a frame in a filmstrip, pixels, where the stored one is larger."""

QUALITY = 85

POINTS = 400
"""Most steps that a curve shows."""

CURVES, CHARTS = 6, 8
"""Most curves of one chart, and most charts of one episode."""


@dataclass(frozen=True)
class Shot:
    """One episode as the page shows it."""

    split: str
    number: int
    length: int
    sentence: str
    # x, y and z of the hand over time, or None where they were not found.
    path: list[list[float]] | None
    charts: tuple[Chart, ...]
    # Camera -> frames as {"step", "source"}; empty for an episode that is only drawn.
    strips: dict[str, list[dict[str, Any]]]


def shoot(split: str, number: int, episode: StoredEpisode, roles: Roles, *, filmed: bool) -> Shot:
    """Return what is shown of one episode."""
    said = sentences(episode, roles)
    path = None
    for column in roles.states:
        if column.key == roles.position:
            path = numbers(episode, column)[_spread(episode.length, POINTS), :3].T.tolist()
    cameras = roles.cameras[:CAMERAS] if filmed else ()
    return Shot(
        split=split,
        number=number,
        length=episode.length,
        sentence=said[0].strip() if said else "",
        path=path,
        charts=tuple(_charts(episode, roles))[:CHARTS],
        strips={camera: strip for camera in cameras if (strip := _strip(episode, camera))},
    )


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` numbers below `count`, evenly spread, first and last included."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _charts(episode: StoredEpisode, roles: Roles) -> Iterator[Chart]:
    """Yield the curves of the actions, the gripper's apart."""
    steps = _spread(episode.length, POINTS)
    for column in roles.actions:
        values = numbers(episode, column)[steps]
        for group in _groups(column, roles):
            series = [Series(column.names[i], steps, values[:, i].tolist()) for i in group]
            title = column.key if len(group) > 1 or column.size == 1 else f"{column.key} [{column.names[group[0]]}]"
            yield Chart(title, series, x_label="step")


def _groups(column: Column, roles: Roles) -> Iterator[list[int]]:
    """Yield the numbers that are drawn together: position and rotation of an arm, and its gripper, each apart."""
    gripper = roles.gripper[1] if roles.gripper is not None and roles.gripper[0] == column.key else None
    rest = [i for i in range(column.size) if i != gripper]
    size = 3 if len(rest) == 6 and gripper is not None else CURVES
    yield from (rest[i : i + size] for i in range(0, len(rest), size))
    if gripper is not None:
        yield [gripper]


def _strip(episode: StoredEpisode, camera: str) -> list[dict[str, Any]]:
    """Return frames of one camera as data URIs; those that cannot be decoded are left out."""
    stored = pictures(episode, camera)
    frames = []
    for step in _spread(len(stored), STRIP):
        try:
            picture = pixels(stored[step])
        except Exception:  # A broken picture is told among the findings; the strip shows the others.
            continue
        small = simplejpeg.encode_jpeg(_smaller(picture), quality=QUALITY, colorspace="RGB")
        data = base64.b64encode(small).decode("ascii")
        frames.append({"step": step, "source": f"data:image/jpeg;base64,{data}"})
    return frames


def _smaller(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (h, w, 3) reduced by a whole factor to about `THUMBNAIL` pixels of height."""
    factor = max(1, min(picture.shape[:2]) // THUMBNAIL)
    height, width = picture.shape[0] // factor * factor, picture.shape[1] // factor * factor
    blocks = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    mean: NDArray[np.uint8] = np.ascontiguousarray(blocks.mean(axis=(1, 3)).round().astype(np.uint8))
    return mean

"""One line of the episode log: what one policy did in one episode of one host, and its frames on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from bench.events import measure_events
from bench.failures import failure
from bench.metrics import episode_metrics
from sim.episodes import Episode
from sim.files import write_bytes

Record = dict[str, Any]
"""The JSON of one episode. Nothing in it depends on the clock or on the order in which episodes ran."""

JPEG_QUALITY = 88


def key(record: Mapping[str, Any]) -> tuple[str, str, int, str, str, int]:
    """Return what names a record: host, policy, seed; in a run of a suite, task, axis and level too."""
    cell = str(record.get("task", "")), str(record.get("axis", "")), int(record.get("level", 0))
    return str(record["host"]), str(record["policy"]), int(record["seed"]), *cell


def judged(host: str, policy: str, episode: Episode, *, target: str, execute: int = 1) -> Record:
    """Return the record of an episode that ran; one with an error has no verdict and no metrics.

    `execute` is the number of actions of each chunk that were executed. "failure" tells why our task's own success did
    not hold at the end, None where it did.
    """
    record: Record = {
        "host": host,
        "policy": policy,
        "seed": episode.seed,
        "instruction": episode.instruction,
        "length": episode.length,
        "draw": dict(episode.draw),
        "error": episode.error,
    }
    if episode.error is not None:
        return record
    own = next((name for name in ("task_success", "lifted") if name in episode.terms), None)
    lifted = np.asarray(episode.success if own is None else episode.terms[own] > 0)
    events = measure_events(episode, target=target)
    return record | {
        "target": target,
        "success": episode.succeeded,
        "success_once": episode.succeeded_once,
        # Our task's own success, under the name that readers of every version know.
        "lifted": bool(lifted[-1]),
        "lifted_once": bool(lifted.any()),
        "task_success": bool(lifted[-1]),
        "task_success_once": bool(lifted.any()),
        "failure": failure(episode, events, success=bool(lifted[-1])),
        "metrics": episode_metrics(episode, target=target, lifted=lifted, events=events, execute=execute),
    }


def crashed(host: str, policy: str, seed: int, reason: str) -> Record:
    """Return the record of an episode that broke off: an error, never a failure of the policy."""
    return {"host": host, "policy": policy, "seed": seed, "error": reason}


def frame_folder(out: Path, host: str, policy: str, seed: int, *, labels: Mapping[str, Any] | None = None) -> Path:
    """Return the folder that holds an episode's frames, named by step; `labels` are the record's, or what names it."""
    folder = out / "frames" / _slug(host) / _slug(policy)
    if labels and "axis" in labels:
        folder = folder / _slug(str(labels["task"])) / _slug(f"{labels['axis']}-{labels['level']}")
    return folder / str(seed)


def write_frames(folder: Path, episode: Episode) -> None:
    """Write the episode's kept frames as JPEG files `<step>.jpg`."""
    for step, image in zip(episode.frame_steps, episode.frames.get("image", ()), strict=True):
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=JPEG_QUALITY, colorspace="RGB")
        write_bytes(folder / f"{step:04d}.jpg", data)


def _slug(name: str) -> str:
    """Return `name` with everything but letters, digits, dot, dash and underscore replaced by a dash."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name)

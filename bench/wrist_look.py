"""Whether the wrist camera sits and looks as the convention says: where the target must be seen, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.checklist import Finding
from bench.hosts.views import wrist_camera
from bench.picture_look import ONE, Places, color_names, middle_of
from sim.episodes import WRIST, Env, Images

NEAR = 0.08
"""Mean distance between where the target must be seen and where it is, as a share of the frame, that still agrees."""

CLEAR = ((0.15, 0.85), (0.15, 0.72))
"""Where in a frame, along x and y, a thing is seen whole: neither at the edge nor behind the hand."""

FEWEST = 3
"""Frames that must show the target for a verdict: fewer could agree by chance."""

WAY = "where the wrist camera sees the target"

TURNS: dict[str, Callable[[Places], Places]] = {
    "the frame is turned by 180 degrees": lambda place: 1 - place,
    "rows are flipped": lambda place: np.stack([place[:, 0], 1 - place[:, 1]], axis=1),
    "columns are mirrored": lambda place: np.stack([1 - place[:, 0], place[:, 1]], axis=1),
    "the frame is turned by 90 degrees counterclockwise": lambda place: np.stack(
        [place[:, 1], 1 - place[:, 0]], axis=1
    ),
    "the frame is turned by 90 degrees clockwise": lambda place: np.stack([1 - place[:, 1], place[:, 0]], axis=1),
}
"""What goes wrong with cameras on hands, and what it does to places (k, 2): x right and y down, shares of the frame."""


class _Looks(NamedTuple):
    """Frames (k, h, w, 3) of some starts, where the target must be seen in them (k, 2), and its colours."""

    frames: Images
    expected: Places
    colors: list[str]
    # Whether it is the only object, so that nothing else can have its colour.
    alone: bool


def wrist_findings(env: Env, seeds: Sequence[int], *, target: str) -> Iterator[Finding]:
    """Yield what the wrist camera shows at the first steps of a few episodes, beside where its pose puts the target."""
    looks = _looks(env, seeds, target)
    size, shape = env.spec.convention.image_size, looks.frames.shape[1:]
    good = shape == (size, size, 3) and looks.frames.dtype == np.uint8
    yield Finding("frames of the wrist camera", f"({size}, {size}, 3) uint8", f"{shape} {looks.frames.dtype}", good)
    if good:
        yield _place(looks)


def _looks(env: Env, seeds: Sequence[int], target: str) -> _Looks:
    frames, expected, sentences, drawn, objects = [], [], [], [], set()
    for seed in seeds:
        env.reset(ONE, [seed])
        shown, poses, draw = env.observe(ONE), env.snapshot(ONE), env.draw(0)
        frames.append(np.asarray(shown.render(WRIST))[0])
        pose = poses.get(f"object/{target}")
        objects |= {name for name in poses if name.startswith("object/")}
        expected.append(np.full(2, np.nan) if pose is None else wrist_camera(poses["tcp"][0]).project(pose[:, :3])[0])
        sentences.append(shown.instructions[0])
        drawn.append(draw.get(f"{target}.color", draw.get("target.color")))
    return _Looks(np.stack(frames), np.stack(expected), color_names(drawn, sentences), alone=len(objects) == 1)


def _place(looks: _Looks) -> Finding:
    """Return whether the target is seen where the canonical camera on this hand would see it."""
    expected = "as from 5 cm before the hand, along the fingers, y of the hand to the right"
    seen = [_seen(frame, color) for frame, color in zip(looks.frames, looks.colors, strict=True)]
    both = [(place, found) for place, found in zip(looks.expected, seen, strict=True) if found is not None]
    low, high = np.array(CLEAR).T
    inside = [(place, found) for place, found in both if ((place > low) & (place < high)).all()]
    if len(inside) < FEWEST:
        return Finding(WAY, expected, f"not judged: it is seen in {len(inside)} of {len(seen)} first frames", None)
    wanted, found = (np.array(each, dtype=np.float64) for each in zip(*inside, strict=True))
    off = _apart(wanted, found)
    if off < NEAR:
        return Finding(WAY, expected, f"{100 * off:.1f} % of the frame off", True)
    turned = {text: _apart(turn(wanted), found) for text, turn in TURNS.items()}
    likely = min(turned, key=lambda text: turned[text])
    got = f"{100 * off:.0f} % of the frame off"
    if turned[likely] < NEAR:
        return Finding(WAY, expected, f"{got}: {likely}", False)
    if looks.alone:
        return Finding(WAY, expected, f"{got}: the camera is elsewhere, or looks another way", False)
    return Finding(WAY, expected, f"not judged: {got}, but other things may have its colour", None)


def _seen(frame: Images, color: str) -> NDArray[np.float64] | None:
    """Return x and y of the middle of a colour's pixels, as shares of the frame; None where it is not seen."""
    middle = middle_of(frame, color) if color else None
    return None if middle is None else (middle[::-1] + 0.5) / frame.shape[0]


def _apart(wanted: Places, found: Places) -> float:
    return float(np.linalg.norm(wanted - found, axis=1).mean())

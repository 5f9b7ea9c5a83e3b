"""Whether frames are what a convention says: their size, which row and column come first, the order of channels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.checklist import Finding
from sim.conventions import Convention
from sim.episodes import Env, Images
from sim.scene import PALETTE

STARTS = 6
"""Episode starts whose frames are looked at."""

ENOUGH = 25
"""Pixels of a colour that count as seeing it."""

SURE = 0.85
"""Correlation, of either sign, from which a direction counts as known."""

WAY = "which way up, and which channels"

IN_FRONT = "third person, in front of the robot"
"""The camera for which right in the frame is +y and down is +x of the base frame."""

ONE = np.zeros(1, dtype=np.intp)
Places = NDArray[np.float64]


def picture_findings(env: Env, seeds: Sequence[int], *, target: str) -> Iterator[Finding]:
    """Yield what the first frames of a few episodes show: their shape, and where the target appears in them."""
    frames, places, colors = _frames(env, seeds[:STARTS], target)
    size, shape = env.spec.convention.image_size, frames.shape[1:]
    good = shape == (size, size, 3) and frames.dtype == np.uint8
    yield Finding("frames", f"({size}, {size}, 3) uint8", f"{shape} {frames.dtype}", good)
    if not good:
        return
    yield Finding("frames are drawn", "more than one colour", "", bool(frames.std() > 1.0))
    if len(frames) > 1 and env.spec.placement == "random":
        same = bool((frames[0] == frames[1]).all())
        yield Finding(
            "other seeds look otherwise", "other frames", "equal frames" if same else "other frames", not same
        )
    known = all(colors) and places is not None and len(frames) >= 4
    if places is None or not known or env.spec.convention.camera != IN_FRONT:
        yield Finding(WAY, "the target appears where it lies", "not judged: its colour or place is not told", None)
        return
    yield _orientation(frames, places, colors, env.spec.convention)


def _frames(env: Env, seeds: Sequence[int], target: str) -> tuple[Images, Places | None, list[str]]:
    """Return first frames (k, h, w, 3), the target's x and y (k, 2), and its colours, "" where it is not told."""
    frames, places, sentences, drawn = [], [], [], []
    for seed in seeds:
        env.reset(ONE, [seed])
        shown = env.observe(ONE)
        frames.append(np.asarray(shown.render("image"))[0])
        pose = env.snapshot(ONE).get(f"object/{target}")
        places.append(None if pose is None else pose[0, :2])
        sentences.append(shown.instructions[0])
        draw = env.draw(0)
        drawn.append(draw.get(f"{target}.color", draw.get("target.color")))
    known = [place for place in places if place is not None]
    colors = color_names(drawn, sentences)
    return np.stack(frames), np.array(known) if len(known) == len(frames) else None, colors


def color_names(drawn: Sequence[object], sentences: Sequence[str]) -> list[str]:
    """Return the target's colours: those drawn, or else the only one that sentences speak of; "" where none is told."""
    said = set(re.findall("|".join(PALETTE), " ".join(sentences).lower()))
    default = said.pop() if len(said) == 1 else ""
    return [color if isinstance(color, str) and color in PALETTE else default for color in drawn]


def _orientation(frames: Images, places: Places, colors: list[str], convention: Convention) -> Finding:
    """Return whether the target's pixels go down with its x and right with its y, read as the convention says."""
    expected = "the target goes down with x and right with y"
    upright = frames if convention.first_row == "top" else frames[:, ::-1]
    upright = upright if convention.channels == "rgb" else upright[..., ::-1]
    found, exchanged = agreement(upright, places, colors), agreement(upright[..., ::-1], places, colors)
    if found is None or min(map(abs, found)) < SURE:
        if exchanged is not None and min(map(abs, exchanged)) > SURE:
            return Finding(WAY, expected, "its colour is seen only where red and blue are exchanged: BGR", False)
        return Finding(WAY, expected, "not judged: the target is not seen clearly in every frame", None)
    wrong = [text for value, text in zip(found, ("rows are flipped", "columns are mirrored"), strict=True) if value < 0]
    got = f"correlations {found[0]:.2f} and {found[1]:.2f}"
    return Finding(WAY, expected, f"{got}: {' and '.join(wrong)}" if wrong else got, not wrong)


def agreement(frames: Images, places: Places, colors: Sequence[str]) -> tuple[float, float] | None:
    """Return how the colours' rows follow x and their columns follow y; None where one is not seen."""
    middles = [middle_of(frame, color) for frame, color in zip(frames, colors, strict=True)]
    if any(middle is None for middle in middles):
        return None
    rows, columns = np.array(middles, dtype=np.float64).T
    return _correlation(places[:, 0], rows), _correlation(places[:, 1], columns)


def _correlation(a: Places, b: Places) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def middle_of(frame: Images, name: str) -> NDArray[np.float64] | None:
    """Return row and column of the middle of the pixels whose tint is the colour `name`, None if they are too few."""
    color = np.array(PALETTE[name])
    pixels, wanted = frame.astype(np.float64), color - color.mean()
    tint = pixels - pixels.mean(axis=-1, keepdims=True)
    strength = np.linalg.norm(tint, axis=-1)
    along = tint @ wanted / (np.linalg.norm(wanted) * np.maximum(strength, 1e-9))
    seen = (along > 0.975) & (strength > 0.35 * np.maximum(pixels.max(axis=-1), 40.0))
    if int(seen.sum()) < ENOUGH:
        return None
    middle: NDArray[np.float64] = np.argwhere(seen).mean(axis=0)
    return middle

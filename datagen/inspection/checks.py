"""What can be told of one episode alone: wrong flags, numbers that are not finite, blank sentences, black pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.inspection.roles import Column, Roles
from datagen.rlds_reader import StoredEpisode, decode_image

FLAT_PICTURE = 2.0
"""Standard deviation of all pixels, of 255, up to which a picture counts as a single colour."""

Fault = tuple[str, str]
"""Kind of a finding and the reason in words."""


def faults(episode: StoredEpisode, roles: Roles) -> Iterator[Fault]:
    """Yield what is wrong with an episode, as far as it shows without the others."""
    yield from ((("incomplete", reason)) for reason in _incomplete(episode, roles.flags))
    if not episode.length:
        return
    for key, values in episode.steps.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and not np.isfinite(values).all():
            step = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
            yield "not finite", f"{key} is not finite, first at step {step}"
    if roles.language is not None:
        blank = [step for step, text in enumerate(sentences(episode, roles)) if not text.strip()]
        if blank:
            everywhere = len(blank) == len(sentences(episode, roles))
            where = "in all steps" if everywhere else f"at step {blank[0]} and {len(blank) - 1} others"
            yield "missing sentence", f"{roles.language} is blank {where}"
    for camera in roles.cameras:
        yield from _pictures(episode, camera)


def _incomplete(episode: StoredEpisode, flags: Sequence[str]) -> Iterator[str]:
    count = episode.length
    if count < 2:
        yield f"it has {count} step{'s' if count != 1 else ''}"
    marks = {flag: np.flatnonzero(np.asarray(episode.steps[flag])) for flag in flags if flag in episode.steps}
    if not count:
        return
    for flag, place, where in (("is_first", 0, "the first"), ("is_last", count - 1, "the last")):
        if flag in marks and marks[flag].tolist() != [place]:
            found = marks[flag].tolist()
            told = "no step has it" if not found else f"steps {found[:4]}{' ...' if len(found) > 4 else ''} have it"
            yield f"{flag} must stand at {where} step ({place}) alone; {told}"
    if "is_terminal" in marks and len(early := marks["is_terminal"][marks["is_terminal"] < count - 1]):
        yield f"is_terminal stands at step {int(early[0])}, before the last ({count - 1})"


def sentences(episode: StoredEpisode, roles: Roles) -> list[str]:
    """Return the instruction of each step, or the one of the episode; none where the dataset has no language."""
    if roles.language is None:
        return []
    if roles.language_in_metadata:
        return [str(episode.metadata.get(roles.language, ""))]
    column = episode.steps.get(roles.language, [])
    return [text.decode(errors="replace") for text in column if isinstance(text, bytes)]


def numbers(episode: StoredEpisode, column: Column) -> NDArray[np.float64]:
    """Return a numeric column as (T, d); NaN where the episode lacks it."""
    values = episode.steps.get(column.key)
    if not isinstance(values, np.ndarray):
        return np.full((episode.length, column.size), np.nan)
    return values.reshape(len(values), -1).astype(np.float64)


def pictures(episode: StoredEpisode, camera: str) -> list[bytes] | NDArray[np.uint8]:
    """Return the stored pictures of a camera: encoded, or pixels (T, h, w, 3); none where the episode lacks them."""
    column = episode.steps.get(camera, [])
    return column if isinstance(column, list) else column.astype(np.uint8, copy=False)


def pixels(stored: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one stored picture as (h, w, 3) RGB."""
    return decode_image(stored) if isinstance(stored, bytes) else stored


def _pictures(episode: StoredEpisode, camera: str) -> Iterator[Fault]:
    """Yield what is wrong with the pictures of a camera, from the first, the middle, the last, and the smallest one.

    An encoded picture of a single colour is smaller than every other, so a black one among many is found without
    decoding them all.
    """
    stored = pictures(episode, camera)
    if not len(stored):
        return
    sizes = [len(picture) if isinstance(picture, bytes) else float(picture.std()) for picture in stored]
    looked = sorted({0, len(stored) // 2, len(stored) - 1, int(np.argmin(sizes))})
    flat: list[tuple[int, float]] = []
    for step in looked:
        try:
            picture = pixels(stored[step])
        except Exception as error:  # Whatever a decoder makes of damaged bytes is told, not raised.
            yield "broken image", f"{camera} at step {step} cannot be decoded ({error})"
            return
        if float(picture.std()) <= FLAT_PICTURE:
            flat.append((step, float(picture.mean())))
    if flat:
        shade = "black" if flat[0][1] <= 3 * FLAT_PICTURE else "of a single colour"
        where = "in every picture looked at" if len(flat) == len(looked) else f"at step {flat[0][0]}"
        yield "black image", f"{camera} is {shade} {where}"

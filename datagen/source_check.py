"""A declaration against the data's own statistics: what cannot be true is refused, with both conventions printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from datagen.canonical import action_to_canonical, state_to_canonical
from datagen.declaration import Declaration
from datagen.declared_source import Examinable, RawEpisode
from datagen.rlds_reader import decode_image
from datagen.source_statistics import gripper_agreement, high, low, motion_agreement, speeds, turning_agreement
from sim.conventions import CANONICAL
from sim.errors import UserError
from sim.rotation_forms import FORMS

Numbers = NDArray[np.float64]

EPISODES, FRAMES = 24, 4
"""Episodes whose numbers, and of which one frame each, are looked at."""

SPEED, TURNING = 3.0, 8.0
"""Faster commanded hands than these are wrong units: m/s and rad/s (a Panda's are limited to 1.7 and 2.5)."""

REACH = 3.0
"""Metres from the base beyond which no hand of an arm on a table is."""

FAR = 0.3
"""Metres between a commanded pose and where the hand is beyond which (in half of all steps) it is no command."""


@dataclass(frozen=True)
class Measured:
    """What was found of a source that is as declared."""

    episodes: int
    steps: int
    # 99th percentile of the commanded speed, m/s and rad/s.
    speed: float
    turning: float
    # Cosine between commanded and measured motion, and correlation of commanded and measured opening; None: too little.
    motion_agreement: float | None
    gripper_agreement: float | None
    # Cosine between commanded and measured turning.
    turning_agreement: float | None


@dataclass(frozen=True)
class _Sample:
    """The numbers of some episodes, as declared and converted."""

    raw: list[RawEpisode]
    states: list[Numbers]
    actions: list[Numbers]


def examine(dataset: Examinable, *, split: str = "train") -> Measured:
    """Return what the data shows, or refuse the declaration with everything that contradicts it."""
    declared = dataset.declared
    if declared.rate != CANONICAL.rate and not dataset.resample:
        raise UserError(
            f"{dataset.path} runs at {declared.rate:g} Hz and the canonical rate is {CANONICAL.rate:g} Hz: the same "
            "action at another rate is another speed. Write resample = true beside its path to interpolate the motion "
            "and hold the frames in between, or leave the source out."
        )
    raw = list(islice(dataset.raw(split, verify=False), EPISODES))
    if not raw:
        raise UserError(f"{dataset.path} holds no step in split {split!r}: there is nothing to check or to train on.")
    states = [state_to_canonical(episode.states, declared) for episode in raw]
    actions = [action_to_canonical(e.actions, s, declared) for e, s in zip(raw, states, strict=True)]
    sample = _Sample(raw, states, actions)
    faults = [*_numbers(sample, declared), *_meaning(sample, declared), *_frames(dataset, raw)]
    if faults:
        raise _refusal(dataset, sample, faults)
    speed, turning = speeds(sample.actions, rate=declared.rate)
    return Measured(
        episodes=len(raw),
        steps=sum(len(a) for a in actions),
        speed=speed,
        turning=turning,
        motion_agreement=motion_agreement(states, actions),
        gripper_agreement=gripper_agreement(states, actions),
        turning_agreement=turning_agreement(states, actions),
    )


def _refusal(dataset: Examinable, sample: _Sample, faults: list[str]) -> UserError:
    rows = "\n".join(
        f"  {name:10} declared: {ours:64} canonical: {theirs}" for name, ours, theirs in _both(dataset.declared)
    )
    steps = sum(len(actions) for actions in sample.actions)
    return UserError(
        f"{dataset.path} is not what its declaration says, in {steps:,} steps of {len(sample.raw)} episodes:\n"
        + "\n".join(f"- {fault}" for fault in faults)
        + f"\nThe two conventions:\n{rows}\nCorrect the declaration; docs/datagen.md explains every key."
    )


def _both(declared: Declaration) -> Iterator[tuple[str, str, str]]:
    """Yield what the declaration and the canonical convention say of the same thing."""
    action, state, frame = declared.action, declared.state, declared.frame
    yield (
        "position",
        f"{action.pose} in the {action.frame} frame, 1 = {action.position_unit:g} m",
        "delta, base frame, 1 m",
    )
    yield "rotation", f"{action.rotation}, 1 = {action.rotation_unit:g} rad", "delta axis-angle, base frame, 1 rad"
    ends = f"{action.gripper}, {action.gripper_open:g} = open, {action.gripper_closed:g} = closed"
    yield "gripper", ends, "absolute, 1 = open, 0 = closed"
    opening = f"{state.rotation}, {state.gripper_open:g} = open, {state.gripper_closed:g} = closed"
    yield "state", opening, "quaternion xyzw, 1 = open, 0 = closed"
    yield "rate", f"{declared.rate:g} Hz", f"{CANONICAL.rate:g} Hz"
    yield (
        "frames",
        f"{frame.height} x {frame.width} uint8 {frame.channels}",
        f"{CANONICAL.image_size} pixels, uint8 rgb",
    )


def conversions(declared: Declaration, measured: Measured) -> str:
    """Return one line: what is converted of a declared source, and what was measured of it."""
    steps = [
        f"{name} {ours} -> {theirs}"
        for name, ours, theirs in _both(declared)
        if not (name == "rate" and declared.rate == CANONICAL.rate)
    ]
    agreements = [
        f"{name} {value:.2f}"
        for name, value in (
            ("of motion", measured.motion_agreement),
            ("of turning", measured.turning_agreement),
            ("of the gripper", measured.gripper_agreement),
        )
        if value is not None
    ]
    said = f"; agreement with the commands {', '.join(agreements)}" if agreements else ""
    return f"{'; '.join(steps)}; at most {measured.speed:.2g} m/s and {measured.turning:.2g} rad/s (q99){said}"


def _numbers(sample: _Sample, declared: Declaration) -> Iterator[str]:
    """Yield what single numbers contradict: finiteness, gripper ranges, rotation forms, reach."""
    states = np.concatenate([episode.states for episode in sample.raw])
    actions = np.concatenate([episode.actions for episode in sample.raw])
    for name, values in (("state", states), ("action", actions)):
        if not np.isfinite(values).all():
            yield f"the {name} holds NaN or infinity"
    state, action = declared.state, declared.action
    moves = action.gripper_moves
    yield from _gripper("state", states[:, -1], state.gripper_open, state.gripper_closed, moves=moves)
    relative = action.gripper == "relative"
    commands = actions[:, -1]
    yield from _gripper("action", commands, action.gripper_open, action.gripper_closed, moves=moves and not relative)
    if moves and relative and np.ptp(commands) < 0.25 * abs(action.gripper_open - action.gripper_closed):
        yield f"the gripper of the action is told nothing: its numbers stay at {commands.mean():.3g}"
    yield from _rotation("state", states[:, 3:-1], state.rotation, 1.0)
    yield from _rotation("action", actions[:, 3:-1], action.rotation, action.rotation_unit)
    away = high(np.linalg.norm(np.concatenate(sample.states)[:, :3], axis=1))
    if away > REACH:
        yield f"the hand is {away:.3g} m from the base, which no arm reaches: correct position_unit of [state]"


def _gripper(part: str, values: Numbers, opened: float, closed: float, *, moves: bool) -> Iterator[str]:
    """Yield where a gripper's numbers leave their declared ends, or never come to one of them."""
    fraction = (values - closed) / (opened - closed)
    lowest, highest = low(fraction), high(fraction)
    said = f"the gripper of the {part} ranges from {values.min():.3g} to {values.max():.3g}"
    if lowest < -0.15 or highest > 1.15:
        yield f"{said}, and {opened:g} is declared as open and {closed:g} as closed: another range or unit"
    elif moves and fraction.max() <= 0.5:
        yield f"{said} and is never more than half open, if {opened:g} means open: turned round, or another unit"
    elif moves and fraction.min() >= 0.5:
        yield f"{said} and is never more than half closed, if {closed:g} means closed: turned round, or another unit"


def _rotation(part: str, values: Numbers, form: str, unit: float) -> Iterator[str]:
    """Yield where rotations are not of their declared form."""
    if not FORMS[form].size:
        return
    if form.startswith("quaternion") or form.startswith("6d"):
        vectors = values.reshape(-1, 4) if form.startswith("quaternion") else values.reshape(-1, 3)
        off = high(np.abs(np.linalg.norm(vectors, axis=1) - 1))
        if off > 0.01:
            yield f"the rotation of the {part} is declared as {form}, and its vectors are not unit: off by {off:.3g}"
        return
    bound = 2 * np.pi if form == "axis-angle" else np.pi
    size = np.linalg.norm(values, axis=1) if form == "axis-angle" else np.abs(values).max(axis=1)
    largest = high(size * unit)
    if largest > bound + 0.01:
        yield f"the {form} of the {part} reaches {largest:.3g} rad, beyond {bound:.3g}: degrees, or another form"


def _meaning(sample: _Sample, declared: Declaration) -> Iterator[str]:
    """Yield what motion contradicts: speeds, commands far from the hand, signs of motion and gripper."""
    speed, turning = speeds(sample.actions, rate=declared.rate)
    if declared.action.pose == "absolute":
        away = float(np.median(np.linalg.norm(np.concatenate(sample.actions)[:, :3], axis=1)))
        if away > FAR:
            yield f"half of the commanded poses are {away:.3g} m or more from the hand: no absolute poses of this frame"
    elif speed > SPEED:
        yield (
            f"actions move the hand by up to {speed / declared.rate:.3g} m per step, {speed:.3g} m/s: another "
            "position_unit, or absolute poses"
        )
    if turning > TURNING and declared.action.pose == "delta":
        yield (
            f"actions turn the hand by up to {turning / declared.rate:.3g} rad per step, {turning:.3g} rad/s: another "
            "rotation_unit, or absolute poses"
        )
    agreement = motion_agreement(sample.states, sample.actions)
    if agreement is not None and agreement < 0:
        yield f"the hand moves against its commands (cosine {agreement:.2f}): another frame, or signs"
    agreement = turning_agreement(sample.states, sample.actions)
    if agreement is not None and agreement < -0.2:
        yield f"the hand turns against its commands (cosine {agreement:.2f}): another frame, form or sign of rotations"
    agreement = gripper_agreement(sample.states, sample.actions)
    if agreement is not None and agreement < -0.2:
        yield f"the hand opens when it is told to close (correlation {agreement:.2f}): one of the two signs is wrong"


def _frames(dataset: Examinable, raw: list[RawEpisode]) -> Iterator[str]:
    """Yield where frames are of another size than declared, and whether any sentence is there."""
    declared = dataset.declared.frame
    shapes = {decode_image(episode.images[len(episode.images) // 2]).shape for episode in raw[:FRAMES]}
    wrong = sorted(shape for shape in shapes if shape != (declared.height, declared.width, 3))
    if wrong:
        found = ", ".join(f"{shape[0]} x {shape[1]}" for shape in wrong)
        yield f"frames have {found} pixels (rows x columns), declared are {declared.height} x {declared.width}"
    if not any(text.strip() for episode in raw for text in episode.texts):
        yield f"no step has a sentence in {dataset.declared.keys.instruction!r}: another column, or no language"

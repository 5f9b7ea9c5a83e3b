"""What the features of a dataset stand for, found by name and shape; and what was not found, looked for where."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datagen.features import METADATA, STEPS, Leaf

MOST_DIMENSIONS = 64
"""Numbers per step above which a feature is an embedding or a map: it is named and not summarized."""

LANGUAGE = (
    "language_instruction",
    "observation/natural_language_instruction",
    "natural_language_instruction",
    "observation/language_instruction",
    "observation/structured_language_instruction",
)
POSITIONS = ("tcp", "eef", "ee_", "end_effector", "cartesian", "pose", "position", "robot_obs", "proprio", "state")
TASKS = ("task", "task_name", "task_id", "task_family_name")
FLAGS = ("is_first", "is_last", "is_terminal")
CANONICAL_STATE = "observation/state"
ARM_SIZES = (7, 8)
"""Sizes of an unnamed action whose last number is taken for the gripper."""

CANONICAL_NAMES = {
    "action": ("x", "y", "z", "rotation x", "rotation y", "rotation z", "gripper"),
    "observation/state": ("x", "y", "z", "quaternion x", "quaternion y", "quaternion z", "quaternion w", "opening"),
}
"""Names of the numbers in a dataset that says that it follows the canonical convention."""


@dataclass(frozen=True)
class Column:
    """A numeric feature of the steps: its key, and a name for each of its numbers."""

    key: str
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many numbers a step has."""
        return len(self.names)


@dataclass(frozen=True)
class Roles:
    """Which feature plays which part; keys without "steps/" and "episode_metadata/"."""

    actions: tuple[Column, ...]
    states: tuple[Column, ...]
    cameras: tuple[str, ...]
    # Text per step that is the instruction, or, where `language_in_metadata`, a text of the episode.
    language: str | None
    language_in_metadata: bool
    # Text of the episode's metadata that names its task.
    task: str | None
    # Which of is_first, is_last, is_terminal there are.
    flags: tuple[str, ...]
    # State column whose first three numbers are taken for the position of the hand.
    position: str | None
    # Action column and index of the gripper.
    gripper: tuple[str, int] | None
    # (state column, index of its first number) -> whether the dataset says that four numbers are a quaternion there.
    quaternions: Mapping[tuple[str, int], bool]
    # Sentences about what was taken for what, and about what was not found.
    assumed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The summarized columns, actions first."""
        return (*self.actions, *self.states)


def find_roles(leaves: Sequence[Leaf], description: Mapping[str, Any] | None) -> Roles:
    """Return the parts that the declared features play."""
    steps = {leaf.key.removeprefix(f"{STEPS}/"): leaf for leaf in leaves if leaf.stepwise}
    texts = [leaf.key.removeprefix(f"{METADATA}/") for leaf in leaves if not leaf.stepwise and leaf.kind == "text"]
    canonical = bool((description or {}).get("convention"))
    actions = _columns(steps, lambda key: key == "action" or key.startswith("action"), canonical=canonical)
    states = _columns(steps, lambda key: key.startswith("observation/"), canonical=canonical)
    language, in_metadata = _language(steps, texts)
    found: dict[str, Any] = {
        "actions": actions,
        "states": states,
        "cameras": tuple(sorted(key for key, leaf in steps.items() if is_camera(leaf))),
        "language": language,
        "task": next((key for name in TASKS for key in texts if key.rsplit("/", 1)[-1] == name), None),
        "position": CANONICAL_STATE if canonical else _position(states),
        "gripper": _gripper(actions),
    }
    flags = tuple(flag for flag in FLAGS if flag in steps)
    return Roles(
        **found,
        language_in_metadata=in_metadata,
        flags=flags,
        quaternions=_quaternions(states, canonical=canonical),
        assumed=_assumed(found, canonical=canonical),
        missing=_missing(found, flags),
    )


def is_camera(leaf: Leaf) -> bool:
    """Return whether a feature of the steps holds RGB pictures, encoded or as numbers."""
    if leaf.kind == "image":
        return leaf.dtype == "uint8" and (not leaf.shape or leaf.shape[-1] in (3, None))
    return leaf.kind == "tensor" and leaf.dtype == "uint8" and len(leaf.shape) == 3 and leaf.shape[-1] == 3


def _columns(steps: Mapping[str, Leaf], chosen: Callable[[str], bool], *, canonical: bool) -> tuple[Column, ...]:
    """Return the numeric features of the steps that are `chosen` and small enough to be summarized."""
    columns = []
    for key, leaf in sorted(steps.items()):
        size = _size(leaf)
        if leaf.kind == "tensor" and chosen(key) and not is_camera(leaf) and 0 < size <= MOST_DIMENSIONS:
            names = CANONICAL_NAMES.get(key, ()) if canonical else ()
            columns.append(Column(key, names if len(names) == size else tuple(str(i) for i in range(size))))
    return tuple(columns)


def _size(leaf: Leaf) -> int:
    """Return how many numbers a step has; more than can be summarized where that is not fixed."""
    return MOST_DIMENSIONS + 1 if None in leaf.shape else math.prod(size or 0 for size in leaf.shape)


def _language(steps: Mapping[str, Leaf], texts: Sequence[str]) -> tuple[str | None, bool]:
    """Return the key of the instruction, and whether it is a text of the episode rather than of each step."""
    per_step = [key for key, leaf in steps.items() if leaf.kind == "text" and not leaf.shape]
    for candidates, in_metadata in ((per_step, False), (texts, True)):
        known = [key for key in LANGUAGE if key in candidates]
        similar = [key for key in sorted(candidates) if "instruction" in key or "language" in key]
        if known or similar:
            return (known or similar)[0], in_metadata
    return None, False


def _position(states: Sequence[Column]) -> str | None:
    """Return the state whose first three numbers are most likely the position of the hand."""
    for word in POSITIONS:
        for column in states:
            name = column.key.rsplit("/", 1)[-1].lower()
            if word in name and "joint" not in name and "gripper" not in name and column.size >= 3:
                return column.key
    return None


def _gripper(actions: Sequence[Column]) -> tuple[str, int] | None:
    """Return the action that moves the gripper: the one named so, or the last number of an arm's action."""
    for column in actions:
        if "gripper" in column.names:
            return column.key, column.names.index("gripper")
        if "gripper" in column.key.rsplit("/", 1)[-1] and column.size == 1:
            return column.key, 0
    return next(((column.key, column.size - 1) for column in actions if column.size in ARM_SIZES), None)


def _quaternions(states: Sequence[Column], *, canonical: bool) -> dict[tuple[str, int], bool]:
    """Return where four numbers may be a quaternion: certain by name, or to be judged by their norms."""
    places: dict[tuple[str, int], bool] = {}
    for column in states:
        name = column.key.rsplit("/", 1)[-1].lower()
        if "quaternion x" in column.names:
            places[column.key, column.names.index("quaternion x")] = canonical
        elif column.size == 4:
            places[column.key, 0] = "quat" in name
        elif column.size >= 7:
            places[column.key, 3] = False
    return places


def _assumed(roles: Mapping[str, Any], *, canonical: bool) -> tuple[str, ...]:
    """Return sentences about what was taken for what without the dataset saying so."""
    said = []
    if roles["position"] and not canonical:
        said.append(f"The first three numbers of {roles['position']} are taken for the position of the hand.")
    if roles["gripper"] and not canonical:
        key, index = roles["gripper"]
        said.append(f"Number {index} of {key} is taken for the gripper.")
    return tuple(said)


def _missing(roles: Mapping[str, Any], flags: Sequence[str]) -> tuple[str, ...]:
    """Return sentences about what was not found, with where it was looked for."""
    looked = {
        "actions": ("action", "numbers in steps/action or below it"),
        "states": ("state", f"numbers below steps/observation, at most {MOST_DIMENSIONS} per step"),
        "cameras": ("image", "8-bit RGB images in the steps"),
        "language": ("language", f"a text in {', '.join(LANGUAGE)}, or one whose name says instruction or language"),
        "task": ("name of a task", f"a text of the episode called {', '.join(TASKS)}"),
        "position": ("position of the hand", f"a state of 3 or more numbers called {', '.join(POSITIONS)}"),
        "gripper": ("gripper", "an action called gripper, or one of 7 or 8 numbers"),
    }
    missing = [f"No {what} found; looked for {where}." for role, (what, where) in looked.items() if not roles[role]]
    return (*missing, *(f"No {flag} found in the steps." for flag in FLAGS if flag not in flags))

"""Named conversions between what a policy says or sees and what an environment means: all that arithmetic can adapt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.conventions import Convention, Difference, differences
from sim.episodes import Images, Observation
from sim.errors import UserError
from sim.rotation_forms import FORMS
from sim.state_layouts import convert_state, parse_layout

Numbers = NDArray[np.float64]
Adapter = Callable[[Numbers], Numbers]
FrameAdapter = Callable[[Images], Images]

ROTATION_FORMS = frozenset(f"delta {name}" for name, form in FORMS.items() if form.size)
"""Forms of the rotation part that can be turned into each other."""

READ_BY = {
    "state": frozenset({"state"}),
    "state_source": frozenset({"state"}),
    "camera": frozenset({"image"}),
    "wrist_camera": frozenset({"wrist_image"}),
    **dict.fromkeys(
        ("image_size", "channels", "first_row", "first_column", "crop"), frozenset({"image", "wrist_image"})
    ),
}
"""Field of an observation -> the inputs that it describes: who reads none of them need not agree."""

_FLIPPED = {"channels": {"rgb", "bgr"}, "first_row": {"top", "bottom"}, "first_column": {"left", "right"}}


def adaptable(field: str, policy: Convention, environment: Convention) -> bool:
    """Return whether a difference in `field` can be converted exactly."""
    ours, theirs = getattr(policy, field), getattr(environment, field)
    match field:
        case "position_unit" | "rotation_unit":
            return bool(ours > 0 and theirs > 0)
        case "gripper_open" | "gripper_closed":
            return all(side.gripper_open != side.gripper_closed for side in (policy, environment))
        case "gripper_threshold":
            return bool(0 < ours < 1 and 0 < theirs < 1)
        case "rotation":
            return {ours, theirs} <= ROTATION_FORMS
        case "state":
            return parse_layout(ours) is not None and parse_layout(theirs) is not None
        case "channels" | "first_row" | "first_column":
            return {ours, theirs} == _FLIPPED[field]
        case "crop" | "image_size":
            return _crop_side(policy, environment) is not None
    return False


def adapt_actions(
    policy: Convention, environment: Convention, *, action_only: bool = False
) -> tuple[Adapter, tuple[str, ...]]:
    """Return a function from the policy's actions (..., a) to the environment's (..., b), and what it does by name.

    Units, rotation form and what the gripper's numbers mean are adapted. Everything else that differs is refused with
    both conventions printed: arithmetic does not save a policy that was trained at another rate or in another frame.
    With `action_only`, fields of the observation (state, camera, image) are not compared: the policy reads none.
    """
    ignored = READ_BY if action_only else {}
    found = [d for d in differences(policy, environment) if d.field not in ignored]
    if hopeless := [d for d in found if not adaptable(d.field, policy, environment)]:
        raise refusal(hopeless)
    steps = action_steps(policy, environment)
    return composed([step for _, step in steps]), tuple(name for name, _ in steps)


def refusal(hopeless: Sequence[Difference]) -> UserError:
    """Return what to tell of differences that cannot be adapted, both sides printed."""
    rows = "\n".join(f"  {d.field}: policy {d.policy!r}, environment {d.environment!r}" for d in hopeless)
    hint = ""
    if any(d.field == "image_size" for d in hopeless):
        sizes = {d.policy for d in hopeless if d.field == "image_size"}
        hint = f"A benchmark renders other frames if asked to: --image-size {sizes.pop()}. "
    return UserError(
        f"The policy's convention cannot be adapted to the environment's:\n{rows}\n"
        f"Train or export the policy in the environment's convention, or choose another environment. {hint}"
        "docs/convention.md explains every field."
    )


def composed(steps: Sequence[Adapter]) -> Adapter:
    """Return the function that applies these steps in order."""

    def adapter(actions: Numbers) -> Numbers:
        for step in steps:
            actions = step(actions)
        return actions

    return adapter


def action_steps(policy: Convention, environment: Convention) -> Sequence[tuple[str, Adapter]]:
    """Return the named adapters that turn the policy's actions into the environment's."""
    steps: list[tuple[str, Adapter]] = []
    form = policy.rotation != environment.rotation
    units = form or policy.rotation_unit != environment.rotation_unit
    if policy.position_unit != environment.position_unit:
        steps.append(("position_unit", _scaled(slice(0, 3), policy.position_unit / environment.position_unit)))
    if units and policy.rotation_unit != 1.0 and _angles(policy):
        steps.append(("rotation_unit to rad", _scaled(slice(3, 6), policy.rotation_unit)))
    if form:
        steps.append(
            (f"{policy.rotation} to {environment.rotation}", _rewritten(policy.rotation, environment.rotation))
        )
    if units and environment.rotation_unit != 1.0 and _angles(environment):
        steps.append(("rotation_unit from rad", _scaled(slice(3, 6), 1.0 / environment.rotation_unit)))
    ours, theirs = _gripper(policy), _gripper(environment)
    if ours[:2] != theirs[:2]:
        steps.append(("gripper_range", _mapped(slice(-1, None), lambda g: _rerange(g, ours, theirs))))
    if ours[2] != theirs[2]:
        steps.append(("gripper_threshold", _mapped(slice(-1, None), lambda g: _shifted(g, ours[2], theirs))))
    return steps


def _angles(convention: Convention) -> bool:
    """Return whether the rotation part is made of angles, which have a unit."""
    form = FORMS.get(convention.rotation.removeprefix("delta "))
    return form is None or form.size == 3


def _gripper(convention: Convention) -> tuple[float, float, float]:
    return convention.gripper_closed, convention.gripper_open, convention.gripper_threshold


def _rewritten(source: str, target: str) -> Adapter:
    """Return the conversion of one rotation form of a change into another; the number of components may change."""
    read, write = FORMS[source.removeprefix("delta ")].read, FORMS[target.removeprefix("delta ")].write

    def apply(actions: Numbers) -> Numbers:
        values = np.asarray(actions, dtype=np.float64)
        return np.concatenate([values[..., :3], write(read(values[..., 3:-1])), values[..., -1:]], axis=-1)

    return apply


def _rerange(values: Numbers, source: tuple[float, ...], target: tuple[float, ...]) -> Numbers:
    """Map the interval `source` (closed, open) linearly onto `target`."""
    fraction = (values - source[0]) / (source[1] - source[0])
    return target[0] + np.clip(fraction, 0.0, 1.0) * (target[1] - target[0])


def _shifted(values: Numbers, threshold: float, target: tuple[float, float, float]) -> Numbers:
    """Stretch both sides of the threshold, a share of (closed, open), so that it falls on the target's."""
    closed, opened, wanted = target
    fraction = np.clip((values - closed) / (opened - closed), 0.0, 1.0)
    return closed + np.interp(fraction, [0.0, threshold, 1.0], [0.0, wanted, 1.0]) * (opened - closed)


def _scaled(part: slice, factor: float) -> Adapter:
    return _mapped(part, lambda values: values * factor)


def _mapped(part: slice, function: Adapter) -> Adapter:
    def apply(actions: Numbers) -> Numbers:
        changed = np.array(actions, dtype=np.float64)
        changed[..., part] = function(changed[..., part])
        return changed

    return apply


def frame_steps(policy: Convention, environment: Convention) -> Sequence[tuple[str, FrameAdapter]]:
    """Return the named adapters that turn the environment's frames (k, h, w, 3) into those that the policy reads."""
    steps: list[tuple[str, FrameAdapter]] = []
    for field, axis in (("channels", 3), ("first_row", 1), ("first_column", 2)):
        ours, theirs = getattr(policy, field), getattr(environment, field)
        if ours != theirs:
            steps.append((f"{field}: {theirs} to {ours}", _turned_round(axis)))
    side = _crop_side(policy, environment)
    if side is not None and side != environment.image_size:
        steps.append((f"crop: the central {side} of {environment.image_size} pixels", _central(side)))
    return steps


def _crop_side(policy: Convention, environment: Convention) -> int | None:
    """Return the side that the middle of the environment's frames must have, None where cropping cannot give it."""
    if not 0 < policy.crop <= environment.crop:
        return None
    side = round(environment.image_size * policy.crop / environment.crop)
    return side if side == policy.image_size else None


def _turned_round(axis: int) -> FrameAdapter:
    return lambda frames: np.ascontiguousarray(np.flip(frames, axis))


def _central(side: int) -> FrameAdapter:
    def crop(frames: Images) -> Images:
        first = (frames.shape[1] - side) // 2
        return np.ascontiguousarray(frames[:, first : first + side, first : first + side])

    return crop


def state_step(policy: Convention, environment: Convention) -> tuple[str, Callable[[Observation], Observation]] | None:
    """Return the named adapter of the state's layout, None where both are equal."""
    source, target = parse_layout(environment.state), parse_layout(policy.state)
    if policy.state == environment.state or source is None or target is None:
        return None

    def convert(shown: Observation) -> Observation:
        return replace(shown, state=convert_state(shown.state, source, target))

    return f"state: {environment.state} to {policy.state}", convert

"""Declared states and actions to canonical ones, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.declaration import Declaration, DeclaredAction
from sim.rotation_forms import FORMS
from sim.rotations import canonical_sign, conjugate, from_axis_angle, multiply, rotate, to_axis_angle, wxyz_to_xyzw
from sim.rotations import xyzw_to_wxyz as to_wxyz

Numbers = NDArray[np.float64]


def wanted(rotation: str) -> int:
    """Return how many numbers a state or an action of this rotation form has."""
    return 3 + FORMS[rotation].size + 1


def state_to_canonical(values: Numbers, declared: Declaration) -> Numbers:
    """Return canonical states (T, 8) of declared ones (T, 3 + r + 1)."""
    form, state = FORMS[declared.state.rotation], declared.state
    position = values[:, :3] * state.position_unit - np.array(declared.base_position)
    turned = _about_z(-declared.base_turn)
    rotation = multiply(turned, form.read(values[:, 3 : 3 + form.size]))
    opening = (values[:, -1:] - state.gripper_closed) / (state.gripper_open - state.gripper_closed)
    xyzw = canonical_sign(wxyz_to_xyzw(np.asarray(rotation)))
    return np.concatenate([rotate(turned, position), xyzw, np.clip(opening, 0.0, 1.0)], axis=1)


def state_from_canonical(values: Numbers, declared: Declaration) -> Numbers:
    """Return declared states (T, 3 + r + 1) of canonical ones (T, 8): the inverse of `state_to_canonical`."""
    form, state = FORMS[declared.state.rotation], declared.state
    turned = _about_z(declared.base_turn)
    position = np.asarray(rotate(turned, values[:, :3])) + np.array(declared.base_position)
    rotation = form.write(np.asarray(multiply(turned, to_wxyz(values[:, 3:7]))))
    gripper = state.gripper_closed + values[:, 7:] * (state.gripper_open - state.gripper_closed)
    return np.concatenate([position / state.position_unit, rotation, gripper], axis=1)


def action_to_canonical(values: Numbers, states: Numbers, declared: Declaration) -> Numbers:
    """Return canonical actions (T, 7) of declared ones (T, 3 + r + 1), given the canonical states (T, 8)."""
    action, form = declared.action, FORMS[declared.action.rotation]
    turned = _about_z(-declared.base_turn)
    here, hand = states[:, :3], np.asarray(to_wxyz(states[:, 3:7]))
    position = values[:, :3] * action.position_unit
    rotation = form.read(_scaled(values[:, 3 : 3 + form.size], action.rotation, action.rotation_unit))
    if action.pose == "absolute":
        position = np.asarray(rotate(turned, position - np.array(declared.base_position))) - here
        target = multiply(turned, rotation) if form.size else hand
        rotation = np.asarray(multiply(target, conjugate(hand)))
    else:
        frame = hand if action.frame == "tool" else np.broadcast_to(turned, rotation.shape)
        position = np.asarray(rotate(frame, position))
        rotation = np.asarray(multiply(multiply(frame, rotation), conjugate(frame)))
    opening = _opening(values[:, -1], states[0, 7], action)
    return np.concatenate([position, to_axis_angle(rotation), opening[:, None]], axis=1)


def action_from_canonical(values: Numbers, states: Numbers, declared: Declaration) -> Numbers:
    """Return declared actions (T, 3 + r + 1) of canonical ones (T, 7): the inverse of `action_to_canonical`."""
    action, form = declared.action, FORMS[declared.action.rotation]
    turned = _about_z(declared.base_turn)
    here, hand = states[:, :3], np.asarray(to_wxyz(states[:, 3:7]))
    rotation = np.asarray(from_axis_angle(values[:, 3:6]))
    if action.pose == "absolute":
        position = np.asarray(rotate(turned, values[:, :3] + here)) + np.array(declared.base_position)
        rotation = np.asarray(multiply(turned, multiply(rotation, hand)))
    else:
        back = np.asarray(conjugate(hand)) if action.frame == "tool" else np.broadcast_to(turned, rotation.shape)
        position = np.asarray(rotate(back, values[:, :3]))
        rotation = np.asarray(multiply(multiply(back, rotation), conjugate(back)))
    written = _scaled(form.write(rotation), action.rotation, 1.0 / action.rotation_unit)
    gripper = _gripper(values[:, 6], states[0, 7], action)
    return np.concatenate([position / action.position_unit, written, gripper[:, None]], axis=1)


def _about_z(angle: float) -> Numbers:
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


def _scaled(rotation: Numbers, form: str, factor: float) -> Numbers:
    """Return angles times `factor`; quaternions and 6-D forms have no unit."""
    return rotation * factor if FORMS[form].size == 3 else rotation


def _opening(values: Numbers, first: float, action: DeclaredAction) -> Numbers:
    """Return how far open the gripper shall be (T,), 1 = open; `first` is how far open it is at the start."""
    fraction = (values - action.gripper_closed) / (action.gripper_open - action.gripper_closed)
    if action.gripper == "absolute":
        return np.clip(fraction, 0.0, 1.0)
    commands = np.where(fraction > 0.75, 1.0, np.where(fraction < 0.25, 0.0, np.nan))
    said = np.maximum.accumulate(np.where(np.isnan(commands), -1, np.arange(len(commands))))
    return np.where(said < 0, float(first >= 0.5), commands[np.maximum(said, 0)])


def _gripper(opening: Numbers, first: float, action: DeclaredAction) -> Numbers:
    """Return what the declared action says for an opening (T,): the inverse of `_opening`."""
    if action.gripper == "absolute":
        fraction = opening
    else:
        before = np.concatenate([[float(first >= 0.5)], opening[:-1]])
        fraction = np.where(opening > before, 1.0, np.where(opening < before, 0.0, 0.5))
    return action.gripper_closed + fraction * (action.gripper_open - action.gripper_closed)

"""Small RLDS datasets that other people might have written: their keys, frames, forms of rotation, units and rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from datagen import example
from datagen.canonical import action_from_canonical, state_from_canonical
from datagen.declaration import Declaration, find_declaration
from datagen.features import FEATURES_FILE, Leaf, to_json
from datagen.layout import INFO_FILE, Place, dataset_info, shard_name
from datagen.rlds_writer import encode_jpeg
from datagen.tfrecord import write_record
from sim.files import write_json
from sim.rotations import canonical_sign, from_axis_angle, multiply, wxyz_to_xyzw
from sim.streams import generator


def motion(number: int, *, steps: int = 40, rate: float = 20.0):
    """Return canonical states (T, 8) and delta actions (T, 7) of an arm that follows its commands exactly."""
    stream = generator(number, "foreign")
    speed, turning = stream.uniform(-0.2, 0.2, 3), stream.uniform(-0.5, 0.5, 3)
    wave = np.sin(np.linspace(0, 3, steps))[:, None]
    actions = np.zeros((steps, 7))
    actions[:, :3], actions[:, 3:6] = wave * speed / rate, wave * turning / rate
    actions[:, 6] = np.arange(steps) < steps // 2
    states = np.zeros((steps, 8))
    place, turn = np.array([0.5, 0.0, 0.2]), np.asarray(from_axis_angle(np.array([np.pi - 0.2, 0.0, 0.1])))
    opening = 1.0
    for k in range(steps):
        states[k] = [*place, *np.asarray(canonical_sign(wxyz_to_xyzw(turn))), opening]
        place = place + actions[k, :3]
        turn = np.asarray(multiply(from_axis_angle(actions[k, 3:6]), turn))
        opening += np.clip(actions[k, 6] - opening, -0.25, 0.25)
    return states, actions


def write_foreign(
    out: Path, declared: Declaration | str, *, episodes: int = 4, name: str = "foreign", change=None, **options
) -> Path:
    """Write a dataset that is as declared and return its folder; `change(states, actions)` spoils what is stored."""
    declared = find_declaration(declared) if isinstance(declared, str) else declared
    keys, frame = declared.keys, declared.frame
    records, columns = [], {}
    for number in range(episodes):
        states, actions = motion(number, rate=declared.rate, **options)
        stored_states = state_from_canonical(states, declared)
        stored_actions = action_from_canonical(actions, states, declared)
        if change is not None:
            stored_states, stored_actions = change(stored_states, stored_actions)
        columns = _split(keys.state, stored_states, declared.state.numbers)
        columns |= _split(keys.action, stored_actions, declared.action.numbers)
        steps = {key: value.astype(np.float32) for key, value in columns.items()}
        pixels = generator(number, "frames").integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)
        steps[keys.image] = [encode_jpeg(pixels)] * len(states)
        steps[keys.instruction] = [b"Move."] * len(states)
        features = {f"steps/{key}": value for key, value in steps.items()}
        records.append(example.encode(features | {"episode_metadata/file_path": [b"somewhere"]}))
    shape = (frame.height, frame.width, 3)
    leaves = (
        Leaf(f"steps/{keys.image}", "image", "uint8", shape, "jpeg"),
        Leaf(f"steps/{keys.instruction}", "text", "string"),
        *(Leaf(f"steps/{key}", "tensor", "float32", value.shape[1:]) for key, value in columns.items()),
        Leaf("episode_metadata/file_path", "text", "string"),
    )
    place = Place(out, name)
    place.final.mkdir(parents=True)
    with (place.final / shard_name(name, "train", 0, 1)).open("wb") as stream:
        size = sum(write_record(stream, record) for record in records)
    write_json(place.final / FEATURES_FILE, to_json(leaves))
    info = dataset_info(place, {"train": ([episodes], size)}, description="not ours")
    write_json(place.final / INFO_FILE, info)
    return place.final


def _split(keys: tuple[str, ...], values: np.ndarray, numbers: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return the numbers under their columns: all under one, or the last under the last of two or three."""
    if numbers:
        whole = np.zeros((len(values), max(numbers) + 2))
        whole[:, list(numbers)] = values
        values = whole
    if len(keys) == 1:
        return {keys[0]: values}
    cuts = [3, values.shape[1] - 1] if len(keys) == 3 else [values.shape[1] - 1]
    return dict(zip(keys, np.split(values, cuts, axis=1), strict=True))


def with_action(declared: Declaration, **changes) -> Declaration:
    """Return the declaration with another action."""
    return replace(declared, action=replace(declared.action, **changes))


def with_state(declared: Declaration, **changes) -> Declaration:
    """Return the declaration with another state."""
    return replace(declared, state=replace(declared.state, **changes))

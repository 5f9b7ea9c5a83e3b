"""Small RLDS datasets in the layouts of others, with the features that their public documentation lists.

Sources: the catalogue of tensorflow-datasets (bridge, fractal20220817_data, taco_play) and the RLDS builder of the
modified LIBERO datasets. Written with our own writer; tensorflow_checks.py reads them back with tensorflow-datasets.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np

from datagen import example
from datagen.features import FEATURES_FILE, Leaf, to_json
from datagen.layout import INFO_FILE, Place, dataset_info, shard_name
from datagen.rlds_writer import encode_jpeg
from datagen.tfrecord import write_record
from sim.files import write_json
from sim.streams import generator

FLAGS = {"is_first": "bool", "is_last": "bool", "is_terminal": "bool"}
SENTENCE = "observation/natural_language_instruction"


def image(*shape: int, encoding: str = "jpeg") -> tuple[str, tuple[int, ...], str]:
    return "image", shape, encoding


LAYOUTS: dict[str, dict[str, Any]] = {
    "bridge": {
        "action/open_gripper": "bool",
        "action/rotation_delta": ("float32", (3,)),
        "action/terminate_episode": "float32",
        "action/world_vector": ("float32", (3,)),
        "observation/image": image(24, 32, 3),
        "observation/natural_language_embedding": ("float32", (512,)),
        SENTENCE: "string",
        "observation/state": ("float32", (7,)),
        "reward": "float32",
        **FLAGS,
    },
    "fractal20220817_data": {
        "action/base_displacement_vector": ("float32", (2,)),
        "action/base_displacement_vertical_rotation": ("float32", (1,)),
        "action/gripper_closedness_action": ("float32", (1,)),
        "action/rotation_delta": ("float32", (3,)),
        "action/terminate_episode": ("int32", (3,)),
        "action/world_vector": ("float32", (3,)),
        "observation/base_pose_tool_reached": ("float32", (7,)),
        "observation/gripper_closed": ("float32", (1,)),
        "observation/image": image(24, 32, 3),
        "observation/natural_language_embedding": ("float32", (512,)),
        SENTENCE: "string",
        "observation/orientation_box": ("float32", (2, 3)),
        "observation/orientation_start": ("float32", (4,)),
        "observation/workspace_bounds": ("float32", (3, 3)),
        "reward": "float32",
        **FLAGS,
        "/aspects/success": "bool",
        "/attributes/env": "int64",
        "/attributes/env_name": "string",
        "/attributes/task_family_name": "string",
    },
    "taco_play": {
        "action/actions": ("float32", (7,)),
        "action/rel_actions_world": ("float32", (7,)),
        "action/terminate_episode": "float32",
        "observation/depth_gripper": ("float32", (84, 84)),
        "observation/natural_language_embedding": ("float32", (512,)),
        SENTENCE: "string",
        "observation/structured_language_instruction": "string",
        "observation/rgb_gripper": image(16, 16, 3),
        "observation/rgb_static": image(15, 20, 3),
        "observation/robot_obs": ("float32", (15,)),
        "reward": "float32",
        **FLAGS,
    },
    "libero_spatial_no_noops": {
        "action": ("float32", (7,)),
        "discount": "float32",
        "language_instruction": "text",
        "observation/image": image(16, 16, 3),
        "observation/joint_state": ("float32", (7,)),
        "observation/state": ("float32", (8,)),
        "observation/wrist_image": image(16, 16, 3),
        "reward": "float32",
        **FLAGS,
        "/episode_metadata/file_path": "text",
    },
    "lab_robot": {  # No language, no flags, no metadata; PNG, double precision, an action of five numbers.
        "action": ("float64", (5,)),
        "observation/front/rgb": image(12, 12, 3, encoding="png"),
        "observation/arm/eef_position": ("float64", (3,)),
        "observation/arm/eef_quat": ("float64", (4,)),
    },
}
"""Name -> features: those of the steps by key, those of the episode with a leading slash."""


def leaves_of(layout: dict[str, Any]) -> tuple[Leaf, ...]:
    """Return the declared features of a layout."""
    found = []
    for key, said in layout.items():
        path = key[1:] if key.startswith("/") else f"steps/{key}"
        if said in ("text", "string"):
            found.append(Leaf(path, "text", "string"))
        elif isinstance(said, str):
            found.append(Leaf(path, "tensor", said))
        elif said[0] == "image":
            found.append(Leaf(path, "image", "uint8", said[1], said[2]))
        else:
            found.append(Leaf(path, "tensor", said[0], said[1]))
    return tuple(found)


def write_foreign(out: Path, name: str, *, lengths: tuple[int, ...] = (9, 12, 7, 10, 11, 8), seed: int = 0) -> Path:
    """Write a dataset of the layout `name` and return its version folder."""
    place = Place(out, name, "0.1.0")
    leaves = leaves_of(LAYOUTS[name])
    folder = place.final
    folder.mkdir(parents=True)
    with (folder / shard_name(name, "train", 0, 1)).open("wb") as stream:
        size = sum(
            write_record(stream, example.encode(_episode(leaves, count, generator(seed, name, k), k)))
            for k, count in enumerate(lengths)
        )
    write_json(folder / FEATURES_FILE, _features(name, leaves))
    write_json(folder / INFO_FILE, dataset_info(place, {"train": ([len(lengths)], size)}, description=name))
    return folder


def _features(name: str, leaves: tuple[Leaf, ...]) -> dict[str, Any]:
    """Return features.json, with texts as tensors of strings where the layout says so, as in Open X-Embodiment."""
    tree = to_json(leaves)
    for key in (key for key, said in LAYOUTS[name].items() if said == "string"):
        node = tree["featuresDict"]["features"]
        if not key.startswith("/"):
            node = node["steps"]["sequence"]["feature"]["featuresDict"]["features"]
        *parents, last = key.removeprefix("/").split("/")
        for parent in parents:
            node = node[parent]["featuresDict"]["features"]
        owner = "tensorflow_datasets.core.features.tensor_feature.Tensor"
        node[last] = {"pythonClassName": owner, "tensor": {"shape": {}, "dtype": "string", "encoding": "none"}}
    return tree


def _episode(leaves: tuple[Leaf, ...], count: int, stream: np.random.Generator, number: int) -> dict[str, Any]:
    features = {}
    for leaf in leaves:
        name = leaf.key.rsplit("/", 1)[-1]
        if leaf.kind == "text":
            told = f"{name.replace('_', ' ')} {number % 3}".encode()
            features[leaf.key] = [told] * (count if leaf.stepwise else 1)
        elif leaf.kind == "image":
            pixels = stream.integers(0, 255, (count, *[n or 1 for n in leaf.shape]), dtype=np.uint8)
            encode = _png if leaf.encoding == "png" else encode_jpeg
            features[leaf.key] = [encode(picture) for picture in pixels]
        elif leaf.stepwise:
            features[leaf.key] = _numbers(name, leaf, count, stream)
        else:
            features[leaf.key] = np.array([number], dtype=leaf.dtype)
    return features


def _numbers(name: str, leaf: Leaf, count: int, stream: np.random.Generator) -> np.ndarray:
    """Return the values of one feature: flags where RLDS wants them, walks for states, noise for actions."""
    made: dict[str, Callable[[], np.ndarray]] = {
        "is_first": lambda: np.arange(count) == 0,
        "is_last": lambda: np.arange(count) == count - 1,
        "is_terminal": lambda: np.arange(count) == count - 1,
        "terminate_episode": lambda: np.zeros((count, *leaf.shape)),
        "open_gripper": lambda: np.arange(count) < count // 2,
        "gripper_closedness_action": lambda: (np.arange(count) < count // 2)[:, None] * 1.0,
    }
    if name in made:
        return made[name]().astype(leaf.dtype)
    values = stream.uniform(-0.05, 0.05, (count, *[n or 1 for n in leaf.shape]))
    if leaf.key.startswith("steps/observation"):
        values = np.cumsum(values, axis=0)
    if name in ("eef_quat", "orientation_start"):
        values = values + [0.6, 0.0, 0.0, 0.4]
        values /= np.linalg.norm(values, axis=1, keepdims=True)
    if name == "base_pose_tool_reached":
        values[:, 3:] += [0.6, 0.0, 0.0, 0.4]
        values[:, 3:] /= np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
    if name == "action" or name.endswith(("actions", "actions_world")):
        values[:, -1] = np.where(np.arange(count) < count // 2, -1.0, 1.0)
    return values.astype(leaf.dtype)


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    imageio.v3.imwrite(stream, pixels, extension=".png")
    return stream.getvalue()

"""The features of an RLDS dataset: what each leaf is called, its type and shape, and how features.json says so.

features.json is the message Feature of tensorflow_datasets/core/proto/feature.proto (tensorflow-datasets 4.5 on).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sim.errors import UserError
from sim.files import read_json

FEATURES_FILE = "features.json"
STEPS = "steps"
METADATA = "episode_metadata"

_CLASSES = "tensorflow_datasets.core.features"

Kind = Literal["tensor", "image", "text"]


@dataclass(frozen=True)
class Leaf:
    """One feature of an episode. A leaf under "steps" has one value per step."""

    # Path from the root, joined by "/": "steps/observation/state".
    key: str
    kind: Kind
    # numpy name of the type; text is "string".
    dtype: str
    # Shape of one value; None is a dimension that differs between values.
    shape: tuple[int | None, ...] = ()
    # How a value is stored: "none" (a list of numbers), "bytes", "zlib", or an image format.
    encoding: str = "none"

    @property
    def stepwise(self) -> bool:
        """Whether there is one value per step."""
        return self.key.startswith(f"{STEPS}/")


def to_json(leaves: tuple[Leaf, ...]) -> dict[str, Any]:
    """Return the content of features.json for these leaves."""
    tree: dict[str, Any] = {}
    for leaf in leaves:
        *parents, name = leaf.key.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return _node(tree, "")


def _node(node: dict[str, Any] | Leaf, name: str) -> dict[str, Any]:
    """Return one feature as JSON; the dictionary called "steps" is a dataset of steps."""
    if isinstance(node, Leaf):
        return _leaf_json(node)
    children = {key: _node(child, key) for key, child in node.items()}
    feature = {
        "pythonClassName": f"{_CLASSES}.features_dict.FeaturesDict",
        "featuresDict": {"features": children},
    }
    if name != STEPS:
        return feature
    return {
        "pythonClassName": f"{_CLASSES}.dataset_feature.Dataset",
        "sequence": {"feature": feature, "length": "-1"},
    }


def _leaf_json(leaf: Leaf) -> dict[str, Any]:
    if leaf.kind == "text":
        return {"pythonClassName": f"{_CLASSES}.text_feature.Text", "text": {}}
    shape = {"dimensions": [str(-1 if d is None else d) for d in leaf.shape]} if leaf.shape else {}
    if leaf.kind == "image":
        body = {"shape": shape, "dtype": leaf.dtype, "encodingFormat": leaf.encoding}
        return {"pythonClassName": f"{_CLASSES}.image_feature.Image", "image": body}
    owner = "tensor_feature.Tensor" if leaf.shape else "scalar.Scalar"
    return {
        "pythonClassName": f"{_CLASSES}.{owner}",
        "tensor": {"shape": shape, "dtype": leaf.dtype, "encoding": leaf.encoding},
    }


def read_features(folder: Path, *, skip_unknown: bool = False) -> tuple[Leaf, ...]:
    """Return the leaves that features.json in `folder` declares, in the order of their keys.

    Tensors, scalars, images, texts and class labels are read; any other feature is refused by its name, or, with
    `skip_unknown`, left out.
    """
    stored, path = _stored(folder)
    found = _parse(stored, "")
    unknown = [(key, kind) for key, kind in found if isinstance(kind, str)]
    if unknown and not skip_unknown:
        key, kind = unknown[0]
        raise UserError(
            f"{path}: feature {key!r} is a {kind}, which is not read. Readable are Tensor, Scalar, Image, Text and "
            "ClassLabel, below 'steps' or beside it. Write the dataset again without that feature."
        )
    leaves = [leaf for _, leaf in found if isinstance(leaf, Leaf)]
    if not any(leaf.stepwise for leaf in leaves):
        raise UserError(
            f"{path} declares no {STEPS!r}: this is no RLDS dataset. Episodes of an RLDS dataset are datasets of steps "
            "with observation, action and language_instruction."
        )
    return tuple(sorted(leaves, key=lambda leaf: leaf.key))


def unread_features(folder: Path) -> dict[str, str]:
    """Return the features that features.json declares and that cannot be read: key -> kind, e.g. "Sequence"."""
    return {key: kind for key, kind in _parse(_stored(folder)[0], "") if isinstance(kind, str)}


def _stored(folder: Path) -> tuple[Mapping[str, Any], Path]:
    path = folder / FEATURES_FILE
    stored = read_json(path)
    if not isinstance(stored, Mapping) or "features" not in stored.get("featuresDict", {}):
        raise UserError(f"{path} describes no features. It is damaged, or written by tensorflow-datasets before 4.5.")
    return stored, path


def _parse(feature: Mapping[str, Any], key: str) -> list[tuple[str, Leaf | str]]:
    """Return the leaves at and below one feature by key; one that cannot be read is the name of its kind."""
    if "featuresDict" in feature:
        children = feature["featuresDict"].get("features", {})
        prefix = f"{key}/" if key else ""
        return [leaf for name, child in children.items() for leaf in _parse(child, prefix + name)]
    if key == STEPS and "sequence" in feature:
        return _parse(feature["sequence"]["feature"], key)
    return [(key, _leaf(feature, key) or str(feature.get("pythonClassName", "unknown")).rsplit(".", 1)[-1])]


def _leaf(feature: Mapping[str, Any], key: str) -> Leaf | None:
    """Return one feature, or None for a kind that is not read."""
    if "text" in feature:
        return Leaf(key, "text", "string")
    if "classLabel" in feature:
        return Leaf(key, "tensor", "int64")
    if "image" in feature:
        image = feature["image"]
        return Leaf(key, "image", image.get("dtype", "uint8"), _shape(image), image.get("encodingFormat") or "any")
    return _parse_tensor(feature["tensor"], key) if "tensor" in feature else None


def _parse_tensor(tensor: Mapping[str, Any], key: str) -> Leaf | None:
    dtype = str(tensor.get("dtype", "float32"))
    if dtype in ("string", "object", "str"):
        return Leaf(key, "text", "string", _shape(tensor))
    if not _known(dtype) or _shape(tensor).count(None) > 1:
        return None
    return Leaf(key, "tensor", dtype, _shape(tensor), str(tensor.get("encoding") or "none").lower())


def _known(dtype: str) -> bool:
    """Return whether numpy knows the type: it lacks bfloat16, for one."""
    try:
        return np.dtype(dtype).kind in "biuf"
    except TypeError:
        return False


def _shape(feature: Mapping[str, Any]) -> tuple[int | None, ...]:
    dimensions = [int(d) for d in feature.get("shape", {}).get("dimensions", [])]
    return tuple(None if d < 0 else d for d in dimensions)

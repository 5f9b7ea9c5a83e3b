"""The tf.train.Example message without TensorFlow: flat names to lists of bytes, floats or integers.

Source: tensorflow/core/example/feature.proto and example.proto. The messages live in a descriptor pool of their own, so
that a process that also imports TensorFlow holds both.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sim.errors import UserError

Values = Sequence[bytes] | NDArray[Any]
"""The values of one feature: a list of bytes, or a flat array of floats, integers or booleans."""

_KINDS = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))


def encode(features: Mapping[str, Values]) -> bytes:
    """Return the Example of `features`, serialized with sorted names: the same features give the same bytes."""
    example = _message()()
    for name, values in features.items():
        feature = example.features.feature[name]
        if not isinstance(values, np.ndarray):
            feature.bytes_list.value.extend(values)
        elif values.dtype.kind == "f":
            feature.float_list.value.extend(values.ravel().tolist())
        elif values.dtype.kind in "biu":
            feature.int64_list.value.extend(values.ravel().astype(np.int64).tolist())
        else:
            raise TypeError(f"Feature {name!r} has dtype {values.dtype}; an Example holds bytes, floats and integers.")
    payload: bytes = example.SerializeToString(deterministic=True)
    return payload


def decode(payload: bytes, *, where: str) -> dict[str, Values]:
    """Return the features of a serialized Example: bytes as a list, float32 and int64 as flat arrays."""
    try:
        example = _message().FromString(payload)
    except DecodeError as error:
        raise UserError(f"{where} holds something that is no tf.train.Example ({error}).") from error
    return {name: _values(feature) for name, feature in example.features.feature.items()}


def _values(feature: Any) -> Values:
    kind = feature.WhichOneof("kind")
    if kind == "float_list":
        return np.array(feature.float_list.value, dtype=np.float32)
    if kind == "int64_list":
        return np.array(feature.int64_list.value, dtype=np.int64)
    return list(feature.bytes_list.value)


@functools.cache
def _message() -> Any:
    """Return the class of the message Example."""
    file = descriptor_pb2.FileDescriptorProto(name="demomill_example.proto", package="tensorflow", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for (_, name), scalar in zip(_KINDS, (field.TYPE_BYTES, field.TYPE_FLOAT, field.TYPE_INT64), strict=True):
        kind = file.message_type.add(name=name)
        value = kind.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=scalar)
        if scalar != field.TYPE_BYTES:
            value.options.packed = True
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind_name) in enumerate(_KINDS, start=1):
        _add(feature, name, number, f".tensorflow.{kind_name}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    _add(entry, "value", 2, ".tensorflow.Feature")
    _add(features, "feature", 1, ".tensorflow.Features.FeatureEntry", label=field.LABEL_REPEATED)
    _add(file.message_type.add(name="Example"), "features", 1, ".tensorflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _add(message: Any, name: str, number: int, kind: str, **options: Any) -> None:
    """Add the message field `name` of type `kind` to a message descriptor."""
    field = descriptor_pb2.FieldDescriptorProto
    options.setdefault("label", field.LABEL_OPTIONAL)
    message.field.add(name=name, number=number, type=field.TYPE_MESSAGE, type_name=kind, **options)

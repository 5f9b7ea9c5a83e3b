"""The wire between client and worker: length-prefixed JSON headers followed by raw arrays; read by both Pythons.

A message is the magic b"DMIG", the header's length (u32), the payload's length (u64), the header as JSON and the
payload. The header's "arrays" lists name, dtype and shape of the arrays that the payload holds, one after another.
Nothing is unpickled or evaluated, and nothing larger than the limits is read.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

PROTOCOL = 2
"""Version of everything that crosses the wire: messages, fields and the layout of the shared memory."""

HEADER_LIMIT, PAYLOAD_LIMIT = 2**24, 2**29
"""Largest header and payload, bytes."""

DTYPES = ("<f4", "<f8", "<i4", "|u1")
"""Types of the arrays that may cross."""

_MAGIC = b"DMIG"
_PREFIX = struct.Struct("<4sIQ")


class WireError(Exception):
    """The other side sent something that is no message of this protocol, or it is gone."""


class Closed(WireError):
    """The other side closed the connection."""


def send(stream: Any, header: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
    """Send a header, JSON values by name, with arrays by name."""
    packed: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in packed.items()]
    for name, dtype, _ in listed:
        if dtype not in DTYPES:
            raise WireError("array {!r} has the type {}; allowed: {}".format(name, dtype, ", ".join(DTYPES)))
    text = json.dumps(dict(header, arrays=listed), allow_nan=False).encode()
    size = sum(array.nbytes for array in packed.values())
    _check_sizes(len(text), size)
    stream.sendall(_PREFIX.pack(_MAGIC, len(text), size) + text)
    for array in packed.values():
        if array.nbytes:
            stream.sendall(memoryview(array).cast("B"))


def receive(stream: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the next header and its arrays."""
    magic, length, size = _PREFIX.unpack(_read(stream, _PREFIX.size))
    if magic != _MAGIC:
        raise WireError(f"a message begins with {magic!r}, not with {_MAGIC!r}")
    _check_sizes(length, size)
    try:
        header = json.loads(bytes(_read(stream, length)))
    except ValueError as error:
        raise WireError(f"a header is not JSON: {error}") from error
    if not isinstance(header, dict) or not isinstance(header.get("arrays"), list):
        raise WireError("a header is no JSON object with a list of arrays")
    return header, _arrays(header.pop("arrays"), memoryview(_read(stream, size)))


def _arrays(listed: list[Any], payload: memoryview) -> dict[str, Any]:
    """Return the arrays that the payload holds."""
    arrays, offset = {}, 0
    for entry in listed:
        name, dtype, shape = _described(entry)
        size = np.dtype(dtype).itemsize
        for count in shape:
            size *= count
        if offset + size > len(payload):
            raise WireError(f"array {name!r} is longer than its message")
        arrays[name] = np.frombuffer(payload[offset : offset + size], dtype=dtype).reshape(shape)
        offset += size
    if offset != len(payload):
        raise WireError(f"a message holds {len(payload) - offset} bytes more than its arrays")
    return arrays


def _described(entry: Any) -> tuple[str, str, list[int]]:
    """Return name, dtype and shape of an array, or refuse the description."""
    if not isinstance(entry, list) or len(entry) != 3:
        raise WireError(f"an array is described by {entry!r}")
    name, dtype, shape = entry
    sound = isinstance(name, str) and dtype in DTYPES and isinstance(shape, list) and len(shape) <= 4
    if not sound or not all(type(count) is int and 0 <= count <= PAYLOAD_LIMIT for count in shape):
        raise WireError(f"an array is described by {entry!r}")
    return name, dtype, shape


def _check_sizes(header: int, payload: int) -> None:
    if header > HEADER_LIMIT or payload > PAYLOAD_LIMIT:
        raise WireError(f"a message of {header} + {payload} bytes; allowed: {HEADER_LIMIT} + {PAYLOAD_LIMIT}")


def _read(stream: Any, count: int) -> bytearray:
    """Read exactly `count` bytes."""
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        more = stream.recv_into(view[got:])
        if not more:
            raise Closed("the connection was closed")
        got += more
    return data

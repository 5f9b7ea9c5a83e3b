"""TFRecord files without TensorFlow: each record is its length, a checksum, the payload and another checksum.

Source: tensorflow/core/lib/io/record_writer.h. Integers are little-endian; a checksum is a masked CRC-32C.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from sim.errors import UserError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
HEADER = _LENGTH.size + _CHECKSUM.size
"""Bytes before a payload: the length and its checksum."""

OVERHEAD = HEADER + _CHECKSUM.size
"""Bytes that framing adds to a payload."""


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of `data`, rotated right by 15 bits and offset, as TFRecord stores it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def write_record(stream: BinaryIO, payload: bytes) -> int:
    """Append one record to `stream` and return the number of bytes written."""
    length = _LENGTH.pack(len(payload))
    stream.write(length)
    stream.write(_CHECKSUM.pack(masked_crc(length)))
    stream.write(payload)
    stream.write(_CHECKSUM.pack(masked_crc(payload)))
    return len(payload) + OVERHEAD


def read_records(path: Path, *, verify: bool = True, wanted: Container[int] | None = None) -> Iterator[bytes]:
    """Yield the payloads of the file at `path`; a truncated or damaged file is a `UserError` that says where.

    Without `verify`, checksums are skipped and only lengths are compared with the size of the file. With `wanted`, only
    the records of these numbers are read and yielded; the others are passed over.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"The shard {path} does not exist. Copy it again, or generate the dataset again.") from error
    with stream:
        size = path.stat().st_size
        offset, number = 0, 0
        while offset < size:
            length = _read_length(stream, path, number=number, offset=offset, left=size - offset, verify=verify)
            if wanted is None or number in wanted:
                yield _read_payload(stream, path, length, number=number, offset=offset, verify=verify)
            else:
                stream.seek(length + _CHECKSUM.size, os.SEEK_CUR)
            offset += length + OVERHEAD
            number += 1


def _read_length(stream: BinaryIO, path: Path, *, number: int, offset: int, left: int, verify: bool) -> int:
    """Return the payload's length of the record that begins at `offset`, `left` bytes before the end of the file."""
    header = stream.read(HEADER)
    if len(header) < HEADER:
        raise _damaged(path, number, offset, f"the file ends within a record's header ({left} of {HEADER} bytes)")
    if verify and _CHECKSUM.unpack_from(header, _LENGTH.size)[0] != masked_crc(header[: _LENGTH.size]):
        raise _damaged(path, number, offset, "the checksum of its length is wrong")
    (length,) = _LENGTH.unpack_from(header)
    if length + OVERHEAD > left:
        raise _damaged(path, number, offset, f"it needs {length + OVERHEAD} bytes and the file has {left} left")
    return int(length)


def _read_payload(stream: BinaryIO, path: Path, length: int, *, number: int, offset: int, verify: bool) -> bytes:
    """Return the payload of `length` bytes at which the stream stands."""
    payload = stream.read(length)
    checksum = stream.read(_CHECKSUM.size)
    if len(payload) < length or len(checksum) < _CHECKSUM.size:
        raise _damaged(path, number, offset, "the file became shorter while it was read")
    if verify and _CHECKSUM.unpack(checksum)[0] != masked_crc(payload):
        raise _damaged(path, number, offset, "the checksum of its payload is wrong")
    return payload


def _damaged(path: Path, number: int, offset: int, why: str) -> UserError:
    return UserError(
        f"{path} is damaged: record {number}, which begins at byte {offset}, cannot be read: {why}. "
        "The file was cut short or changed after it was written: copy it again, or generate the dataset again."
    )

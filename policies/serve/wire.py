"""Messages as bytes: msgpack with numpy arrays, laid out as openpi-client's `msgpack_numpy` does. Nothing unpickles.

An array is the map {b"__ndarray__": true, b"data", b"dtype", b"shape"}, a numpy scalar {b"__npgeneric__": true,
b"data", b"dtype"} (openpi-client 0.1.2, after github.com/lebedov/msgpack-numpy). Unlike those two, what comes in is
checked: only plain numbers, and exactly as many bytes as dtype and shape say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

ARRAY, SCALAR = b"__ndarray__", b"__npgeneric__"

_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


class MessageError(ValueError):
    """Bytes that are no allowed message; the text says why."""


def pack(message: Mapping[str, Any]) -> bytes:
    """Return a message of texts, numbers, lists, maps and numeric arrays as bytes."""
    packed: bytes = msgpack.packb(message, default=_plain)
    return packed


def _plain(value: Any) -> Any:
    """Return an array or a numpy scalar as a map; anything else that msgpack does not know is refused."""
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"a {type(value).__name__} cannot be sent")
    if not _NUMBERS.fullmatch(value.dtype.str):
        raise TypeError(f"an array of dtype {value.dtype} cannot be sent; only booleans, integers and floats can")
    if isinstance(value, np.ndarray):
        return {ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {SCALAR: True, b"data": value.item(), b"dtype": value.dtype.str}


def unpack(data: bytes | str) -> dict[str, Any]:
    """Return the message in `data`; anything but a map of texts, numbers and numeric arrays is a `MessageError`."""
    if isinstance(data, str):
        raise MessageError("the message is text; send binary msgpack, as openpi-client does")
    try:
        message = msgpack.unpackb(data, object_hook=_value, ext_hook=_no_extension, raw=False)
    except MessageError:
        raise
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError) as error:
        raise MessageError(f"the message is no msgpack ({type(error).__name__}: {str(error)[:120]})") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise MessageError("the message is no map with text keys")
    return message


def _value(found: dict[Any, Any]) -> Any:
    """Return the array or the number that a map stands for, or the map."""
    if ARRAY in found:
        return _array(found)
    if SCALAR in found:
        value = found.get(b"data")
        if not isinstance(value, bool | int | float):
            raise MessageError(f"a numpy scalar holds a {type(value).__name__}; only numbers are read")
        return _dtype(found).type(value)
    return found


def _array(found: dict[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array (a copy, native byte order) that a map describes."""
    dtype, data, shape = _dtype(found), found.get(b"data"), found.get(b"shape")
    if not isinstance(data, bytes) or not isinstance(shape, list | tuple) or len(shape) > 8:
        raise MessageError("an array needs bytes as data and a list of at most 8 sizes as shape")
    if not all(isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**31 for size in shape):
        raise MessageError(f"an array has the shape {list(shape)!r:.80}; sizes are integers from 0")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise MessageError(f"an array of shape {list(shape)} and dtype {dtype} does not have {len(data):,} bytes")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _dtype(found: dict[Any, Any]) -> np.dtype[Any]:
    """Return a numeric dtype; object, text, date, complex and structured ones are refused before numpy sees them."""
    name = found.get(b"dtype")
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
        raise MessageError(f"arrays of dtype {name!r:.40} are refused; allowed: booleans, integers and floats")
    return np.dtype(name)


def _no_extension(code: int, data: bytes) -> Any:
    raise MessageError(f"the message holds the msgpack extension type {code}; none is read")

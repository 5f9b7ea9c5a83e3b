"""TOML job files into frozen dataclasses: unknown keys and wrong types are refused with the nearest name."""

from __future__ import annotations

import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sim.errors import UserError, nearest

T = TypeVar("T")


def load_toml(path: Path, kind: type[T]) -> T:
    """Return the dataclass `kind` filled from the TOML file at `path`."""
    try:
        with path.open("rb") as stream:
            data = tomllib.load(stream)
    except FileNotFoundError as error:
        raise UserError(f"The job file {path} does not exist. Examples are in configs/.") from error
    except OSError as error:
        raise UserError(f"The job file {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    return from_mapping(data, kind, where=str(path))


def from_mapping(data: Mapping[str, Any], kind: type[T], *, where: str) -> T:
    """Return `kind` filled from `data`; `where` names the place in messages ("job.toml [data]")."""
    assert is_dataclass(kind)
    known = {field.name: field for field in fields(kind)}
    for name in data:
        if name not in known:
            raise UserError(
                f"{where}: unknown key {name!r}.{nearest(name, known)} Allowed: {', '.join(sorted(known))}."
            )
    missing = [n for n, f in known.items() if n not in data and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise UserError(f"{where}: missing {', '.join(missing)}. Allowed keys: {', '.join(sorted(known))}.")
    hints = typing.get_type_hints(kind)
    return kind(**{n: _convert(v, hints[n], where=f"{where}: {n}") for n, v in data.items()})


def _convert(value: Any, hint: Any, *, where: str) -> Any:
    """Return `value` as the annotated type, or refuse it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, where=where)
    if origin is Literal:
        if value not in arguments:
            raise UserError(f"{where} = {value!r} is not allowed. Allowed: {', '.join(map(repr, arguments))}.")
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise _wrong(value, "a table", where=where)
        return from_mapping(value, hint, where=where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(value, "a list", where=where)
        return _convert_tuple(value, arguments, where=where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise UserError(f"{where} = {value} is not allowed. Allowed: finite numbers.")
        return float(value)
    if type(value) is not hint:
        raise _wrong(value, getattr(hint, "__name__", str(hint)), where=where)
    return value


def _convert_tuple(value: list[Any], hints: tuple[Any, ...], *, where: str) -> tuple[Any, ...]:
    """Return the list as ``tuple[X, ...]`` or as a tuple of fixed length, each item converted."""
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(value) != len(hints):
        raise UserError(f"{where} = {value!r} has the wrong length: got {len(value)} items, wanted {len(hints)}.")
    items = zip(value, hints, strict=True)
    return tuple(_convert(item, hint, where=f"{where}[{i}]") for i, (item, hint) in enumerate(items))


def _convert_union(value: Any, options: tuple[Any, ...], *, where: str) -> Any:
    """Return `value` as the first member of the union that takes it."""
    if value is None and type(None) in options:
        return None
    wrong: UserError | None = None
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(value, option, where=where)
        except UserError as error:
            wrong = error
    assert wrong is not None
    raise wrong


def _wrong(value: Any, wanted: str, *, where: str) -> UserError:
    return UserError(f"{where} = {value!r} has the wrong type: got {type(value).__name__}, wanted {wanted}.")

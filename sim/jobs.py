"""TOML job files into frozen dataclasses: unknown keys and wrong types are refused with the nearest name."""

from __future__ import annotations

import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
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
            name = where.rpartition(": ")[2]
            tables = f": write [[{name}]] above each table" if isinstance(value, Mapping) else ""
            raise _wrong(value, f"a list{tables}", where=where)
        return _convert_tuple(value, arguments, where=where)
    if hint is Path and isinstance(value, str):
        if not value.strip():
            raise _empty_path(where)
        return Path(value)
    if hint is float and type(value) in (int, float):
        _check_number(value, where)
        return float(value)
    if hint is int and type(value) is int:
        _check_number(value, where)
    if type(value) is not hint:
        raise _wrong(value, getattr(hint, "__name__", str(hint)), where=where)
    return value


def check_numbers(value: Any, where: str) -> None:
    """Refuse numbers in a dataclass, or anywhere below it, that no setting can have: NaN, infinity, 64 bits or more."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            check_numbers(getattr(value, field.name), f"{where}{'.' if where else ''}{field.name}")
    elif isinstance(value, tuple):
        for item in value:
            check_numbers(item, where)
    elif type(value) in (int, float):
        _check_number(value, where)


def _check_number(value: float, where: str) -> None:
    if not math.isfinite(value):
        raise UserError(f"{where} = {value} is not allowed. Allowed: finite numbers.")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise UserError(f"{where} = {value} is not allowed. Allowed: whole numbers of less than 64 bits.")


def refuse_empty_paths(config: Any, words: Sequence[str]) -> None:
    """Refuse an empty one of the `words` typed where a file or folder belongs: it would mean the current folder."""
    if any(not word or word.endswith("=") for word in words):
        for field in fields(config):
            value = getattr(config, field.name)
            if Path() in (value if isinstance(value, tuple) else (value,)) and field.default != Path():
                raise _empty_path(field.name.replace("_", "-"))


def _empty_path(where: str) -> UserError:
    """Return the error for a file or folder that was named by nothing, as by a shell variable that is not set."""
    return UserError(f'{where} is empty. Name a file or a folder; "." is the one that you are in.')


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


def shown_type(hint: Any) -> str:
    """Return how the value of a field that may be unset is shown, "INT" or "STR ..."; empty for other fields."""
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    if len(inner) != 1 or type(None) not in typing.get_args(hint):
        return ""
    if typing.get_origin(inner[0]) is tuple:
        return f"{typing.get_args(inner[0])[0].__name__.upper()} ..."
    return inner[0].__name__.upper() if isinstance(inner[0], type) else ""

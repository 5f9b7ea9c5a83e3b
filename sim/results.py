"""Results for people and for programs: a dataclass as JSON, as the table it makes of itself, or line by line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from typing import Any


def show(result: Any, *, as_json: bool) -> None:
    """Print a result: as JSON, as what its method ``__rich__`` makes of it, or one line per field."""
    if as_json:
        print(json.dumps(plain(result), indent=1))
    elif hasattr(result, "__rich__"):
        from rich.console import Console

        Console(soft_wrap=not sys.stdout.isatty()).print(result)
    elif is_dataclass(result):
        values = plain(result)
        width = max((len(name) for name in values), default=0)
        print("\n".join(f"{name:{width}}  {_line(value)}" for name, value in values.items()))
    elif result is not None:
        print(result)


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def plain(value: Any) -> Any:
    """Return dataclasses, paths and arrays as JSON values; NaN and infinity become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if isinstance(value, str | int | bool | None) else str(value)

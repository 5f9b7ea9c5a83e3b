"""The one error for the reader's own faults: a clear paragraph, printed without a traceback, exit 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend. The message says what was wrong, what was got, what is allowed, what to type."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the option closest to `name`, or an empty string where none is close."""
    close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, options: Iterable[str], *, hint: str = "") -> UserError:
    """Return the error for a `name` that is none of `options`; `kind` says what was named ("task", "engine")."""
    choices = sorted(options)
    listed = ", ".join(choices) if choices else "none"
    tail = f" {hint}" if hint else ""
    return UserError(f"Unknown {kind} {name!r}.{nearest(name, choices)} Allowed: {listed}.{tail}")

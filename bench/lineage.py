"""Where a benchmarked policy came from: how it was loaded, and what its checkpoint says of its making."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from bench.grounding_picture import grounding_section

LEFT_OUT = frozenset({"curve", "statistics", "convention", "model", "packages", "code"})
"""Keys of a checkpoint's record that a run does not repeat: long, or said elsewhere."""


def lineage(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's start record keeps of a checkpoint's own record."""
    return {key: value for key, value in record.items() if key not in LEFT_OUT}


def how_loaded(factory: Any) -> dict[str, Any] | None:
    """Return {"policy": text, "options": {...}} of a factory made of `policies.loading.load_policy`, else None."""
    from policies.loading import load_policy

    if not isinstance(factory, functools.partial) or factory.func is not load_policy or len(factory.args) != 1:
        return None
    return {"policy": str(factory.args[0]), "options": dict(factory.keywords)}


def lineage_sections(start: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the page's sections about the checkpoints of a run; none for a run that recorded nothing of them."""
    made = start.get("provenance", {})
    sections = [_section(name, record) for name, record in made.items()]
    pictured = [grounding_section(name, start.get("loaded", {}).get(name), record) for name, record in made.items()]
    return [*sections, *(section for section in pictured if section is not None)]


def _section(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    section: dict[str, Any] = {"title": f"{name}: {record.get('kind', 'checkpoint')}", "facts": _facts(record)}
    sources = record.get("mixture", {}).get("sources", ())
    if sources:
        columns = ["source", "what it is", "share", "episodes", "steps", "samples drawn", "digest"]
        rows = [
            [s["name"], s["label"], f"{s['share']:.1%}", s["episodes"], s["steps"], s["drawn"], s["digest"]]
            for s in sources
        ]
        section["table"] = {"columns": columns, "rows": rows}
    if record.get("command"):
        section["command"] = str(record["command"])
    return section


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the single values of a checkpoint's record, nested ones under joined names."""
    facts: dict[str, Any] = {}
    for key, value in record.items():
        if key in ("mixture", "command", "kind", "format", "grounding"):
            continue
        if isinstance(value, Mapping):
            facts |= {f"{key} {name}": _text(item) for name, item in value.items() if item is not None}
        elif value is not None:
            facts[key] = _text(value)
    return facts


def _text(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""The package archives that apt already uses on this machine, and the backports archive derived from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

APT = Path("/etc/apt")

_ONE_LINE_OPTIONS = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}


@dataclass(frozen=True)
class Source:
    """One enabled binary source: where, which suites and components, and its other fields (Signed-By and so on)."""

    uris: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


def read_sources(apt: Path = APT) -> list[Source]:
    """Return the enabled sources of binary packages below the directory `apt`, both in the old and in the new form."""
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    found = [source for path in lists if path.is_file() for source in _one_line(path.read_text())]
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        found.extend(_deb822(path.read_text()))
    return found


def backports_source(sources: list[Source], codename: str) -> str | None:
    """Return a deb822 entry for `codename`-backports from the mirror and with the key of the machine's own archive.

    None where no source serves the suite `codename`.
    """
    for source in sources:
        if codename in source.suites and "main" in source.components:
            fields = {
                "Types": "deb",
                "URIs": source.uris,
                "Suites": f"{codename}-backports",
                "Components": "main",
                **source.options,
            }
            return "".join(f"{name}: {value}\n" for name, value in fields.items())
    return None


def has_suite(sources: list[Source], suite: str) -> bool:
    """Return whether one of the sources serves `suite`."""
    return any(suite in source.suites for source in sources)


def _one_line(text: str) -> Iterator[Source]:
    """Yield the sources of a ``sources.list`` file: ``deb [options] uri suite component...``."""
    for line in text.splitlines():
        words = line.split("#")[0].strip()
        if not words.startswith("deb "):
            continue
        rest, options = words[4:].strip(), {}
        if rest.startswith("["):
            inside, rest = rest[1:].split("]", 1)
            pairs = (option.split("=", 1) for option in inside.split())
            options = {_field_name(name): value.replace(",", " ") for name, value in pairs}
        parts = rest.split()
        if len(parts) >= 2:
            yield Source(parts[0], (parts[1],), tuple(parts[2:]), options)


def _field_name(option: str) -> str:
    return _ONE_LINE_OPTIONS.get(option) or "-".join(word.capitalize() for word in option.split("-"))


def _deb822(text: str) -> Iterator[Source]:
    """Yield the sources of a ``.sources`` file: entries of fields, separated by empty lines."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for entry in "\n".join(lines).split("\n\n"):
        fields = _fields(entry)
        known = {name: fields.pop(name, "") for name in ("types", "uris", "suites", "components", "enabled")}
        if "deb" not in known["types"].split() or known["enabled"].strip().lower() in ("no", "false", "0"):
            continue
        options = {_field_name(name): value for name, value in fields.items()}
        yield Source(known["uris"], tuple(known["suites"].split()), tuple(known["components"].split()), options)


def _fields(entry: str) -> dict[str, str]:
    """Return the fields of one deb822 entry by lower-case name; lines that begin with a space continue a value."""
    fields: dict[str, str] = {}
    name = ""
    for line in entry.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields

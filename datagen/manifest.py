"""The manifest of a dataset: size and SHA-256 of every file that it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datagen.features import FEATURES_FILE
from datagen.layout import DESCRIPTION_FILE, EPISODES_FILE, INFO_FILE, MANIFEST_FILE, REPORT_FILE, STATISTICS_FILE
from sim.files import read_json, sha256, write_json

DESCRIBING = (DESCRIPTION_FILE, EPISODES_FILE, FEATURES_FILE, INFO_FILE, REPORT_FILE, STATISTICS_FILE)
"""Files beside the shards that a dataset may have."""


def write_manifest(folder: Path, *, shards: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]) -> None:
    """Write the manifest of the dataset in `folder`; `shards` holds size and digest of each.

    Files that others may put beside them later, a card for example, are no part of it.
    """
    pictures = [picture["file"] for split in report.values() for picture in split.get("pictures", ())]
    files = {name: {"size": shard["size"], "sha256": shard["sha256"]} for name, shard in shards.items()}
    files |= _described(folder, [name for name in (*DESCRIBING, *pictures) if (folder / name).exists()])
    write_json(folder / MANIFEST_FILE, {"files": files})


def _described(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {name: {"size": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}


def read_manifest(folder: Path, description: Mapping[str, Any] | None) -> dict[str, dict[str, Any]] | None:
    """Return name -> size and digest; of a dataset without a manifest those of its shards, or None."""
    if (folder / MANIFEST_FILE).exists():
        files: dict[str, dict[str, Any]] = read_json(folder / MANIFEST_FILE)["files"]
        return files
    if description is None or "shards" not in description:
        return None
    return {name: {"size": s["size"], "sha256": s["sha256"]} for name, s in description["shards"].items()}


def damaged_files(folder: Path, description: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the files that differ from the manifest, and in words how."""
    found = {}
    for name, told in (read_manifest(folder, description) or {}).items():
        path = folder / name
        if not path.exists():
            found[name] = "it is missing"
        elif path.stat().st_size != told["size"]:
            found[name] = f"it has {path.stat().st_size} bytes instead of {told['size']}"
        elif sha256(path) != told["sha256"]:
            found[name] = "its bytes were changed (the SHA-256 is another)"
    return found

"""The page's picture of what a network makes of sentences: taken from the folder of the checkpoint that was judged."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.files import read_json

PICTURE = "grounding.png"

TEXT = (
    "One row per validation frame: the frame; where the network looks for what the sentence means; which places decide "
    "where the hand goes next (the size of the gradient); where it looks when nothing is said. The sentences, from the "
    "top: "
)


def grounding_section(name: str, loaded: Mapping[str, Any] | None, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the section with the picture of the policy `name`.

    None where its checkpoint has no picture, lies elsewhere now, or is not the one that was judged any more.
    """
    said = record.get("grounding", ())
    folder = Path(str(loaded["policy"]).partition("?")[0]) if loaded else None
    if not said or folder is None or not (folder / PICTURE).is_file() or not (folder / "checkpoint.json").is_file():
        return None
    if read_json(folder / "checkpoint.json").get("sha256") != record.get("sha256"):
        return None
    data = base64.b64encode((folder / PICTURE).read_bytes()).decode("ascii")
    quoted = ", ".join(f"“{sentence}”" for sentence in said)
    return {
        "title": f"{name}: what sentences mean to it",
        "text": f"{TEXT}{quoted}.",
        "pictures": [f"data:image/png;base64,{data}"],
    }

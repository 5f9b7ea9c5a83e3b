"""How other projects load a dataset: ready-to-paste code for tensorflow-datasets, OpenVLA, Octo and openpi.

Written after openvla/openvla (prismatic/vla/datasets/rlds/oxe), octo-models/octo (octo/data/oxe) and
Physical-Intelligence/openpi (examples/libero, training/config.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.episodes import WRIST

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Snippet:
    """Code to paste."""

    title: str
    # What to know before pasting it.
    text: str
    code: str


LOADERS = (
    ("tensorflow-datasets", "tfds", "From the folder that holds the dataset."),
    ("demomill", "demomill", "Without TensorFlow."),
    (
        "OpenVLA",
        "openvla",
        "Three entries, each in the file named above it. Then: vla-scripts/finetune.py --data_root_dir FOLDER "
        "--dataset_name {name}, where FOLDER is the one that holds {name}/.",
    ),
    ("Octo", "octo", "Two entries, each in the file named above it; then make_oxe_dataset_kwargs({name!r}, FOLDER)."),
    ("openpi: conversion", "openpi_convert", "Writes a LeRobot dataset; replace your_name."),
    (
        "openpi: training",
        "openpi_config",
        "The LIBERO data configuration fits: the same keys, 8 numbers of state, 7 of action.",
    ),
)
"""Title, template and text of each snippet."""


def snippets(about: Mapping[str, Any]) -> tuple[Snippet, ...]:
    """Return the code for the dataset that `about`, the content of its demomill.json, describes."""
    import jinja2

    environment = jinja2.Environment(  # Code, not HTML: pages escape it where they show it.
        loader=jinja2.FileSystemLoader(TEMPLATES / "loaders"), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    cameras = tuple(about["cameras"])
    primary = next((camera for camera in cameras if camera != WRIST), None)
    values = {
        "name": about["name"],
        "version": about["version"],
        "primary": _literal(primary),
        "wrist": _literal(WRIST if WRIST in cameras else None),
        "has_wrist": WRIST in cameras,
        "image_size": about["convention"]["image_size"],
        "rate": round(about["convention"]["rate"]),
    }
    return tuple(
        Snippet(title, text.format(name=about["name"]), environment.get_template(f"{file}.py.txt").render(values))
        for title, file, text in LOADERS
    )


def _literal(text: str | None) -> str:
    return "None" if text is None else f'"{text}"'

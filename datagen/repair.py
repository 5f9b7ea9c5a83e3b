"""Damaged shards of a finished dataset made again from their seeds, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datagen.collect import unit_options
from datagen.job import GenerateConfig
from datagen.layout import EPISODES_FILE, Place
from datagen.manifest import damaged_files
from datagen.render_shards import ANNOTATED, RENDERER, RenderSettings, placed, rendered_record
from datagen.rlds_writer import write_shard
from datagen.units import resimulate
from sim.episodes import Env, Policy
from sim.errors import UserError
from sim.files import read_json


def repair(
    place: Place,
    about: Mapping[str, Any],
    settings: RenderSettings,
    config: GenerateConfig,
    *,
    env: Env,
    policy: Policy,
) -> tuple[str, ...]:
    """Make every damaged shard of the dataset again and return their names; `about` is the content of demomill.json.

    A shard replaces the damaged one only when it has the bytes that the manifest promises.
    """
    damaged = damaged_files(place.final, about)
    lost = [name for name in damaged if name not in about["shards"]]
    if lost:
        raise UserError(
            f"{place.final} is damaged in {', '.join(lost)}, and only shards can be made again from their seeds. Copy "
            f"what is damaged again, or remove {place.final} and run the job anew."
        )
    settings = as_described(settings, about)
    for name in damaged:
        rebuilt = place.final / f"{name}.rebuilt"
        picks = shard_episodes(place.final, about, name)
        episodes = resimulate(env, policy, [seed for seed, _ in picks], options=unit_options(config))
        records = (
            rendered_record(placed(episode, distance), settings)
            for episode, (_, distance) in zip(episodes, picks, strict=True)
        )
        found = write_shard(rebuilt, records, leaves=settings.leaves())
        if found.sha256 != about["shards"][name]["sha256"]:
            rebuilt.unlink()
            raise UserError(
                f"{name} was made again and has other bytes than before ({found.sha256[:16]} instead of "
                f"{about['shards'][name]['sha256'][:16]}); the damaged file was left as it is. "
                f"{_differs(about, settings.renderer)} Type: demomill verify {place.final}; it names what differs."
            )
        rebuilt.replace(place.final / name)
    return tuple(damaged)


def shard_episodes(folder: Path, about: Mapping[str, Any], name: str) -> list[tuple[int, float | None]]:
    """Return the seed of every episode of a shard, and how near its start is to those before it, m."""
    split = about["shards"][name]["split"]
    index = read_json(folder / EPISODES_FILE)[split]
    first = sum(s["episodes"] for key, s in about["shards"].items() if s["split"] == split and key < name)
    chosen = slice(first, first + about["shards"][name]["episodes"])
    distances: Sequence[float | None] = index["start_distances"]
    return list(zip(index["seeds"][chosen], distances[chosen], strict=True))


def as_described(settings: RenderSettings, about: Mapping[str, Any]) -> RenderSettings:
    """Return the settings with the metadata that the dataset's episodes carry, whatever version runs now."""
    stored = {name: about[name] for name in settings.metadata if name in about}
    return replace(settings, metadata={**settings.metadata, **stored})


def _differs(about: Mapping[str, Any], renderer: str) -> str:
    here, there = renderer_name(renderer), about.get("renderer", "")
    return f"Its frames were drawn by {there}, here by {here}." if there not in ("", here) else ""


def renderer_name(renderer: str) -> str:
    """Return what draws frames here, for the record: OpenGL's own names, or the name of another renderer."""
    if renderer not in (RENDERER, ANNOTATED):
        return renderer
    from sim.gl import probe_renderer

    found = probe_renderer()
    return f"{found['renderer']}, {found['version']} ({found['backend']})"

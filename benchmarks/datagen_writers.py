"""One writer on the decoded episodes of a dataset: ours, or tensorflow-datasets' own. Prints what it took, as JSON.

Run by benchmarks/datagen.py in a process of its own: ``-m benchmarks.datagen_writers DATASET FOLDER ours``; in place of
``ours`` also ``tensorflow-datasets``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from datagen.features import to_json
from datagen.rlds_reader import StoredEpisode, decode_image
from datagen.rlds_writer import EpisodeRecord, encode_jpeg, write_shard

COUNT = 128
IMAGE = "observation/image"


def episodes_of(folder: Path) -> tuple[tuple[Any, ...], list[tuple[StoredEpisode, np.ndarray]]]:
    """Return the features and some episodes with their frames decoded; a generation that was cut short serves too."""
    from datagen.rlds_reader import Dataset, open_dataset
    from datagen.tfrecord import read_records

    growing = next(folder.rglob("work/shards"), None)
    if growing is None:
        dataset = open_dataset(folder)
        found = [e for _, e in zip(range(COUNT), dataset.episodes("train"), strict=False)]
        return dataset.leaves, [(e, e.images()) for e in found]
    from datagen.schema import rlds_features

    leaves = rlds_features(image_size=256)
    bare = Dataset(folder, "growing", "1.0.0", {}, leaves, None, None)
    payloads = (p for shard in sorted(growing.glob("train-*.tfrecord")) for p in read_records(shard))
    found = [bare.decode(p, where="a record") for _, p in zip(range(COUNT), payloads, strict=False)]
    return leaves, [(e, np.stack([decode_image(f) for f in e.steps[IMAGE]])) for e in found]


def ours(leaves: Any, episodes: list[tuple[StoredEpisode, np.ndarray]], folder: Path) -> None:
    """Write with our writer, frames encoded on the way."""

    def records() -> Iterator[EpisodeRecord]:
        for episode, frames in episodes:
            encoded = [encode_jpeg(frame) for frame in frames]
            yield EpisodeRecord({**episode.steps, IMAGE: encoded}, episode.metadata)

    write_shard(folder / "ours.tfrecord", records(), leaves=leaves)


def theirs(leaves: Any, episodes: list[tuple[StoredEpisode, np.ndarray]], folder: Path) -> None:
    """Write with tensorflow-datasets: its features from features.json, its encoder, its shards."""
    import tensorflow_datasets as tfds

    (folder / "features.json").write_text(json.dumps(to_json(leaves)))
    features = tfds.features.FeaturesDict.from_config(str(folder))

    class Demonstrations(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Any:
            for number, (episode, frames) in enumerate(episodes):
                columns = {**episode.steps, IMAGE: frames}
                rows = [nested({key: column[t] for key, column in columns.items()}) for t in range(episode.length)]
                yield number, {"steps": rows, "episode_metadata": dict(episode.metadata)}

    builder = Demonstrations(data_dir=str(folder))
    began = time.process_time()
    builder.download_and_prepare()
    theirs.seconds = time.process_time() - began  # type: ignore[attr-defined]


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return keys with "/" as nested dictionaries."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, name = key.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def main() -> None:
    """Write once, and print episodes and MB per second of CPU time."""
    dataset, folder, name = Path(sys.argv[1]), Path(sys.argv[2]) / sys.argv[3], sys.argv[3]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    leaves, episodes = episodes_of(dataset)
    began = time.process_time()
    if name == "ours":
        ours(leaves, episodes, folder)
        seconds = time.process_time() - began
    else:
        theirs(leaves, episodes, folder)
        seconds = theirs.seconds  # type: ignore[attr-defined]
    size = sum(path.stat().st_size for path in folder.rglob("*tfrecord*"))
    print(json.dumps({"episodes": len(episodes) / seconds, "megabytes": size / 1e6 / seconds}))


if __name__ == "__main__":
    # tensorflow-datasets wants builders in a module that can be imported by its name.
    from benchmarks.datagen_writers import main as imported_main

    imported_main()

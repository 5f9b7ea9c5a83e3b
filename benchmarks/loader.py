"""Does the loader keep up? Training against the bare step of the network, and samples per second against tf.data.

Type ``python benchmarks/loader.py [DATASET]``; without a dataset, 24 demonstrations of the shipped expert are generated
first. What is printed are ratios:

- steps of a training (batches made ahead, augmented, then learned) per second over steps of the same network on one
  batch that lies ready; the two take turns, so that whatever else the machine does falls on both;
- samples per second of processor time, all threads counted, over those of tf.data as dlimp and others read RLDS:
  records parsed, episodes cut into steps, frames decoded and reduced, actions gathered into chunks, shuffled, batched.
  Once for the first pass, in which frames are decoded, and once for every later one, which is most of a training.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

CHUNK, BATCH, SIZE = 8, 32, 128


def demonstrations(folder: Path) -> Path:
    """Generate 24 demonstrations and return the dataset's folder."""
    from datagen.generate import GenerateConfig, generate
    from datagen.progress import silent
    from policies.expert import load_expert
    from sim.gl import choose_backend

    choose_backend()
    config = GenerateConfig(task="lift_cube", out=folder, episodes=24, unit_episodes=32, annotations=("points",))
    return generate(config, policy=load_expert("lift_cube"), progress=silent).path


def against_the_bare_step(dataset: Path, *, steps: int, rounds: int) -> dict[str, float]:
    """Return the median and range of the ratio of a training's speed to that of the bare step."""
    import torch

    from datagen.loader import LoadOptions, load_mixture
    from datagen.mixture import MixConfig, SourceConfig
    from policies.vla.ahead import Ahead
    from policies.vla.feed import Feed
    from policies.vla.learner import Learner
    from policies.vla.normalization import mixture_statistics
    from policies.vla.presets import PRESETS

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    preset = PRESETS["cpu_minutes"]
    data = load_mixture(MixConfig(sources=(SourceConfig(dataset),)), LoadOptions(image_size=SIZE))
    feed = Feed(data, mixture_statistics(data), preset, seed=0)
    learner = Learner(preset, feed.statistics, chunk=CHUNK, seed=0)
    ready = feed.training(0)
    ahead = Ahead(feed.training, first=0, count=1)

    def taken(batch: Callable[[], Any]) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            learner.learn(batch(), learning_rate=1e-4)
        return time.perf_counter() - began

    taken(lambda: ready)
    ratios = []
    for number in range(rounds):
        order = (lambda: next(ahead), lambda: ready)
        times = [taken(batch) for batch in (order if number % 2 else order[::-1])]
        fed, bare = times if number % 2 else times[::-1]
        ratios.append(bare / fed)
    ahead.close()
    return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def spent() -> float:
    """Return the seconds that all threads of this process computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ours(dataset: str, samples: int) -> dict[str, float]:
    """Return samples per second of processor time of our loader: the first pass, and later ones."""
    from datagen.loader import LoadOptions, load_mixture, sample_numbers
    from datagen.mixture import MixConfig, SourceConfig

    config = MixConfig(sources=(SourceConfig(Path(dataset)),))
    began = spent()
    data = load_mixture(config, LoadOptions(image_size=SIZE, threads=1))
    count = data.mixture.streams[0].steps
    for step in range(count // BATCH):
        data.batch(sample_numbers(step, BATCH))
    first = count / (spent() - began)
    began = spent()
    for step in range(samples // BATCH):
        data.batch(sample_numbers(step, BATCH))
    return {"first": first, "later": samples / (spent() - began), "peak_mb": peak()}


def tf_data(dataset: str, samples: int) -> dict[str, float]:
    """Return samples per second of processor time of tf.data on the same files: the first pass, and later ones."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    builder = tfds.builder_from_directory(dataset)
    read = tfds.ReadConfig(interleave_cycle_length=1)
    decoders = {"steps": {"observation": {"image": tfds.decode.SkipDecoding()}}}
    episodes = builder.as_dataset(split="train", read_config=read, decoders=decoders)

    def cut(episode: Any) -> Any:
        steps = episode["steps"].batch(10_000).get_single_element()
        count = tf.shape(steps["action"])[0]
        ahead = tf.minimum(tf.range(count)[:, None] + tf.range(CHUNK)[None], count - 1)
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": steps["observation"]["image"],
                "state": steps["observation"]["state"],
                "actions": tf.gather(steps["action"], ahead),
                "text": steps["language_instruction"],
            }
        )

    def decode(step: Any) -> Any:
        image = tf.io.decode_jpeg(step["image"], channels=3)
        small = tf.image.resize(image, (SIZE, SIZE), method="area")
        return {**step, "image": tf.cast(tf.round(small), tf.uint8)}

    flow = episodes.flat_map(cut).shuffle(1000, seed=0).map(decode, num_parallel_calls=1).batch(BATCH).repeat()
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    batches = iter(flow.with_options(options).prefetch(1))
    next(batches)
    rates = []
    for _ in range(2):
        began = spent()
        for _ in range(samples // BATCH):
            np.asarray(next(batches)["image"])
        rates.append(samples / (spent() - began))
    return {"first": rates[0], "later": rates[1], "peak_mb": peak()}


def peak() -> float:
    """Return the most memory that this process held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def alone(measure: Callable[[str, int], dict[str, float]], dataset: Path, samples: int) -> dict[str, float]:
    """Return what `measure` finds in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (str(dataset), samples))


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", type=Path, help="folder of an RLDS dataset")
    parser.add_argument("--samples", type=int, default=2048, help="samples of a later pass")
    parser.add_argument("--steps", type=int, default=4, help="steps that the two trainings take in turn")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        dataset = options.dataset or demonstrations(Path(scratch))
        fed = against_the_bare_step(dataset, steps=options.steps, rounds=options.rounds)
        print(json.dumps({"training_over_bare_step": fed}, indent=1), flush=True)
        mine, theirs = (alone(measure, dataset, options.samples) for measure in (ours, tf_data))
    found = {
        "samples_per_cpu_second": {"demomill": mine, "tf_data": theirs},
        "over_tf_data": {name: mine[name] / theirs[name] for name in ("first", "later")},
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

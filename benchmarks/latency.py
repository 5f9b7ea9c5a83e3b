"""Milliseconds per action chunk of the embedded VLA on one core: p50 and p95 in fp32, bf16 and int8.

Type ``python benchmarks/latency.py [CHECKPOINT]``; without a checkpoint an untrained network of the size of the
quickstart's is taken, which costs the same. One world is asked at a time, as on a robot: 256 x 256 frame in, chunk out,
the reduction of the frame included. The arithmetics take turns, call by call, so that whatever else the machine does
falls on all of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def untrained(folder: Path, preset: str) -> Path:
    """Write a checkpoint with random weights of a preset's shape and return its folder."""
    from policies.vla.checkpoint import save_checkpoint
    from policies.vla.learner import model_config
    from policies.vla.model import new_model
    from policies.vla.normalization import Statistics
    from policies.vla.settings import CHUNK, PRESETS
    from sim.conventions import CANONICAL

    model = new_model(model_config(PRESETS[preset], chunk=CHUNK), seed=0)
    statistics = Statistics((0.0,) * 8, (1.0,) * 8, (0.0,) * 6, (0.02,) * 6)
    save_checkpoint(folder, model, convention=CANONICAL, statistics=statistics, record={})
    return folder


def main() -> None:
    """Ask each arithmetic `--calls` times and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?", help="folder of a checkpoint")
    parser.add_argument("--preset", default="cpu_minutes", help="shape of the untrained network")
    parser.add_argument("--calls", type=int, default=300, help="calls of each arithmetic")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    import torch

    from bench.latency import quantile
    from policies.loading import load_policy
    from policies.options import DTYPES
    from sim.episodes import Observation

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.checkpoint or untrained(Path(scratch), options.preset)
        policies = {dtype: load_policy(f"{folder}?dtype={dtype}") for dtype in DTYPES}
    stream = np.random.default_rng(0)

    def observation() -> Observation:
        frames = stream.integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
        return Observation(
            ids=np.zeros(1, np.intp),
            seeds=(0,),
            steps=np.zeros(1, np.intp),
            state=stream.uniform(-1, 1, (1, 8)).astype(np.float32),
            privileged=np.zeros((1, 0), np.float32),
            instructions=("Lift the red cube.",),
            render=lambda camera: frames,
        )

    taken: dict[str, list[float]] = {dtype: [] for dtype in policies}
    for call in range(options.calls + 10):
        shown = observation()
        for dtype, policy in policies.items():
            began = time.perf_counter()
            policy.act(shown)
            if call >= 10:
                taken[dtype].append(1e3 * (time.perf_counter() - began))
    for dtype, found in taken.items():
        p50, p95 = (quantile(found, q) for q in (0.5, 0.95))
        print(
            f"{dtype:5} p50 {p50.estimate:6.1f} ms [{p50.low:.1f}, {p50.high:.1f}]   "
            f"p95 {p95.estimate:6.1f} ms [{p95.low:.1f}, {p95.high:.1f}]   {p50.n} calls, one core"
        )


if __name__ == "__main__":
    main()

"""Kept episodes per hour into RLDS, beside collecting with robosuite's and ManiSkill's own environments and cameras.

Type ``python benchmarks/datagen.py`` on an idle machine: 20 minutes of generation, then a minute of each of the others,
then the writers. What is printed: kept episodes/h, the share of it that is physics, rendering and JPEG, memory over
the run, the ratios, and writing against tensorflow-datasets' own writer on the same episodes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.datagen_parts import TIMES, TimedEnv, total_times  # noqa: E402

SIZE = 256


def ours(folder: Path, *, minutes: float, episodes: int) -> dict[str, Any]:
    """Generate until the minutes are over; return episodes/h, shares of the time, and memory."""
    from datagen.generate import GenerateConfig, generate
    from datagen.progress import Progress
    from policies.loading import load_policy
    from tasks.env import make_env

    os.environ[TIMES] = str(folder / "times")
    config = GenerateConfig(
        task="lift_cube", out=folder, episodes=episodes, appearance="step", perturb_share=0.6, perturb_std=0.5,
        hold=12, shard_episodes=32,
    )  # fmt: skip
    env = TimedEnv(make_env("lift_cube", n=config.unit_episodes))
    began, memory, seen = time.monotonic(), Memory(), [Progress(episodes, 0, 0, 0, 0, 0)]

    def show(progress: Progress) -> None:
        seen.append(progress)
        if time.monotonic() - began > 60 * minutes:
            raise KeyboardInterrupt

    with memory:
        try:
            generate(
                config,
                policy=load_policy("expert:lift_cube"),
                progress=show,
                worlds=lambda: env,
                renderer="benchmarks.datagen_parts:TimedRenderer",
            )
        except KeyboardInterrupt:
            print("the minutes are over", file=sys.stderr)
    seconds, cores = time.monotonic() - began, os.cpu_count() or 1
    busy = total_times(folder / "times") | {"physics": env.seconds}
    spent = memory.cpu_seconds
    last = seen[-1]
    return {
        "minutes": seconds / 60,
        "episodes": last.written,
        "episodes_per_hour": last.written / seconds * 3600,
        "acceptance": last.accepted / last.candidates,
        "share_of_cpu": {name: value / spent for name, value in busy.items()},
        "work_of_cpu": sum(busy.values()) / spent,
        "cpu_of_machine": spent / (seconds * cores),
        "memory_mb": memory.told(),
        "steps_per_episode": _mean_steps(folder),
    }


def _mean_steps(folder: Path) -> float:
    notes = [json.loads(path.read_text()) for path in folder.rglob("work/shards/*.json")]
    for path in folder.rglob("demomill.json"):
        notes += json.loads(path.read_text())["shards"].values()
    return sum(note["steps"] for note in notes) / sum(note["episodes"] for note in notes)


class Memory:
    """Resident memory and CPU time of this process and of all below it, sampled while the block runs."""

    def __init__(self) -> None:
        self._samples: list[dict[int, int]] = []
        self._cpu: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Memory:
        self._before = time.process_time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sample()
        self._stop.set()
        self._thread.join()
        own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_seconds = own.ru_utime + own.ru_stime - self._before + below.ru_utime + below.ru_stime

    def told(self) -> dict[str, float]:
        """Return the largest process in the first and in the last quarter of the run, and in all of it, MB."""
        largest = [max(sample.values()) / 1e6 for sample in self._samples if sample]
        quarter = max(1, len(largest) // 4)
        return {"first quarter": max(largest[:quarter]), "last quarter": max(largest[-quarter:]), "all": max(largest)}

    def _run(self) -> None:
        while not self._stop.wait(5.0):
            self._sample()

    def _sample(self) -> None:
        pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children() if child.pid)]
        self._samples.append({pid: size for pid in pids if (size := _resident(pid))})


def _resident(pid: int) -> int:
    path = Path(f"/proc/{pid}/statm")
    return int(path.read_text().split()[1]) * resource.getpagesize() if path.exists() else 0


def robosuite() -> Callable[[], None]:
    """Return one control step of robosuite's Lift with a 256 x 256 frame of its camera."""
    import robosuite as suite

    env = suite.make(
        "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=True, use_camera_obs=True,
        camera_names="agentview", camera_heights=SIZE, camera_widths=SIZE, horizon=10**6,
    )  # fmt: skip
    env.reset()
    low, high = env.action_spec
    stream = np.random.default_rng(0)
    return lambda: env.step(stream.uniform(low, high))


def maniskill() -> Callable[[], None]:
    """Return one control step of ManiSkill's PickCube-v1 with a 256 x 256 frame of its camera, on the CPU."""
    import gymnasium
    import mani_skill.envs  # noqa: F401
    import torch

    torch.set_num_threads(1)
    env: Any = gymnasium.make(
        "PickCube-v1", obs_mode="rgb", control_mode="pd_ee_delta_pose", sim_backend="physx_cpu", render_backend="cpu",
        sensor_configs={"width": SIZE, "height": SIZE}, max_episode_steps=10**6,
    )  # fmt: skip
    env.reset(seed=0)
    return lambda: env.step(env.action_space.sample())


OTHERS: dict[str, Callable[[], Callable[[], None]]] = {"robosuite Lift": robosuite, "ManiSkill PickCube-v1": maniskill}


def work(make: Callable[[], Callable[[], None]], pipe: Connection) -> None:
    """Step for as many seconds as the pipe asks for, again and again, and answer steps/s."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        step = make()
        step()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step()
            count += 1
        pipe.send(count / (time.perf_counter() - began))


def others(*, rounds: int, seconds: float) -> dict[str, float]:
    """Return the median steps/s of each of the others, with one process per core; they take turns in each round."""
    context = multiprocessing.get_context("spawn")
    teams: dict[str, list[Connection]] = {}
    for name, make in OTHERS.items():
        teams[name] = []
        for _ in range(os.cpu_count() or 1):
            pipe, end = context.Pipe()
            context.Process(target=work, args=(make, end), daemon=True).start()
            end.close()
            teams[name].append(pipe)
        for pipe in teams[name]:
            pipe.recv()
    rates: dict[str, list[float]] = {name: [] for name in teams}
    for _ in range(rounds):
        for name, team in teams.items():
            for pipe in team:
                pipe.send(seconds)
            rates[name].append(sum(pipe.recv() for pipe in team))
    for pipe in (pipe for team in teams.values() for pipe in team):
        pipe.send(None)
    return {name: statistics.median(found) for name, found in rates.items()}


def writers(dataset: Path, folder: Path, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return what each writer does with the same decoded episodes: median episodes and MB per second of CPU."""
    command = [sys.executable, "-m", "benchmarks.datagen_writers", str(dataset.absolute()), str(folder.absolute())]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    found: dict[str, list[dict[str, float]]] = {"ours": [], "tensorflow-datasets": []}
    for _ in range(rounds):
        for name, rows in found.items():
            done = subprocess.run([*command, name], cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for name, rows in found.items()}


def main() -> None:
    """Run the parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-datagen"))
    parser.add_argument("--minutes", type=float, default=20.0, help="of generation")
    parser.add_argument("--episodes", type=int, default=30_000, help="at most so many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each of the others in each round")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    made = ours(options.folder, minutes=options.minutes, episodes=options.episodes)
    print(json.dumps(made, indent=1), flush=True)
    rates = others(rounds=options.rounds, seconds=options.seconds)
    for name, rate in rates.items():
        theirs = rate * 3600 / made["steps_per_episode"]
        ratio = made["episodes_per_hour"] / theirs
        print(f"{name}: {rate:.1f} steps/s, {theirs:,.0f} episodes/h of the same length, all kept; ours {ratio:.1f} x")
    found = writers(options.folder, options.folder / "writers", rounds=options.rounds)
    for name, row in found.items():
        print(f"writer {name}: {row['episodes']:.2f} episodes/s and {row['megabytes']:.1f} MB/s per core")
    print(f"writer ratio {found['ours']['episodes'] / found['tensorflow-datasets']['episodes']:.1f} x")


if __name__ == "__main__":
    main()

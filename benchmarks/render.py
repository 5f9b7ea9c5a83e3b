"""Frames per second at 256 x 256: ours on one and two processes, beside robosuite's and ManiSkill's cameras.

Type ``python benchmarks/render.py``. The contestants take turns within each round, so that whatever else the machine
does falls on all of them; the medians over the rounds and their ratios are printed.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

SIZE = 256
Draw = Callable[[int], Any]
ROOT = Path(__file__).parent.parent


def ours(preset: str) -> Draw:
    """Return a function that draws frame k of the lift with values drawn anew for each frame."""
    import numpy as np

    from sim.renderer import Renderer
    from tasks.lift_cube import TASK

    renderer = Renderer(TASK.scene, size=SIZE)
    values = [TASK.redraw_visual(seed, 0, preset=preset) for seed in range(64)]
    (item,) = TASK.scene.objects
    start = np.array([*TASK.scene.home, 0.04, 0.04, *item.position, -0.03, 1, 0, 0, 0])

    def draw(k: int) -> Any:
        positions = start.copy()
        positions[:7] += 0.2 * np.sin(0.1 * k + np.arange(7))
        return renderer.render(positions, values[k % len(values)], noise_seed=k)

    return draw


def robosuite() -> Draw:
    """Return a function that draws robosuite's Lift with its agentview camera."""
    import robosuite as suite

    env = suite.make(
        "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=True, use_camera_obs=False, horizon=10**6
    )
    env.reset()
    return lambda k: env.sim.render(camera_name="agentview", width=SIZE, height=SIZE)


def maniskill() -> Draw:
    """Return a function that draws ManiSkill's PickCube-v1 with its base camera, in software."""
    import gymnasium
    import mani_skill.envs  # noqa: F401
    import torch

    torch.set_num_threads(1)
    env: Any = gymnasium.make(
        "PickCube-v1",
        obs_mode="rgb",
        sim_backend="physx_cpu",
        render_backend="cpu",
        sensor_configs={"width": SIZE, "height": SIZE},
    ).unwrapped
    env.reset(seed=0)
    return lambda k: env._get_obs_sensor_data()["base_camera"]["rgb"].numpy()


CONTESTANTS: dict[str, tuple[Callable[[], Draw], int]] = {
    "ours, 1 process": (functools.partial(ours, "train"), 1),
    "ours, 2 processes": (functools.partial(ours, "train"), 2),
    "ours, 1 process, nominal look": (functools.partial(ours, "none"), 1),
    "robosuite agentview": (robosuite, 1),
    "ManiSkill base_camera": (maniskill, 1),
}


def work(make: Callable[[], Draw], pipe: Connection) -> None:
    """Draw for as many seconds as the pipe asks for, again and again, and answer (frames/s, CPU seconds per frame)."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        draw = make()
        frame = draw(0)
    assert frame.shape[-3:] == (SIZE, SIZE, 3), frame.shape
    pipe.send("ready")
    k = 0
    while (seconds := pipe.recv()) is not None:
        began, busy, first = time.perf_counter(), time.process_time(), k
        while time.perf_counter() - began < seconds:
            draw(k)
            k += 1
        pipe.send(((k - first) / (time.perf_counter() - began), (time.process_time() - busy) / (k - first)))


def start(context: SpawnContext, make: Callable[[], Draw]) -> Connection:
    """Return the pipe to a process that is ready to draw; one that cannot start ends the benchmark with EOFError."""
    pipe, end = context.Pipe()
    context.Process(target=work, args=(make, end), daemon=True).start()
    end.close()
    pipe.recv()
    return pipe


def main() -> None:
    """Run the rounds and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contestant in each round")
    parser.add_argument("--only", default="", help="contestants whose name contains this")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    context = multiprocessing.get_context("spawn")
    teams: dict[str, list[Connection]] = {}
    for name, (make, count) in CONTESTANTS.items():
        if options.only in name:
            teams[name] = [start(context, make) for _ in range(count)]
    rates: dict[str, list[float]] = {name: [] for name in teams}
    costs: dict[str, list[float]] = {name: [] for name in teams}
    for _ in range(options.rounds):
        for name, team in teams.items():
            for pipe in team:
                pipe.send(options.seconds)
            answers = [pipe.recv() for pipe in team]
            rates[name].append(sum(rate for rate, _ in answers))
            costs[name].append(statistics.mean(cost for _, cost in answers))
    for pipe in (pipe for team in teams.values() for pipe in team):
        pipe.send(None)
    report(rates, costs)


def report(rates: dict[str, list[float]], costs: dict[str, list[float]]) -> None:
    """Print frames/s with their range over the rounds, CPU time per frame (all threads), and the ratios."""
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        milliseconds = 1e3 * statistics.median(costs[name])
        span = f"({min(found):.1f} to {max(found):.1f})"
        print(f"{name:32s} {medians[name]:7.1f} frames/s {span:18s} {milliseconds:7.2f} ms of CPU per frame")
    for name in ("ours, 1 process", "ours, 2 processes"):
        for other in ("robosuite agentview", "ManiSkill base_camera"):
            if name in medians and other in medians:
                print(f"{name} / {other}: {medians[name] / medians[other]:.1f} x")


if __name__ == "__main__":
    main()

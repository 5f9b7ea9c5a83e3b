"""Frames per second at 256 x 256: ours on one and two processes, beside robosuite's and ManiSkill's cameras.

Type ``python benchmarks/render.py``. The contestants take turns within each round, so that whatever else the machine
does falls on all of them; the medians over the rounds and their ratios are printed.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest import Contestant, Work, contest, ratios, table

ROOT = Path(__file__).parent.parent
SIZE = 256
Draw = Callable[[int], Any]


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


def frames(make: Callable[[], Draw]) -> Work:
    """Return the work of drawing one frame after another."""
    draw, numbers = make(), itertools.count()

    def work() -> int:
        frame = draw(next(numbers))
        assert frame.shape[-3:] == (SIZE, SIZE, 3), frame.shape
        return 1

    return work


def artist(make: Callable[[], Draw], processes: int = 1) -> Contestant:
    """Return the contestant that draws what `make` draws."""
    return Contestant(functools.partial(frames, make), processes)


CONTESTANTS = {
    "ours, 1 process": artist(functools.partial(ours, "train")),
    "ours, 2 processes": artist(functools.partial(ours, "train"), 2),
    "ours, 1 process, nominal look": artist(functools.partial(ours, "none")),
    "robosuite agentview": artist(robosuite),
    "ManiSkill base_camera": artist(maniskill),
}


def main() -> None:
    """Run the rounds and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contestant in each round")
    parser.add_argument("--only", default="", help="contestants whose name contains this")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    chosen = {name: each for name, each in CONTESTANTS.items() if options.only in name}
    found = contest(chosen, rounds=options.rounds, seconds=options.seconds)
    print("\n".join(table(found, "frames")))
    for name in ("ours, 1 process", "ours, 2 processes"):
        for other in ("robosuite agentview", "ManiSkill base_camera"):
            if name in found and other in found:
                print(f"{name} / {other}: {statistics.median(ratios(found, name, other)):.1f} x")


if __name__ == "__main__":
    main()

"""Smoothness of our experts beside ManiSkill's own motion planner, in ManiSkill's environments.

Type ``python benchmarks/smoothness.py``; about a minute for each task on 2 cores. The planner solves episodes of a twin
in its own way (joint positions at 20 Hz), our expert solves the same seeds through the host's adapter. Of both, the
TCP's executed motion is measured at 20 Hz, from the start to the first success: SPARC and LDLJ (closer to 0 is
smoother) and the mean squared difference of consecutive displacements in units of the action limit, 5 cm.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

RATE, HORIZON = 20.0, 120

SOLUTIONS = {
    "lift_cube-v1": ("PickCube-v1", "pick_cube"),
    "pull_cube-v1": ("PullCube-v1", "pull_cube"),
    "push_cube-v1": ("PushCube-v1", "push_cube"),
    "stack_cube-v1": ("StackCube-v1", "stack_cube"),
    "place_in_bin-v1": ("PlaceSphere-v1", "place_sphere"),
    "peg_upright-v1": ("LiftPegUpright-v1", "lift_peg_upright"),
}
"""Our task -> its twin and the module of the planner's solution."""

Row = tuple[float, float, float]


def measured(positions: np.ndarray) -> Row | None:
    """Return SPARC, LDLJ and squared change of displacement of TCP positions (T + 1, 3) m; None where too short."""
    from bench.metrics import ldlj_v, sparc, tcp_speed
    from sim.conventions import POSITION_LIMIT

    if len(positions) < 8:
        return None
    speed = tcp_speed(positions, rate=RATE)
    smooth, dimensionless = sparc(speed, rate=RATE), ldlj_v(speed, rate=RATE)
    change = float((np.diff(positions, 2, axis=0) ** 2).mean()) / POSITION_LIMIT**2
    return None if smooth is None or dimensionless is None else (smooth, dimensionless, change)


def planner(host_task: str, module: str, seeds: list[int]) -> list[Row]:
    """Return the rows of the episodes that the motion planner solved."""
    import gymnasium
    import mani_skill.envs  # noqa: F401

    from bench.hosts.vulkan import prefer_lavapipe

    prefer_lavapipe()

    class Watch(gymnasium.Wrapper):  # type: ignore[type-arg]
        """Notes the TCP after every step, and the first success."""

        def reset(self, **options: Any) -> Any:
            result = self.env.reset(**options)
            self.positions, self.solved = [self._tcp()], None
            return result

        def step(self, action: Any) -> Any:
            result = self.env.step(action)
            self.positions.append(self._tcp())
            if self.solved is None and bool(result[4]["success"]):
                self.solved = len(self.positions)
            return result

        def _tcp(self) -> np.ndarray:
            pose = self.unwrapped.agent.tcp.pose  # type: ignore[attr-defined]
            return np.asarray(pose.p.cpu().numpy()[0], dtype=np.float64)

    solve: Callable[..., Any] = importlib.import_module(
        f"mani_skill.examples.motionplanning.panda.solutions.{module}"
    ).solve
    made = gymnasium.make(
        host_task,
        obs_mode="none",
        reward_mode="none",
        control_mode="pd_joint_pos",
        sim_backend="physx_cpu",
        render_backend="cpu",
        max_episode_steps=1000,
    )
    env = Watch(made)
    rows = []
    for seed in seeds:
        solve(env, seed=seed, debug=False, vis=False)
        row = measured(np.array(env.positions[: env.solved])) if env.solved else None
        rows += [row] if row else []
    env.close()
    return rows


def expert(task: str, host_task: str, name: str, seeds: list[int]) -> list[Row]:
    """Return the rows of the episodes that our expert solved."""
    from bench.hosts.registry import make_host
    from policies.expert import load_expert
    from sim.rollouts import rollout
    from tasks.catalogue import load_task

    env = make_host("maniskill", host_task, task=load_task(task), n=1)
    rows = []
    for episode in rollout(env, load_expert(name), seeds):
        own = episode.terms["task_success"] > 0 if "task_success" in episode.terms else episode.success
        held = np.asarray(episode.success) | np.asarray(own)
        solved = int(np.argmax(held)) + 2 if held.any() else 0
        row = measured(np.asarray(episode.traces["tcp"][:solved, :3], dtype=np.float64)) if solved else None
        rows += [row] if row else []
    env.close()
    return rows


def main() -> None:
    """Print a row per task and contestant: episodes solved, medians, and who is smoother."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--experts", type=Path, help="folder of experts by task id; by default those that ship")
    parser.add_argument("--only", default="", help="tasks whose id contains this")
    options = parser.parse_args()
    os.environ.setdefault("LP_NUM_THREADS", "1")
    seeds = list(range(options.episodes))
    print("medians over solved episodes; SPARC and LDLJ: closer to 0 is smoother; change: smaller is smoother")
    for task, (host_task, module) in SOLUTIONS.items():
        if options.only not in task:
            continue
        name = task if options.experts is None else str(options.experts / task)
        for who, rows in (
            ("planner", planner(host_task, module, seeds)),
            ("expert", expert(task, host_task, name, seeds)),
        ):
            values = np.median(np.array(rows), axis=0) if rows else [np.nan] * 3
            print(
                f"{task:16} {host_task:18} {who:8} solved {len(rows):3}/{len(seeds)}"
                f"  SPARC {values[0]:6.2f}  LDLJ {values[1]:6.2f}  change {values[2]:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Rates of simulation side by side: environment steps/s, share of the bare physics, frames/s.

Type ``python benchmarks/sim.py``; it takes about four minutes on 2 cores. An environment step is controller, physics
and task functions (observation, reward, success). Ours pays for its resets too; the hosts are never reset. All act at
random within the same limits; ours also replays an expert's grasps, which touch more and so cost more. "Bare" is
`mujoco.rollout` with the models, states and servo targets of those same steps and nothing else. Contestants take turns
within each round; the medians over the rounds are printed.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import itertools
import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import render
from contest import Contestant, Rates, Work, contest, ratios, table, thrift

ROOT = Path(__file__).parent.parent
TASK, WORLDS, THREADS = "lift_cube-v1", 512, 2


def _env() -> tuple[Any, list[int]]:
    """Return our environment, just reset, and the seeds of its episodes."""
    import numpy as np

    from sim.streams import episode_seed
    from tasks.env import make_env

    env = make_env(TASK, n=WORLDS, preset="physical", threads=THREADS)
    seeds = [episode_seed("train", 0, i) for i in range(WORLDS)]
    env.reset(np.arange(WORLDS), seeds)
    return env, seeds


def _course(env: Any, acting: str) -> list[Any]:
    """Return the actions (n, 7) of a whole episode: an expert's, or random ones."""
    import numpy as np

    from policies.expert import load_expert
    from sim.baselines import RandomPolicy

    policy = load_expert(TASK) if acting == "expert" else RandomPolicy(0)
    actions = []
    for _ in range(env.spec.horizon):
        actions.append(policy.act(env.observe(np.arange(WORLDS))))
        env.step(actions[-1])
    return actions


def ours(acting: str) -> Work:
    """Return the work of one control step of all worlds, with the observation, and the resets when they are due."""
    import numpy as np

    env, seeds = _env()
    steps = itertools.cycle(enumerate(_course(env, acting)))
    ids = np.arange(WORLDS)

    def work() -> int:
        number, actions = next(steps)
        if number == 0:
            env.reset(ids, seeds)
        env.step(actions)
        env.privileged()
        return WORLDS

    return work


def bare(acting: str) -> Work:
    """Return the work of one control step of the same worlds in `mujoco.rollout` alone, from recorded states."""
    import mujoco
    import numpy as np
    from mujoco import rollout

    env, seeds = _env()
    actions = _course(env, acting)
    env.reset(np.arange(WORLDS), seeds)
    engine, recorded = env.engine, []
    for each in actions:
        start = engine._state.copy()
        env.step(each)
        recorded.append((start, engine._controls.copy()))
    data = [mujoco.MjData(engine._models[0]) for _ in range(THREADS)]
    pool = rollout.Rollout(nthread=THREADS)
    states, sensors = np.zeros_like(engine._outputs), np.zeros_like(engine._sensors)
    steps = itertools.cycle(recorded)

    def work() -> int:
        start, controls = next(steps)
        pool.rollout(
            engine._models,
            data,
            start,
            controls,
            nstep=env.task.scene.substeps,
            state=states,
            sensordata=sensors,
            skip_checks=True,
        )
        return WORLDS

    return work


def robosuite() -> Work:
    """Return the work of one step of robosuite's Lift with its default controller, observations and shaped reward."""
    import numpy as np
    import robosuite as suite

    env = suite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        reward_shaping=True,
        control_freq=20,
        ignore_done=True,
    )
    env.reset()
    stream = np.random.default_rng(0)

    def work() -> int:
        env.step(stream.uniform(-1, 1, env.action_dim))
        return 1

    return work


def maniskill() -> Work:
    """Return the work of one step of ManiSkill's PickCube-v1, state observations, dense reward, PhysX on the CPU."""
    from bench.hosts.vulkan import prefer_lavapipe

    prefer_lavapipe()
    import gymnasium
    import mani_skill.envs  # noqa: F401
    import numpy as np
    import torch

    torch.set_num_threads(1)
    env: Any = gymnasium.make(
        "PickCube-v1", obs_mode="state", control_mode="pd_ee_delta_pose", sim_backend="physx_cpu", render_backend="cpu"
    ).unwrapped
    env.reset(seed=0)
    stream = np.random.default_rng(0)

    def work() -> int:
        env.step(stream.uniform(-1, 1, 7).astype(np.float32))
        return 1

    return work


OURS, GRASPS = "demomill, random actions", "demomill, expert's grasps"
BARE, BARE_GRASPS = "bare mujoco.rollout, random actions", "bare mujoco.rollout, expert's grasps"
STEPS = {
    OURS: Contestant(functools.partial(ours, "random")),
    BARE: Contestant(functools.partial(bare, "random")),
    GRASPS: Contestant(functools.partial(ours, "expert")),
    BARE_GRASPS: Contestant(functools.partial(bare, "expert")),
    "robosuite Lift": Contestant(robosuite),
    "robosuite Lift, 2 processes": Contestant(robosuite, 2),
    "ManiSkill PickCube-v1": Contestant(maniskill),
    "ManiSkill PickCube-v1, 2 processes": Contestant(maniskill, 2),
}
DRAWN = "ours, 2 processes"
FRAMES = {name: render.CONTESTANTS[name] for name in (DRAWN, "robosuite agentview", "ManiSkill base_camera")}
GOALS = (
    (OURS, "robosuite Lift", 80.0),
    (OURS, "ManiSkill PickCube-v1", 50.0),
    (GRASPS, "robosuite Lift", 80.0),
    (GRASPS, "ManiSkill PickCube-v1", 50.0),
    (OURS, "robosuite Lift, 2 processes", None),
    (OURS, "ManiSkill PickCube-v1, 2 processes", None),
    (OURS, BARE, 0.8),
    (GRASPS, BARE_GRASPS, 0.8),
    (DRAWN, "robosuite agentview", 25.0),
    (DRAWN, "ManiSkill base_camera", 25.0),
)


def judged(found: dict[str, Rates]) -> list[dict[str, Any]]:
    """Return the ratios with their range over the rounds and their goals, and the one goal that is a rate."""
    rows = []
    for one, other, goal in GOALS:
        each = ratios(found, one, other)
        rows.append({"what": f"{one} / {other}", "value": statistics.median(each), "range": [min(each), max(each)]})
        rows[-1] |= {"goal": goal, "reached": None if goal is None else rows[-1]["value"] >= goal}
        rows[-1]["per_cpu_second"] = thrift(found, one, other)
    rate = found[DRAWN]
    span = [min(rate.rates), max(rate.rates)]
    reached = rate.median >= 400
    return [*rows, {"what": f"{DRAWN}, frames/s", "value": rate.median, "range": span, "goal": 400, "reached": reached}]


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def main() -> None:
    """Run the rounds and print the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each contestant in each round")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    about = machine()
    steps = contest(STEPS, rounds=options.rounds, seconds=options.seconds)
    frames = contest(FRAMES, rounds=options.rounds, seconds=options.seconds)
    rows = judged(steps | frames)
    if options.json:
        rates = {name: {"median": each.median, "rounds": each.rates} for name, each in (steps | frames).items()}
        print(json.dumps({"machine": about, "rates": rates, "ratios": rows}, indent=1))
        return
    print(f"{about['cores']} cores, {about['processor']}, load at the start {about['load']:.1f}, {about['date']}")
    print("\n".join([*table(steps, "steps"), *table(frames, "frames")]))
    for row in rows:
        low, high = row["range"]
        verdict = "" if row["goal"] is None else f"goal {row['goal']:g}: {'reached' if row['reached'] else 'missed'}"
        thrifty = f"; per second of CPU time {row['per_cpu_second']:.2f}" if "per_cpu_second" in row else ""
        print(f"{row['what']:66s} {row['value']:8.2f} ({low:.2f} to {high:.2f}){thrifty} {verdict}")


if __name__ == "__main__":
    main()

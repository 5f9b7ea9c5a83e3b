"""What `benchmarks/gpu.py` measures, part by part, on any device of the engine mujoco_warp."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 256

Result = dict[str, Any]


def wait(device: str) -> None:
    """Return once everything that was launched on `device` is done."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize(device)


def rate(work: Callable[[], int], *, device: str, seconds: float, warmup: int = 3) -> float:
    """Return how much `work` gets done per second: it returns how much each call was."""
    for _ in range(warmup):
        work()
    wait(device)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        done += work()
        wait(device)
    return done / (time.perf_counter() - began)


def steps(device: str, *, worlds: Sequence[int], tasks: Sequence[str], seconds: float) -> Result:
    """Return environment steps/s by task and number of worlds, with resets and without, under random actions."""
    found: Result = {}
    for task in tasks:
        for n in worlds:
            began = time.perf_counter()
            found[f"{task}, {n} worlds"] = _steps_of(task, n, device=device, seconds=seconds)
            found[f"{task}, {n} worlds"]["total_s"] = time.perf_counter() - began
    return found


def _steps_of(task: str, n: int, *, device: str, seconds: float) -> Result:
    """Return the rates of one task and number of worlds."""
    import torch

    from policies.rl_games_adapter import TaskVecEnv
    from tasks.tensor_env import make_training_env

    began = time.perf_counter()
    env = make_training_env(task, n=n, engine="mujoco_warp", preset="physical", device=device)
    worlds = TaskVecEnv(env, seed=0)
    worlds.reset()
    wait(device)
    built = time.perf_counter() - began
    dice = torch.Generator(device=device).manual_seed(0)

    def act() -> Any:
        return 2 * torch.rand((n, 7), generator=dice, device=device) - 1

    def learner() -> int:
        worlds.step(act())
        return n

    def engine() -> int:
        env.engine.step(0.05 * act())
        return n

    # A whole horizon first: from then on the worlds' episodes end at staggered times.
    for _ in range(env.spec.horizon if device != "cpu" else 2):
        worlds.step(act())
    result = {
        "environment_steps_per_s": rate(learner, device=device, seconds=seconds),
        "engine_steps_per_s": rate(engine, device=device, seconds=seconds),
        "build_and_compile_s": built,
        "diverged": int(env.engine.diverged().sum()),
        "memory_used_gb": _used(device),
    }
    env.close()
    return result


def _used(device: str) -> float | None:
    """Return how much of the GPU's memory is taken, by Warp and by torch, GB; None on the CPU device."""
    import torch

    if device == "cpu":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return (total - free) / 1e9


def ppo(device: str, *, tasks: Sequence[str], worlds: int, max_steps: int, episodes: int) -> Result:
    """Return the time until 95 % of the training episodes succeed, and the expert's success on validation seeds."""
    from policies.expert_settings import TrainExpertConfig
    from policies.train_expert import train_expert
    from sim.files import read_json

    found: Result = {}
    for task in tasks:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainExpertConfig(
                task,
                out=Path(folder) / "expert",
                worlds=worlds,
                max_steps=max_steps,
                goal=0.95,
                patience=1,
                episodes=episodes,
                engine="mujoco_warp",
                device=device,
            )
            began = time.perf_counter()
            made = train_expert(config)
            curve = read_json(Path(made.folder) / "checkpoint.json")["curve"]
            reached = next((point for point in curve if point["success"] >= config.goal), None)
            found[task] = {
                "seconds_to_95": None if reached is None else reached["seconds"],
                "steps_to_95": None if reached is None else reached["steps"],
                "last_success": curve[-1]["success"],
                "steps": made.steps,
                "seconds_with_compiling_and_evaluation": time.perf_counter() - began,
                "held_out_success": str(made.score.success),
                "worlds": worlds,
                "seed": config.seed,
            }
    return found


def frames(device: str, *, worlds: Sequence[int], tasks: Sequence[str], seconds: float, size: int = SIZE) -> Result:
    """Return frames/s of MuJoCo Warp's own renderer by task and number of worlds, each world with looks of its own."""
    from sim.streams import episode_seed
    from sim.warp_renderer import WarpRenderer
    from tasks.catalogue import load_task

    found: Result = {}
    for name in tasks:
        task = load_task(name)
        for n in worlds:
            renderer = WarpRenderer(task.scene, size=size, n=n, device=device)
            values = [task.scene.nominal() | task.draw(episode_seed("train", 0, i), preset="train") for i in range(n)]
            positions = _starts(task.scene, values)
            renderer.render_many(positions, values)

            def draw(renderer: Any = renderer, positions: Any = positions, n: int = n) -> int:
                renderer.draw(positions)
                return n

            def host(renderer: Any = renderer, positions: Any = positions, values: Any = values, n: int = n) -> int:
                renderer.render_many(positions, values)
                return n

            found[f"{name}, {n} worlds, {size} px"] = {
                "frames_per_s_on_device": rate(draw, device=device, seconds=seconds),
                "frames_per_s_new_looks_and_effects_on_host": rate(host, device=device, seconds=seconds, warmup=1),
            }
            renderer.close()
    return found


def _starts(scene: Any, values: Sequence[Any]) -> Any:
    """Return the start positions (n, nq) of worlds."""
    from sim.model_values import start_positions

    return np.stack([start_positions(scene, each) for each in values])


def demonstrations(device: str, *, tasks: Sequence[str], episodes: int, unit: int, workers: int | None) -> Result:
    """Return kept demonstrations/h: simulated on the device, drawn and written by the processors."""
    from datagen.generate import GenerateConfig, generate
    from policies.loading import load_policy

    found: Result = {}
    for task in tasks:
        with tempfile.TemporaryDirectory() as folder:
            config = GenerateConfig(
                task,
                out=Path(folder),
                episodes=episodes,
                unit_episodes=unit,
                engine="mujoco_warp",
                device=device,
                workers=workers,
            )
            made = generate(config, policy=load_policy(f"expert:{task}"))
            kept, told = sum(made.episodes.values()), made.filters["train"]
            found[task] = {
                "kept_per_hour": kept / made.seconds * 3600,
                "kept_per_hour_of_simulation": kept / made.simulation_seconds * 3600,
                "kept": kept,
                "candidates": told["candidates"],
                "seconds": made.seconds,
                "simulation_seconds": made.simulation_seconds,
            }
    return found

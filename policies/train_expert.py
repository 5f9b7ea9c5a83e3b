"""Train a PPO expert on randomized worlds until it reaches its goal, measure it on fresh episodes, keep its record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from policies.better_expert import MEASURED, better
from policies.curves import Progress, draw_curve, machine
from policies.evaluate_expert import EvaluateExpertConfig, ExpertScore, measure
from policies.expert import RECORD, ExpertPolicy, draft_spec, load_expert, save_expert
from policies.expert_settings import TrainExpertConfig, check_training, command_of, identity_of
from policies.training_state import RESUME, load_state
from sim.errors import UserError
from sim.files import read_json, require_folder, write_bytes
from sim.jobs import from_mapping
from sim.locks import alone_in
from sim.progress import ProgressLine
from tasks.catalogue import load_task
from tasks.scripted import load_script
from tasks.task import Task
from tasks.tensor_env import make_training_env

COPY = "copy.safetensors"
"""What PPO began with, kept in the folder while it trains."""

SELECTED_ON, SELECTION_SEED = 512, 511
"""Validation episodes on which PPO's network and the copy are compared, and their seed."""

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TrainExpertResult:
    """What `demomill train-expert` made."""

    folder: str
    steps: int
    seconds: float
    score: ExpertScore


def train_expert(config: TrainExpertConfig) -> TrainExpertResult:
    """Train, measure and save an expert; one that another command trained is never overwritten."""
    task = load_task(config.task)
    check_training(config)
    folder = config.out or Path("runs") / "experts" / task.id
    require_folder(folder, own=RECORD)
    command = command_of(config, task.id)
    done = _finished(folder, command, config=config, task=task.id)
    if done is not None:
        return done
    with alone_in(folder, doing="training"):
        return _trained(config, folder, command, task)


def _trained(config: TrainExpertConfig, folder: Path, command: str, task: Task) -> TrainExpertResult:
    """Train, choose, measure, and write it all down."""
    weights, curve = _learn(config, folder, task.id)
    weights, kept = _better(weights, folder, config, task.id)
    score = _score(weights, config, task=task.id, episodes=config.episodes, seed=0)
    record = {
        "task": task.id,
        "task_digest": task.digest(),
        "command": command,
        "seed": config.seed,
        "steps": curve[-1].steps,
        "seconds": round(curve[-1].seconds, 1),
        "machine": machine(),
        "packages": {name: version(name) for name in ("mujoco", "numpy", "rl-games", "torch")},
        "score": asdict(score),
        "kept": kept,
        "curve": [
            {"steps": p.steps, "seconds": round(p.seconds, 1), "success": round(p.success, 4), "terms": p.terms}
            for p in curve
        ],
    }
    save_expert(folder, weights, record)
    (folder / COPY).unlink(missing_ok=True)
    draw_curve(folder / "curve.png", curve, title=task.id)
    return TrainExpertResult(str(folder), curve[-1].steps, curve[-1].seconds, score)


def _score(
    weights: Weights, config: TrainExpertConfig, *, task: str, episodes: int, seed: int, preset: str = MEASURED
) -> ExpertScore:
    """Return what a network reaches on validation episodes of `seed`."""
    draft = ExpertPolicy(weights, spec=draft_spec(task), task=task)
    asked = EvaluateExpertConfig(task, episodes, seed, preset, engine=config.engine, device=config.device)
    return measure(draft, asked, task=task)


def _better(weights: Weights, folder: Path, config: TrainExpertConfig, task: str) -> tuple[Weights, str]:
    """Return PPO's network or the copy that it began with, whichever does better, and which it is.

    They are compared on episodes of their own, not on those of the final measurement.
    """
    if not (folder / COPY).is_file():
        return weights, "ppo"
    candidates = {"ppo": weights, "copy": load((folder / COPY).read_bytes())}
    count = min(config.episodes, SELECTED_ON)

    def score(name: str, preset: str) -> ExpertScore:
        return _score(candidates[name], config, task=task, episodes=count, seed=SELECTION_SEED, preset=preset)

    kept = better(candidates, score, trained_in=config.preset)
    return candidates[kept], kept


def _learn(config: TrainExpertConfig, folder: Path, task: str) -> tuple[Weights, list[Progress]]:
    """Run PPO to its goal; return the weights and the learning curve."""
    from policies.rl_games_adapter import train
    from policies.rl_games_state import Keeper

    keeper = Keeper(folder, identity=identity_of(config, task))
    env = make_training_env(task, n=config.worlds, engine=config.engine, preset=config.preset, device=config.device)
    curve = list(keeper.state.curve) if keeper.state else []
    with ProgressLine(f"train {task}", unit="steps") as line:

        def report(progress: Progress) -> bool:
            curve.append(progress)
            line(progress.steps, config.max_steps, f"success {progress.success:.1%}")
            recent = curve[-config.patience :]
            return len(recent) == config.patience and min(p.success for p in recent) >= config.goal

        try:
            weights = train(
                env,
                seed=config.seed,
                max_steps=config.max_steps,
                report=report,
                tensorboard=folder / "tensorboard" if config.tensorboard else None,
                keeper=keeper,
                script=load_script(task) if config.start == "script" else None,
                pace=config.pace,
                copied=lambda copy: write_bytes(folder / COPY, save(copy)),
            )
        finally:
            env.close()
    if not curve:
        raise UserError(
            f"max_steps = {config.max_steps} ended before one batch of episodes was finished: there is no success to "
            "speak of. Ask for more steps."
        )
    return weights, curve


def _finished(folder: Path, command: str, *, config: TrainExpertConfig, task: str) -> TrainExpertResult | None:
    """Return the result of the expert in `folder` if this very command trained it.

    One of the same training with fewer steps is trained further; another's is never overwritten.
    """
    if not (folder / RECORD).is_file():
        return None
    record = read_json(folder / RECORD)
    if record.get("kind") != "expert":
        raise UserError(f"{folder} holds a checkpoint of another kind, {record.get('kind')!r}. Name another --out.")
    if record.get("command") != command:
        longer = (folder / RESUME).is_file() and config.max_steps > record.get("steps", 0)
        if longer and load_state(folder, identity=identity_of(config, task)) is not None:
            return None
        raise UserError(
            f"{folder} already holds an expert, trained by another command:\n  {record.get('command')}\n"
            "Name another folder with --out, or remove this one."
        )
    load_expert(str(folder))
    score = from_mapping(record["score"], ExpertScore, where=f"{folder / RECORD}: score")
    return TrainExpertResult(str(folder), record["steps"], record["seconds"], score)

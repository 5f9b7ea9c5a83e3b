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
from policies.rl_games_settings import PACES
from policies.training_state import RESUME, load_state
from sim.engine import ENGINES
from sim.errors import UserError, unknown
from sim.files import read_json, require_folder, write_bytes
from sim.jobs import from_mapping
from sim.progress import ProgressLine
from sim.ranges import EPISODES, POSITIVE, SHARE, WORLDS, require
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tasks.scripted import load_script
from tasks.tensor_env import make_training_env

STARTS = ("script", "nothing")

COPY = "copy.safetensors"
"""What PPO began with, kept in the folder while it trains."""

SELECTED_ON, SELECTION_SEED = 512, 511
"""Validation episodes on which PPO's network and the copy are compared, and their seed."""

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TrainExpertConfig:
    """Options of `demomill train-expert`."""

    # Task, e.g. "lift_cube" or "lift_cube-v1".
    task: str
    # Folder for checkpoint, record and learning curve. Default: runs/experts/<task id>.
    out: Path | None = None
    # Seed of everything random in the training, 0 to 1023.
    seed: int = 0
    # Worlds simulated together.
    worlds: int = 512
    # Environment steps after which training ends, whatever the success. The copy of a script, 640 steps of every world,
    # is made in any case.
    max_steps: int = 3_000_000
    # Training ends when this share of episodes succeeded in `patience` reports in a row (the policy still explores).
    goal: float = 0.97
    # Reports in a row that must reach the goal.
    patience: int = 5
    # Episodes of the final measurement, on validation seeds under the preset "physical".
    episodes: int = 1000
    # What PPO begins with: "script", a copy of the task's scripted controller where it has one, or "nothing".
    start: str = "script"
    # How PPO goes on from the copy: "gentle", for one that does the task already, or "bold", for one that has much to
    # learn in its worlds.
    pace: str = "gentle"
    # Physics engine.
    engine: str = "mujoco"
    # Device of an engine that has a choice, "cuda:0" or "cpu": worlds and training stay on it.
    device: str | None = None
    # Randomization preset of the training worlds; experts see no pixels. "physical[+disturbed]" for one that is to
    # show how to recover when demonstrations are collected with noise on what is executed (`perturb_std`).
    preset: str = "physical"
    # Write TensorBoard files into the folder.
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.worlds not in WORLDS or self.worlds % 128:
            raise UserError(
                f"worlds = {self.worlds} is not allowed. Allowed: a multiple of 128, at most {WORLDS.high:,}: it fills "
                "minibatches."
            )
        require(self, {"max_steps": POSITIVE, "goal": SHARE, "patience": POSITIVE, "episodes": EPISODES})


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
    command = _command(config, task.id)
    done = _finished(folder, command, config=config, task=task.id)
    if done is not None:
        return done
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


def check_training(config: TrainExpertConfig) -> None:
    """Refuse options that cannot work, before anything is built."""
    if config.engine not in ENGINES:
        raise unknown("engine", config.engine, ENGINES)
    if config.start not in STARTS:
        raise unknown("start", config.start, STARTS)
    if config.pace not in PACES:
        raise unknown("pace", config.pace, PACES)
    load_task(config.task).selection(config.preset)
    episode_seed("train", config.seed, 0)


def _learn(config: TrainExpertConfig, folder: Path, task: str) -> tuple[Weights, list[Progress]]:
    """Run PPO to its goal; return the weights and the learning curve."""
    from policies.rl_games_adapter import train
    from policies.rl_games_state import Keeper

    keeper = Keeper(folder, identity=_identity(config, task))
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


def _command(config: TrainExpertConfig, task: str) -> str:
    """Return the command that reproduces this training."""
    return (
        f"demomill train-expert {task} --seed {config.seed} --worlds {config.worlds} --max-steps {config.max_steps} "
        f"--goal {config.goal} --patience {config.patience} --episodes {config.episodes} "
        f"--start {config.start} --engine {config.engine} --preset {config.preset}"
        + ("" if config.pace == "gentle" else f" --pace {config.pace}")
        + (f" --device {config.device}" if config.device else "")
    )


def _identity(config: TrainExpertConfig, task: str) -> str:
    """Return what an unfinished training must have in common with this one to be continued."""
    return (
        f"{task} {load_task(task).digest()}, seed {config.seed}, {config.worlds} worlds, "
        f"start {config.start}, engine {config.engine}, preset {config.preset}"
        + ("" if config.pace == "gentle" else f", pace {config.pace}")
    )


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
        if longer and load_state(folder, identity=_identity(config, task)) is not None:
            return None
        raise UserError(
            f"{folder} already holds an expert, trained by another command:\n  {record.get('command')}\n"
            "Name another folder with --out, or remove this one."
        )
    load_expert(str(folder))
    score = from_mapping(record["score"], ExpertScore, where=f"{folder / RECORD}: score")
    return TrainExpertResult(str(folder), record["steps"], record["seconds"], score)

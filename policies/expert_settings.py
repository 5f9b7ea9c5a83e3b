"""Settings of the training of an expert, and what is said of one: its command, and what it must share to go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from policies.rl_games_settings import PACES
from sim.engine import ENGINES
from sim.errors import UserError, unknown
from sim.ranges import EPISODES, POSITIVE, SHARE, WORLDS, require
from sim.streams import episode_seed
from tasks.catalogue import load_task

STARTS = ("script", "nothing")


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


def command_of(config: TrainExpertConfig, task: str) -> str:
    """Return the command that reproduces this training."""
    return (
        f"demomill train-expert {task} --seed {config.seed} --worlds {config.worlds} --max-steps {config.max_steps} "
        f"--goal {config.goal} --patience {config.patience} --episodes {config.episodes} "
        f"--start {config.start} --engine {config.engine} --preset {quote(config.preset)}"
        + ("" if config.pace == "gentle" else f" --pace {config.pace}")
        + (f" --device {config.device}" if config.device else "")
    )


def identity_of(config: TrainExpertConfig, task: str) -> str:
    """Return what an unfinished training must have in common with this one to be continued."""
    return (
        f"{task} {load_task(task).digest()}, seed {config.seed}, {config.worlds} worlds, "
        f"start {config.start}, engine {config.engine}, preset {config.preset}"
        + ("" if config.pace == "gentle" else f", pace {config.pace}")
    )

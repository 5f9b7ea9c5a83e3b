"""`demomill dagger`: rounds of letting the VLA act, labelling what it met with the expert, and training on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datagen.filters import FilterConfig
from datagen.job import CAMERAS, GenerateConfig
from datagen.mixture import MixConfig, SourceConfig
from policies.vla.settings import TrainVlaConfig
from sim.errors import UserError
from sim.files import require_folder
from sim.ranges import ABOVE_0, EPISODES, POSITIVE, PROCESSES, STEPS, WORLDS, Numbers, require
from tasks.catalogue import load_task


@dataclass(frozen=True)
class RoundTraining:
    """How each round trains on; the network and what is not said here are those of the checkpoint's preset."""

    # Budget of a round in steps; with both budgets, whichever ends first.
    steps: int | None = 1000
    # Budget of a round in minutes.
    minutes: float | None = None
    # Peak learning rate; unset takes half of the preset's, as the weights are good already.
    learning_rate: float | None = None
    # Threads; unset takes one per core.
    threads: int | None = None
    # Most memory for frames, GB.
    memory_gb: float = 6.0

    def __post_init__(self) -> None:
        told = {"steps": POSITIVE, "minutes": ABOVE_0, "learning_rate": ABOVE_0, "threads": PROCESSES}
        require(self, told | {"memory_gb": ABOVE_0}, part="train")


RANGES = {
    "rounds": Numbers(1, 100),
    "episodes": EPISODES,
    "share": Numbers(0, 1, above=True, below=True),
    "execute": POSITIVE,
    "hold": STEPS,
    "worlds": WORLDS,
    "workers": Numbers(0, PROCESSES.high),
}


@dataclass(frozen=True)
class DaggerConfig:
    """Rounds of DAgger for one task."""

    # Task, e.g. "lift_cube".
    task: str
    # The VLA to begin with: a finished checkpoint.
    policy: Path
    # What it was trained on, or more: it stays part of the mixture.
    data: MixConfig
    # Folder of all rounds: their datasets in <out>/data, their checkpoints in <out>/round-1, round-2, ...
    out: Path
    # Policy that says what should be done; empty takes the expert of the task.
    expert: str = ""
    # Rounds of acting, labelling and training on.
    rounds: int = 1
    # Episodes that the VLA drives in each round.
    episodes: int = 256
    # Share of the training samples that all rounds together make up, above 0 and below 1.
    share: float = 0.4
    # Actions of a chunk that are executed before the VLA looks again.
    execute: int = 4
    # Randomization of the episodes.
    preset: str = "train"
    # How often what only the camera sees is drawn anew: once per "episode", or for each "step".
    appearance: str = "step"
    # What is stored beside the frames, as of `demomill generate`.
    annotations: tuple[str, ...] = ("points",)
    # Steps for which success holds until an episode ends; unset takes the task's.
    hold: int | None = None
    # Seed of the first round's episodes; each round takes the next. Demonstrations use others, usually from 0 on.
    seed: int = 512
    # Worlds that the VLA drives at a time.
    worlds: int = 32
    # Processes that render the frames; unset takes one per core.
    workers: int | None = None
    train: RoundTraining = field(default_factory=RoundTraining)

    def __post_init__(self) -> None:
        require(self, RANGES)
        if self.appearance not in ("episode", "step"):
            raise UserError(f"appearance = {self.appearance!r} is not allowed. Allowed: 'episode', 'step'.")


@dataclass(frozen=True)
class DaggerRound:
    """What one round brought."""

    # Episodes that the VLA drove, and how many of them ended in success: a measure of the network before this round.
    episodes: int
    succeeded: int
    # The round's dataset, and the checkpoint trained on with it.
    dataset: Path
    checkpoint: Path
    digest: str
    # Validation of the checkpoint, as of a training.
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class DaggerResult:
    """All rounds, and where the last checkpoint lies."""

    folder: Path
    rounds: tuple[DaggerRound, ...]

    def __rich__(self) -> Any:
        """Return the rounds as a table for a terminal."""
        from rich.table import Table

        caption = "Success is that of the network which the round began with."
        table = Table("round", "success", "checkpoint", caption=caption, caption_justify="left")
        for number, found in enumerate(self.rounds, start=1):
            share = f"{found.succeeded} of {found.episodes}"
            table.add_row(str(number), share, f"{found.checkpoint}  sha256 {found.digest[:16]}")
        return table


def dagger(config: DaggerConfig) -> DaggerResult:
    """Do all rounds, or go on where an earlier call stopped: what is finished is taken as it is."""
    from policies.loading import load_policy
    from policies.vla.train import train_vla

    load_task(config.task)
    require_folder(config.out, own="")
    expert = load_policy(config.expert or f"expert:{config.task}", task=config.task)
    current, rounds, made = config.policy, [], []
    for number in range(1, config.rounds + 1):
        dataset = _driven_episodes(config, number, current, expert)
        made.append(dataset)
        trained = train_vla(_training(config, number, current, made))
        current = trained.folder
        succeeded, episodes = _success(dataset)
        rounds.append(DaggerRound(episodes, succeeded, dataset, current, trained.digest, trained.metrics))
    return DaggerResult(current, tuple(rounds))


def _driven_episodes(config: DaggerConfig, number: int, checkpoint: Path, expert: Any) -> Path:
    """Let the VLA drive, label, filter nothing but broken episodes, render and store; return the dataset's folder."""
    from datagen.generate import generate
    from policies.vla.driven import Driven, Labelling
    from policies.vla.policy import load_vla
    from sim.gl import choose_backend
    from tasks.env import make_env

    choose_backend()
    driver = load_vla(checkpoint, execute=config.execute)
    size = int(driver.spec.convention.image_size)
    worlds = min(config.worlds, config.episodes)
    job = GenerateConfig(
        task=config.task,
        policy=config.expert,
        out=config.out / "data",
        name=f"dagger_{number}",
        episodes=config.episodes,
        seed=config.seed + number - 1,
        preset=config.preset,
        appearance="step" if config.appearance == "step" else "episode",
        image_size=size,
        cameras=tuple(camera for camera in CAMERAS if camera in driver.spec.inputs),
        annotations=config.annotations,
        hold=config.hold,
        filters=FilterConfig(success=False, workspace=()),
        unit_episodes=worlds,
        workers=config.workers,
    )

    def driven() -> Driven:
        return Driven(make_env(config.task, n=worlds, preset=config.preset, image_size=size), driver)

    return generate(job, policy=Labelling(expert, driver.spec), worlds=driven).path


def _training(config: DaggerConfig, number: int, start: Path, datasets: list[Path]) -> TrainVlaConfig:
    """Return the training of a round: on the old mixture and all rounds so far, from the weights of the one before."""
    from policies.vla.checkpoint import load_checkpoint
    from policies.vla.presets import PRESETS

    checkpoint, train = load_checkpoint(start), config.train
    shape, preset = checkpoint.model.config, str(checkpoint.record["settings"]["preset"])
    weight = config.share / (1 - config.share) * sum(s.weight for s in config.data.sources) / len(datasets)
    rounds = [SourceConfig(path, weight, f"dagger-{k}") for k, path in enumerate(datasets, start=1)]
    return TrainVlaConfig(
        data=replace(config.data, sources=(*config.data.sources, *rounds)),
        out=config.out / f"round-{number}",
        preset=preset,
        head=shape.head,
        text_encoder=shape.text_encoder,
        fusion=shape.fusion,
        finger_motion=shape.finger_motion,
        wrist_size=shape.wrist_size,
        init=start,
        steps=train.steps,
        minutes=train.minutes,
        learning_rate=train.learning_rate or PRESETS[preset].learning_rate / 2,
        threads=train.threads,
        memory_gb=train.memory_gb,
        seed=config.seed + number,
    )


def _success(dataset: Path) -> tuple[int, int]:
    """Return how many of a round's episodes ended in success, and how many there are."""
    from datagen.rlds_reader import open_dataset

    found = [bool(episode.metadata["success"]) for episode in open_dataset(dataset).episodes("train", verify=False)]
    return sum(found), len(found)

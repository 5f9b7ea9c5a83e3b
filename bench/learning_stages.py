"""The stages of an overnight job in which the VLA learns: training on the mixture, and rounds of DAgger."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.night import Night

if TYPE_CHECKING:
    from datagen.mixture import MixConfig
    from policies.vla.dagger import DaggerConfig
    from policies.vla.settings import TrainVlaConfig


def mixture(night: Night) -> MixConfig:
    """Return the mixture that the VLA is trained on."""
    from datagen.mixture import MixConfig, SourceConfig

    stage = night.config.vla
    parts = (
        ("synthetic", "synthetic", stage.synthetic_weight, stage.synthetic_episodes),
        ("stand_in", "stand-in", stage.stand_in_weight, stage.stand_in_episodes),
    )
    sources = tuple(
        SourceConfig(Path(night.result(made)["path"]), weight, name, episodes)
        for made, name, weight, episodes in parts
        if weight > 0
    )
    return MixConfig(sources=sources, seed=stage.seed)


def vla_config(night: Night) -> TrainVlaConfig:
    """Return the training that a job asks for."""
    from policies.vla.settings import TrainVlaConfig

    stage = night.config.vla
    return TrainVlaConfig(
        data=mixture(night),
        out=night.out / "vla",
        preset=stage.preset,
        steps=stage.steps,
        minutes=stage.minutes,
        head=stage.head,
        wrist_size=stage.wrist_size,
        memory_gb=stage.memory_gb,
        seed=stage.seed,
    )


def vla(night: Night) -> dict[str, Any]:
    """Train the VLA on the mixture."""
    from policies.vla.train import train_vla

    made = train_vla(vla_config(night))
    return {
        "folder": str(made.folder),
        "digest": made.digest,
        "steps": made.steps,
        "samples_per_second": made.samples_per_second,
        "parameters": made.parameters,
        "metrics": {name: dict(values) for name, values in made.metrics.items()},
        "mixture": asdict(made.mixture),
    }


def dagger(night: Night) -> dict[str, Any]:
    """Let the VLA act, label what it met by the expert, and train on."""
    from policies.vla.dagger import dagger as rounds

    made = rounds(dagger_config(night))
    return {
        "folder": str(made.folder),
        "digest": made.rounds[-1].digest,
        "rounds": [
            {"episodes": each.episodes, "succeeded": each.succeeded, "dataset": str(each.dataset)}
            for each in made.rounds
        ],
        "metrics": {name: dict(values) for name, values in made.rounds[-1].metrics.items()},
    }


def dagger_config(night: Night) -> DaggerConfig:
    """Return the rounds that a job asks for."""
    from policies.vla.dagger import DaggerConfig, RoundTraining

    stage = night.config.dagger
    return DaggerConfig(
        task=night.task.id,
        policy=Path(night.result("vla")["folder"]),
        data=mixture(night),
        out=night.out / "dagger",
        expert=night.expert(),
        rounds=stage.rounds,
        episodes=stage.episodes,
        share=stage.share,
        execute=night.config.vla.execute,
        preset=night.config.synthetic.preset,
        appearance=night.config.synthetic.appearance,
        annotations=night.config.synthetic.annotations,
        hold=night.config.synthetic.hold,
        seed=stage.seed,
        workers=night.config.synthetic.workers,
        train=RoundTraining(steps=stage.steps, minutes=stage.minutes, memory_gb=night.config.vla.memory_gb),
    )

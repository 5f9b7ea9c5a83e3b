"""Measure an expert in our own engine: success with its interval, on seeds that no training drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datagen.measurements import action_difference
from policies.expert import load_expert
from sim.episodes import Episode, Policy
from sim.progress import ProgressLine
from sim.ranges import EPISODES, require
from sim.rates import Rate, wilson
from sim.rollouts import rollout
from sim.streams import episode_seed
from tasks.env import make_env

WORLDS = 256


@dataclass(frozen=True)
class EvaluateExpertConfig:
    """Options of `demomill evaluate-expert`."""

    # Task whose shipped expert is measured, or the folder of an expert.
    task: str
    # Episodes, on validation seeds.
    episodes: int = 1000
    # Which validation seeds: 0 to 511.
    seed: int = 0
    # Randomization preset.
    preset: str = "physical"
    # Physics engine.
    engine: str = "mujoco"
    # Device of an engine that has a choice, "cuda:0" or "cpu".
    device: str | None = None

    def __post_init__(self) -> None:
        require(self, {"episodes": EPISODES})


@dataclass(frozen=True)
class ExpertScore:
    """What an expert reached."""

    # Success held at the horizon, and success at any step, each with its 95 % Wilson interval.
    success: Rate
    success_once: Rate
    # Median steps to the first success, over the episodes that had one; None where none had.
    steps_to_success: float | None
    # Mean squared difference of successive arm actions, as a share of the action limits.
    action_change: float
    # Episodes whose simulation broke; they are not part of any rate.
    errors: int
    preset: str
    seed: int


def evaluate_expert(config: EvaluateExpertConfig) -> ExpertScore:
    """Run the expert's episodes and return its score."""
    policy = load_expert(config.task)
    return measure(policy, config, task=policy.task)


def measure(policy: Policy, config: EvaluateExpertConfig, *, task: str) -> ExpertScore:
    """Return the score of `policy` on `config.episodes` validation episodes of `task`."""
    n = min(WORLDS, config.episodes)
    env = make_env(task, n=n, engine=config.engine, preset=config.preset, device=config.device)
    seeds = [episode_seed("validation", config.seed, i) for i in range(config.episodes)]
    finished: list[Episode] = []
    try:
        with ProgressLine(f"evaluate {policy.spec.name}", unit="episodes") as progress:
            for episode in rollout(env, policy, seeds):
                finished.append(episode)
                progress(len(finished), len(seeds))
    finally:
        env.close()
    return _score(finished, config)


def _score(finished: Sequence[Episode], config: EvaluateExpertConfig) -> ExpertScore:
    valid = [episode for episode in finished if episode.error is None]
    first = [int(np.argmax(e.success)) + 1 for e in valid if e.succeeded_once]
    changes = [action_difference(e.actions) for e in valid if e.length > 1]
    return ExpertScore(
        success=wilson(sum(e.succeeded for e in valid), len(valid)),
        success_once=wilson(sum(e.succeeded_once for e in valid), len(valid)),
        steps_to_success=float(np.median(first)) if first else None,
        action_change=float(np.mean(changes)),
        errors=len(finished) - len(valid),
        preset=config.preset,
        seed=config.seed,
    )

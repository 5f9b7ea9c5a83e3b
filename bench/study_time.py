"""How long a stage of a study may take: by those of its kind that are finished, else by figures measured once."""

from __future__ import annotations

from collections.abc import Sequence

from bench.study import REFERENCE, Stage

MEASURED = {"synthetic": 0.10, "stand_in": 3.3, "benchmark": 0.63, REFERENCE: 0.63}
"""Seconds per episode, measured with configs/quickstart.toml on two cores (AMD EPYC, no GPU), November 2026."""

MEASURED_STEP = {"cpu_minutes": 0.088}
"""Seconds per training step of a preset, measured with it."""


def estimate(stage: Stage, finished: Sequence[tuple[Stage, float]]) -> float | None:
    """Return the seconds that a stage may take; None where nothing is known of its kind.

    `finished` are stages of this study with the seconds they took: they go before the measured figures.
    """
    alike = [(each, seconds) for each, seconds in finished if each.kind == stage.kind and _like(each, stage)]
    amount = size(stage)
    if alike:
        return round(amount * sum(seconds for _, seconds in alike) / sum(size(each) for each, _ in alike), 1)
    if stage.kind != "vla":
        return round(amount * MEASURED[stage.kind], 1)
    if stage.config.vla.minutes is not None and stage.config.vla.steps is None:
        return 60 * stage.config.vla.minutes
    rate = MEASURED_STEP.get(stage.config.vla.preset)
    return None if rate is None else round(amount * rate, 1)


def _like(finished: Stage, stage: Stage) -> bool:
    return stage.kind != "vla" or finished.config.vla.preset == stage.config.vla.preset


def size(stage: Stage) -> float:
    """Return how much a stage does: episodes, or training steps."""
    config = stage.config
    if stage.kind == "synthetic":
        return float(config.synthetic.episodes + config.synthetic.val_episodes)
    if stage.kind == "stand_in":
        return float(config.stand_in.episodes)
    if stage.kind == "vla":
        return float(_steps(stage))
    policies = 2 if stage.kind == REFERENCE else 1
    return float(policies * config.bench.episodes * len(config.bench.hosts))


def _steps(stage: Stage) -> int:
    from policies.vla.settings import PRESETS

    vla = stage.config.vla
    preset = PRESETS.get(vla.preset)
    return vla.steps or (preset.steps if preset else 1)

"""Success of a network in our own engine while it is trained: rollouts on validation seeds."""

from __future__ import annotations

from collections.abc import Sequence

from policies.vla.checkpoint import VlaCheckpoint
from policies.vla.policy import VlaPolicy
from policies.vla.settings import RolloutConfig
from sim.errors import UserError
from sim.gl import choose_backend
from sim.rollouts import rollout
from sim.streams import episode_seed

WORLDS = 8
"""Worlds at most that run side by side."""


def success(checkpoint: VlaCheckpoint, config: RolloutConfig, *, image_size: int) -> dict[str, dict[str, float]]:
    """Return for each task the share of `episodes` that ended in success, and their number.

    An episode whose simulation broke is no failure of the policy: it is left out.
    """
    choose_backend()
    return {name: _task(name, checkpoint, config, image_size=image_size) for name in config.tasks}


def _task(name: str, checkpoint: VlaCheckpoint, config: RolloutConfig, *, image_size: int) -> dict[str, float]:
    from tasks.env import make_env

    policy = VlaPolicy(checkpoint, name="in training", execute=config.execute)
    seeds: Sequence[int] = [episode_seed("validation", 0, k) for k in range(config.episodes)]
    env = make_env(name, n=min(WORLDS, config.episodes), preset=config.preset, image_size=image_size)
    try:
        valid = [episode for episode in rollout(env, policy, seeds) if episode.error is None]
    finally:
        env.close()
    if not valid:
        raise UserError(f"All {config.episodes} rollouts of {name} broke in the simulation; see `demomill doctor`.")
    return {"success": sum(e.succeeded for e in valid) / len(valid), "episodes": float(len(valid))}

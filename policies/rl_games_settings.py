"""What rl_games is told: PPO and its network, as the dictionary that its runner reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENV_NAME = "demomill"
"""Name under which the worlds are registered with rl_games."""


GAMMA, REWARD_SCALE = 0.98, 0.1
"""Discount, and what rewards are multiplied by."""


@dataclass(frozen=True)
class Pace:
    """How a network goes on from a copy of a script."""

    # Most noise under which the copy is made, a standard deviation as a share of the limits; each world draws its own.
    noise: float
    # Logarithm of PPO's first standard deviation, as a share of the limits: it explores around the copy.
    sigma: float
    # First learning rate, and the divergence of an update that the rate is adapted to.
    rate: float
    kl: float


PACES = {
    "gentle": Pace(noise=0.25, sigma=-2.3, rate=3e-5, kl=0.004),
    "bold": Pace(noise=0.6, sigma=-1.6, rate=2e-4, kl=0.01),
}
"""Small steps for a copy that does the task already, larger ones for one that has much to learn in its worlds."""


def network_params(
    *, worlds: int, seed: int, max_epochs: int, folder: Path, device: str, pace: Pace | None = None
) -> dict[str, Any]:
    """Return rl_games' configuration: PPO with a [256, 128, 64] ELU network and an adaptive learning rate.

    With a `pace` it takes smaller steps and asks for no entropy: for a network that begins as a copy.
    """
    return {
        "seed": seed + 1,
        "torch_threads": 1,
        "algo": {"name": "a2c_continuous"},
        "model": {"name": "continuous_a2c_logstd"},
        "network": {
            "name": "actor_critic",
            "separate": False,
            "space": {
                "continuous": {
                    "mu_activation": "None",
                    "sigma_activation": "None",
                    "mu_init": {"name": "default"},
                    "sigma_init": {"name": "const_initializer", "val": -0.5},
                    "fixed_sigma": True,
                }
            },
            "mlp": {"units": [256, 128, 64], "activation": "elu", "initializer": {"name": "default"}},
        },
        "config": {
            "name": ENV_NAME,
            "full_experiment_name": ENV_NAME,
            "train_dir": str(folder),
            "env_name": ENV_NAME,
            "device": device,
            "device_name": device,
            "torch_compile": False,
            "ppo": True,
            "num_actors": worlds,
            "horizon_length": 16,
            "minibatch_size": min(max(2048, worlds * 4) if worlds > 1024 else 2048, worlds * 16),
            "mini_epochs": 4,
            "max_epochs": max_epochs,
            "save_frequency": 0,
            "save_best_after": 10**9,
            "print_stats": False,
            "reward_shaper": {"scale_value": REWARD_SCALE},
            "normalize_input": True,
            "normalize_value": True,
            "normalize_advantage": True,
            "value_bootstrap": True,
            "gamma": GAMMA,
            "tau": 0.95,
            "learning_rate": pace.rate if pace else 1e-3,
            "lr_schedule": "adaptive",
            "kl_threshold": pace.kl if pace else 0.012,
            "e_clip": 0.2,
            "clip_value": True,
            "entropy_coef": 0.0 if pace else 0.001,
            "critic_coef": 2.0,
            "bounds_loss_coef": 0.001,
            "truncate_grads": True,
            "grad_norm": 1.0,
        },
    }

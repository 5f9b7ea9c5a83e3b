"""The beginning of an expert's training: its network copies the task's scripted controller before PPO improves on it.

DAgger (Ross et al. 2011): the first round follows the script, the later ones what has been learnt, and the script says
of every state what it would have done. The value function is fitted to the same rollouts, so that PPO does not begin by
unlearning the copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from policies.rl_games_settings import Pace
from sim.conventions import ARM_LIMITS
from sim.streams import generator
from tasks.scripted import Script

ROUNDS, STEPS = 10, 64
"""Rounds of collecting, and control steps of every world in each."""

UPDATES, LAST, BATCH, RATE = 300, 4000, 2048, 1e-3
"""Adam's updates after each round and, at a rate that falls to nothing, after the last one."""


@dataclass(frozen=True)
class WarmStart:
    """What PPO begins with."""

    # Parameters and running statistics by the names that rl_games gives them.
    model: dict[str, NDArray[np.generic]]
    steps: int


@dataclass
class _Round:
    """One round: observations (t, n, p), labels (t, n, 7), rewards and ends (t, n), the last observation (n, p)."""

    seen: torch.Tensor
    labels: torch.Tensor
    rewards: torch.Tensor
    ended: torch.Tensor
    late: torch.Tensor
    last: torch.Tensor


class _Network(nn.Module):
    """The actor and critic that rl_games will go on with: one trunk, two heads."""

    def __init__(self, width: int, units: tuple[int, ...] = (256, 128, 64)) -> None:
        super().__init__()
        sizes = (width, *units)
        layers = [part for i in range(len(units)) for part in (nn.Linear(sizes[i], sizes[i + 1]), nn.ELU())]
        self.trunk, self.mu, self.value = nn.Sequential(*layers), nn.Linear(units[-1], 7), nn.Linear(units[-1], 1)

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(seen)
        return self.mu(features), self.value(features)[:, 0]


def warm_start(
    env: Any,
    script: Script,
    *,
    seed: int,
    gamma: float,
    reward_scale: float,
    pace: Pace,
    report: Callable[[int, float], None] = lambda steps, loss: None,
) -> WarmStart:
    """Return a network that copies `script` in the worlds of `env`, a policies.rl_games_adapter.TaskVecEnv."""
    rounds: list[_Round] = []
    seen = env.reset()
    torch.manual_seed(int(generator(seed, "warm start", "weights").integers(2**31)))
    network = _Network(seen.shape[1]).to(seen.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    statistics = _Statistics(seen)
    for number in range(ROUNDS):
        dice = generator(seed, "warm start", number)
        collected = _collect(env, seen, network if number else None, script, statistics, dice, noise=pace.noise)
        seen = collected.last
        rounds.append(collected)
        statistics = _Statistics(torch.cat([part.seen.flatten(0, 1) for part in rounds]), value=statistics.value)
        values = _values(collected, network, statistics, gamma=gamma, scale=reward_scale, first=number == 0)
        last = number == ROUNDS - 1
        loss = _fit(network, optimizer, rounds, values, statistics, dice, updates=LAST if last else UPDATES, fall=last)
        report((number + 1) * STEPS * seen.shape[0], loss)
    steps = ROUNDS * STEPS * seen.shape[0]
    return WarmStart(_named(network, statistics, steps, sigma=pace.sigma), steps)


class _Statistics:
    """Mean and variance (p,) of observations; `value` holds mean and deviation of the returns."""

    def __init__(self, seen: torch.Tensor, value: tuple[float, float] = (0.0, 1.0)) -> None:
        self.mean, self.variance = seen.double().mean(0), seen.double().var(0, correction=0)
        self.value = value

    def normal(self, seen: torch.Tensor) -> torch.Tensor:
        """Return observations as rl_games' network sees them."""
        return torch.clip((seen - self.mean) / torch.sqrt(self.variance + 1e-5), -5.0, 5.0).float()


def _collect(
    env: Any,
    seen: torch.Tensor,
    network: _Network | None,
    script: Script,
    statistics: _Statistics,
    dice: np.random.Generator,
    *,
    noise: float,
) -> _Round:
    """Roll out the network, or the script where there is none yet, with noise; label every state by the script."""
    unit = torch.tensor(ARM_LIMITS, device=seen.device)
    level = torch.as_tensor(dice.uniform(0.0, noise, size=(seen.shape[0], 1)), device=seen.device)
    parts: list[tuple[torch.Tensor, ...]] = []
    for _ in range(STEPS):
        wanted = torch.as_tensor(script(env.state()))
        label = torch.cat([wanted[:, :6] / unit, 2 * wanted[:, 6:] - 1], dim=1).float()
        with torch.no_grad():
            chosen = label if network is None else network(statistics.normal(seen))[0]
        shake = torch.as_tensor(dice.standard_normal(size=(seen.shape[0], 6)), device=seen.device) * level
        executed = torch.cat([chosen[:, :6] + shake, chosen[:, 6:]], dim=1).float()
        after, reward, done, infos = env.step(executed)
        parts.append((seen, label, reward, done, infos["time_outs"]))
        seen = after
    places, labels, rewards, ended, late = (torch.stack(column) for column in zip(*parts, strict=True))
    return _Round(places, labels, rewards, ended, late, last=seen)


def _values(
    collected: _Round, network: _Network, statistics: _Statistics, *, gamma: float, scale: float, first: bool
) -> torch.Tensor:
    """Return the discounted returns (t, n) of a round, as PPO will estimate them; the statistics learn their scale.

    What follows a truncated episode and the end of the round is what the network expects; in the first round, which
    has no network yet, the reward as it is, for ever.
    """
    rewards = collected.rewards * scale
    count, worlds = rewards.shape
    following = torch.cat([collected.seen[1:], collected.last[None]]).flatten(0, 1)
    with torch.no_grad():
        expected = network(statistics.normal(following))[1].view(count, worlds)
    mean, deviation = statistics.value
    expected = rewards / (1 - gamma) if first else expected * deviation + mean
    returns, ahead = torch.zeros_like(rewards), expected[-1]
    for t in reversed(range(count)):
        # The observation after an end is of another episode: a truncated one is taken to go on as it stands.
        stop, late = collected.ended[t].bool(), collected.late[t].bool()
        ahead = torch.where(stop, torch.where(late, rewards[t] / (1 - gamma), 0.0), ahead)
        returns[t] = ahead = rewards[t] + gamma * ahead
    return returns


def _fit(
    network: _Network,
    optimizer: torch.optim.Optimizer,
    rounds: list[_Round],
    values: torch.Tensor,
    statistics: _Statistics,
    dice: np.random.Generator,
    *,
    updates: int,
    fall: bool,
) -> float:
    """Fit the actor to the labels of all rounds and the critic to the returns of the newest; return the last loss."""
    mean, deviation = float(values.mean()), float(values.std()) + 1e-5
    statistics.value = (mean, deviation)
    seen = statistics.normal(torch.cat([part.seen.flatten(0, 1) for part in rounds]))
    labels = torch.cat([part.labels.flatten(0, 1) for part in rounds])
    newest = values.numel()
    goals = ((values - mean) / deviation).flatten().float()
    loss = torch.zeros(())
    for number in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * number / updates)) if fall else RATE
        chosen = torch.as_tensor(dice.integers(0, len(seen), size=BATCH), device=seen.device)
        recent = torch.as_tensor(dice.integers(0, newest, size=BATCH // 4), device=seen.device)
        action, _ = network(seen[chosen])
        _, value = network(seen[len(seen) - newest + recent])
        copied = torch.nn.functional.smooth_l1_loss(action, labels[chosen], beta=0.1)
        loss = copied + 0.05 * torch.nn.functional.mse_loss(value, goals[recent])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


def _named(network: _Network, statistics: _Statistics, count: int, *, sigma: float) -> dict[str, NDArray[np.generic]]:
    """Return the network and its statistics by the names of rl_games."""
    model: dict[str, NDArray[np.generic]] = {
        "running_mean_std.running_mean": statistics.mean.cpu().numpy(),
        "running_mean_std.running_var": statistics.variance.cpu().numpy(),
        "running_mean_std.count": np.array(float(count)),
        "value_mean_std.running_mean": np.array([statistics.value[0]]),
        "value_mean_std.running_var": np.array([statistics.value[1] ** 2]),
        "value_mean_std.count": np.array(float(count)),
        "a2c_network.sigma": np.full(7, sigma, dtype=np.float32),
    }
    for name, tensor in network.state_dict().items():
        part, _, rest = name.partition(".")
        key = f"actor_mlp.{rest}" if part == "trunk" else f"{part}.{rest}"
        model[f"a2c_network.{key}"] = tensor.detach().cpu().numpy()
    return model

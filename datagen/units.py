"""Pass 1: fixed units of candidate episodes, simulated in state space, filtered, and kept in files whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.filters import FilterConfig, FilterReport, Measurement, measure, reasons
from sim.controller import clip_action
from sim.conventions import CANONICAL, adapt_actions, differences
from sim.episodes import Env, EnvSpec, Episode, Policy, PolicySpec
from sim.errors import UserError
from sim.files import written_whole
from sim.rollouts import RolloutOptions, rollout

_ARRAYS = ("states", "joints", "actions", "rewards", "positions")


@dataclass(frozen=True)
class StateEpisode:
    """A kept episode of T steps without its frames. Row t is observation t and the action that followed it."""

    seed: int
    instruction: str
    draw: Mapping[str, Any]
    measurements: Mapping[str, Measurement]
    # Whether what was executed differs from the actions stored.
    perturbed: bool
    # Whether the episode ended by its own logic.
    terminated: bool
    # Canonical state (T, 8); arm joints (T, 7), rad; canonical clean actions (T, 7); rewards (T,).
    states: NDArray[np.float32]
    joints: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    # Generalized positions (T, nq) to draw frames from; (T, 0) where frames are at hand already.
    positions: NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """What one unit brought: its kept episodes in the order of their seeds, and the report on all candidates."""

    episodes: tuple[StateEpisode, ...]
    report: FilterReport


def simulate_unit(
    env: Env, policy: Policy, seeds: Sequence[int], *, options: RolloutOptions, filters: FilterConfig
) -> Unit:
    """Roll out one candidate per seed and keep the good ones."""
    kept: list[StateEpisode] = []
    report = FilterReport()
    for episode in rollout(env, policy, seeds, options=options):
        measurements = measure(episode, workspace=filters.workspace)
        why = reasons(episode, measurements, filters)
        report.add(why)
        if not why:
            kept.append(state_episode(episode, measurements, policy=policy.spec))
    return Unit(tuple(kept), report)


def state_episode(episode: Episode, measurements: Mapping[str, Measurement], *, policy: PolicySpec) -> StateEpisode:
    """Return what is stored of an episode: actions in the canonical convention and inside its limits."""
    count = episode.length
    positions = episode.traces.get("positions", np.zeros((count, 0)))
    return StateEpisode(
        seed=episode.seed,
        instruction=episode.instruction,
        draw=json.loads(json.dumps(dict(episode.draw), allow_nan=False)),
        measurements=measurements,
        perturbed=not np.array_equal(episode.actions, episode.executed),
        terminated=episode.terminated,
        states=episode.states[:count],
        joints=episode.traces["joints"][:count, :7].astype(np.float32),
        actions=canonical_actions(episode.actions, policy),
        rewards=episode.rewards,
        positions=positions[:count],
    )


def canonical_actions(actions: NDArray[np.float32], policy: PolicySpec) -> NDArray[np.float32]:
    """Return a policy's actions (T, 7) in the canonical convention, clipped to its limits as every controller does."""
    adapt, _ = adapt_actions(policy.convention, CANONICAL, action_only=True)
    clipped: NDArray[np.float32] = clip_action(adapt(actions.astype(np.float64))).astype(np.float32)
    return clipped


def require_canonical(spec: EnvSpec) -> None:
    """Refuse an environment that means other things by its observations than the canonical convention."""
    found = differences(CANONICAL, spec.convention)
    if hopeless := [d for d in found if d.field in ("state", "channels", "first_row", "rate", "tcp", "base_frame")]:
        rows = ", ".join(f"{d.field}: {d.environment!r} instead of {d.policy!r}" for d in hopeless)
        raise UserError(f"{spec.host} {spec.host_task} does not speak the canonical convention of datasets: {rows}.")


def save_unit(path: Path, unit: Unit) -> None:
    """Write a unit to an .npz file, whole or not at all; it holds numbers and JSON, no pickles."""
    about = {
        "report": unit.report.to_json(),
        "episodes": [
            {
                "seed": e.seed,
                "instruction": e.instruction,
                "draw": e.draw,
                "measurements": e.measurements,
                "perturbed": e.perturbed,
                "terminated": e.terminated,
                "steps": len(e.actions),
            }
            for e in unit.episodes
        ],
    }
    arrays = {name: np.concatenate([getattr(e, name) for e in unit.episodes]) for name in _ARRAYS if unit.episodes}
    text = np.frombuffer(json.dumps(about, allow_nan=False).encode(), dtype=np.uint8)
    with written_whole(path) as beside, beside.open("wb") as stream:
        np.savez(stream, about=text, **arrays)


@dataclass(frozen=True)
class UnitHeader:
    """What the journal needs to know of a unit: steps of each kept episode, and the report."""

    steps: tuple[int, ...]
    report: FilterReport


def load_header(path: Path) -> UnitHeader:
    """Return what a unit file says about itself, without its arrays."""
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
    return UnitHeader(tuple(e["steps"] for e in about["episodes"]), FilterReport.from_json(about["report"]))


def load_unit(path: Path) -> Unit:
    """Return the unit stored at `path`."""
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
        arrays = {name: stored[name] for name in _ARRAYS if name in stored}
    episodes, start = [], 0
    for entry in about["episodes"]:
        stop = start + entry.pop("steps")
        episodes.append(StateEpisode(**entry, **{name: array[start:stop] for name, array in arrays.items()}))
        start = stop
    return Unit(tuple(episodes), FilterReport.from_json(about["report"]))

"""Pass 1: fixed units of candidate episodes, simulated in state space, measured and filtered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.cells import TEMPLATE, Axis, CellCounts
from datagen.filters import FAILED, FilterConfig, FilterReport, reasons
from datagen.measurements import OBJECT_PREFIX, Measurement, measure
from sim.adapters import adapt_actions
from sim.controller import clip_action
from sim.conventions import CANONICAL, differences
from sim.episodes import Env, EnvSpec, Episode, Policy, PolicySpec
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout
from tasks.targets import TARGET
from tasks.task import Task

PICTURES = 6
"""Frames of a filmstrip of a rejected episode."""

SHOWN = 2
"""Rejected episodes per reason and unit that are remembered for filmstrips."""


@dataclass(frozen=True)
class StateEpisode:
    """An episode of T steps without its frames. Row t is observation t and the action that followed it."""

    seed: int
    instruction: str
    # Template of the instruction.
    template: str
    draw: Mapping[str, Any]
    measurements: Mapping[str, Measurement]
    # Whether what was executed differs from the actions stored.
    perturbed: bool
    # Whether the episode ended by its own logic.
    terminated: bool
    # Names of the objects whose poses are recorded, in the order of `poses`.
    objects: tuple[str, ...]
    # Canonical state (T, 8); arm joints (T, 7), rad; canonical clean actions (T, 7); rewards (T,).
    states: NDArray[np.float32]
    joints: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    # Generalized positions (T, nq) to draw frames from; (T, 0) where frames are at hand already.
    positions: NDArray[np.float64]
    # Poses of the objects (T, 7 k): position in m, quaternion wxyz, base frame, one after the other.
    poses: NDArray[np.float32]
    # Where a target that is no object, but part of a fixture, is grasped (T, 3), m, base frame; else (T, 0).
    target: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def pose(self, name: str) -> NDArray[np.float32]:
        """Return the pose of the object called `name`, (T, 7): position in m, quaternion wxyz, base frame."""
        k = 7 * self.objects.index(name)
        return self.poses[:, k : k + 7]

    @property
    def start(self) -> list[float]:
        """Where the episode begins: positions of the objects and of the TCP, x, y, z each, m."""
        objects = [self.pose(name)[0, :3] for name in self.objects]
        return [round(float(x), 6) for x in np.concatenate([*objects, self.states[0, :3]])]


@dataclass(frozen=True)
class Rejected:
    """A rejected candidate as it is shown in the report: why, and some of its positions (k, nq)."""

    seed: int
    reason: str
    instruction: str
    draw: Mapping[str, Any]
    measurements: Mapping[str, Measurement]
    positions: NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """What one unit brought, each in the order of their seeds."""

    # Candidates that passed the filters; then those that failed at the task, where failures are wanted.
    episodes: tuple[StateEpisode, ...]
    failures: tuple[StateEpisode, ...]
    # A few of the rejected ones, and the counts of all candidates: by reason, and by cell.
    rejected: tuple[Rejected, ...]
    report: FilterReport
    cells: CellCounts


@dataclass(frozen=True)
class UnitOptions:
    """How a unit is simulated and judged."""

    task: Task
    preset: str
    rollout: RolloutOptions
    filters: FilterConfig
    axes: tuple[Axis, ...] = ()
    # Whether episodes that failed at the task are kept beside the good ones.
    failures: bool = False


def simulate_unit(env: Env, policy: Policy, seeds: Sequence[int], *, options: UnitOptions) -> Unit:
    """Roll out one candidate per seed, measure it, and keep the good ones."""
    kept: list[StateEpisode] = []
    failures: list[StateEpisode] = []
    rejected: list[Rejected] = []
    report, cells, shown = FilterReport(), CellCounts(options.axes), Counter[str]()
    for episode in rollout(env, policy, seeds, options=options.rollout):
        measurements = measure(episode, workspace=options.filters.workspace)
        why = reasons(episode, measurements, options.filters)
        template = template_of(options.task, episode.seed, options.preset)
        report.add(why)
        cells.add({**episode.draw, TEMPLATE: template}, *why[:1])
        if not why or (options.failures and why[0] == FAILED):
            stored = state_episode(episode, measurements, policy=policy.spec, template=template)
            (failures if why else kept).append(stored)
        if why and shown[why[0]] < SHOWN and "positions" in episode.traces:
            shown[why[0]] += 1
            rejected.append(_shown(episode, why[0], measurements))
    return Unit(tuple(kept), tuple(failures), tuple(rejected), report, cells)


def resimulate(env: Env, policy: Policy, seeds: Sequence[int], *, options: UnitOptions) -> list[StateEpisode]:
    """Roll these episodes out again, good or not; an episode depends on its seed alone."""
    made = []
    for episode in rollout(env, policy, seeds, options=options.rollout):
        measurements = measure(episode, workspace=options.filters.workspace)
        template = template_of(options.task, episode.seed, options.preset)
        made.append(state_episode(episode, measurements, policy=policy.spec, template=template))
    return made


def template_of(task: Task, seed: int, preset: str) -> str:
    """Return the template of an episode's instruction."""
    return task.sentence(seed, preset=preset)[1]


def _shown(episode: Episode, reason: str, measurements: Mapping[str, Measurement]) -> Rejected:
    rows = np.linspace(0, len(episode.traces["positions"]) - 1, PICTURES).round().astype(int)
    return Rejected(
        seed=episode.seed,
        reason=reason,
        instruction=episode.instruction,
        draw=_plain(episode.draw),
        measurements=measurements,
        positions=episode.traces["positions"][rows],
    )


def _plain(draw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a draw as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(draw), allow_nan=False))
    return plain


def state_episode(
    episode: Episode, measurements: Mapping[str, Measurement], *, policy: PolicySpec, template: str
) -> StateEpisode:
    """Return what is stored of an episode: actions in the canonical convention and inside its limits."""
    count = episode.length
    positions = episode.traces.get("positions", np.zeros((count, 0)))
    poses = {n.removeprefix(OBJECT_PREFIX): p for n, p in sorted(episode.traces.items()) if n.startswith(OBJECT_PREFIX)}
    tracked = {name: trace for name, trace in poses.items() if trace.shape[1:] == (7,)}
    return StateEpisode(
        seed=episode.seed,
        instruction=episode.instruction,
        template=template,
        draw=_plain(episode.draw),
        measurements=measurements,
        perturbed=not np.array_equal(episode.actions, episode.executed),
        terminated=episode.terminated,
        objects=tuple(tracked),
        states=episode.states[:count],
        joints=episode.traces["joints"][:count, :7].astype(np.float32),
        actions=canonical_actions(episode.actions, policy),
        rewards=episode.rewards,
        positions=positions[:count],
        target=episode.traces.get(TARGET, np.zeros((count, 0)))[:count].astype(np.float32),
        poses=np.concatenate([np.zeros((count, 0)), *(p[:count] for p in tracked.values())], axis=1, dtype=np.float32),
    )


def canonical_actions(actions: NDArray[np.float32], policy: PolicySpec) -> NDArray[np.float32]:
    """Return a policy's actions (T, 7) in the canonical convention, clipped to its limits as every controller does."""
    adapt, _ = adapt_actions(policy.convention, CANONICAL, action_only=True)
    clipped: NDArray[np.float32] = clip_action(adapt(actions.astype(np.float64))).astype(np.float32)
    return clipped


MEANT = frozenset(
    {"state", "state_source", "channels", "first_row", "first_column", "crop", "camera", "rate", "tcp", "base_frame"}
)
"""Fields of an environment's convention that decide what its observations are."""


def require_canonical(spec: EnvSpec) -> None:
    """Refuse an environment that means other things by its observations than the canonical convention."""
    found = differences(CANONICAL, spec.convention)
    if hopeless := [d for d in found if d.field in MEANT]:
        rows = ", ".join(f"{d.field}: {d.environment!r} instead of {d.policy!r}" for d in hopeless)
        raise UserError(f"{spec.host} {spec.host_task} does not speak the canonical convention of datasets: {rows}.")

"""Between a policy's chunks and what is executed: temporal ensembling, an exponential filter, limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Ids, Observation, Policy, PolicySpec
from sim.errors import UserError

ARM = 6
"""Components of an action that belong to the arm; the last one is the gripper's."""


@dataclass
class _Memory:
    """What is remembered of one world."""

    # (step at which it was made, chunk (chunk, 7)) of the plans that still reach ahead, the oldest first.
    plans: list[tuple[int, NDArray[np.float64]]] = field(default_factory=list)
    # The arm action before, (6,).
    last: NDArray[np.float64] | None = None


class FilteredPolicy:
    """A policy whose chunks are averaged over time, smoothed and limited, in this order.

    Each world is treated by itself, so actions do not depend on how many worlds there are.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        name: str,
        execute: int | None = None,
        ensemble: float | None = None,
        smooth: float | None = None,
        limit: float | None = None,
    ) -> None:
        """With `ensemble`, the policy is asked at every step unless `execute` says otherwise."""
        spec = policy.spec
        if spec.convention.action_size not in (None, ARM + 1):
            raise UserError(
                f"{name}: actions in {spec.convention.rotation!r} cannot be averaged, smoothed or limited component by "
                "component. Leave out ensemble, smooth, limit and execute."
            )
        steps = execute if execute is not None else 1 if ensemble is not None else spec.execute
        if not 1 <= steps <= spec.chunk:
            raise UserError(f"{name}: execute = {steps} is not allowed. Allowed: 1 to {spec.chunk}.")
        if ensemble is not None and steps == spec.chunk:
            raise UserError(
                f"{name}: ensemble averages plans that overlap, and executing {steps} of {spec.chunk} actions leaves "
                "no overlap. Choose a smaller execute, or leave ensemble out."
            )
        self.policy, self.ensemble, self.smooth = policy, ensemble, smooth
        self.spec: PolicySpec = replace(spec, name=name, chunk=steps, execute=steps)
        self._limits = None if limit is None else limit * _unit_limits(spec)
        self._memory: dict[int, _Memory] = {}

    def reset(self, ids: Ids) -> None:
        """Forget plans and last actions of these worlds."""
        for world in ids:
            self._memory.pop(int(world), None)
        self.policy.reset(ids)

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return the next `execute` actions (k, execute, 7)."""
        said = np.asarray(self.policy.act(observation), dtype=np.float64)
        chunks = said[:, None] if said.ndim == 2 else said
        rows = [
            self._filtered(self._memory.setdefault(int(world), _Memory()), int(step), chunk)
            for world, step, chunk in zip(observation.ids, observation.steps, chunks, strict=True)
        ]
        return np.stack(rows)

    def _filtered(self, memory: _Memory, step: int, chunk: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the actions (execute, 7) of one world from `step` on."""
        steps = self.spec.execute
        if self.ensemble is None:
            actions = chunk[:steps].copy()
        else:
            memory.plans = [plan for plan in memory.plans if step < plan[0] + len(plan[1])] + [(step, chunk)]
            actions = np.stack([self._average(memory, step + ahead) for ahead in range(steps)])
        if self.smooth is not None:
            for action in actions:
                before = action[:ARM] if memory.last is None else memory.last
                action[:ARM] = self.smooth * before + (1 - self.smooth) * action[:ARM]
                memory.last = action[:ARM].copy()
        if self._limits is not None:
            actions[:, :ARM] = np.clip(actions[:, :ARM], -self._limits, self._limits)
        return actions

    def _average(self, memory: _Memory, step: int) -> NDArray[np.float64]:
        """Return the action (7,) at `step`: plans that reach it, weighted exp(-m i) with the oldest first (ACT)."""
        assert self.ensemble is not None
        actions = np.stack([plan[step - made] for made, plan in memory.plans if step < made + len(plan)])
        weights = np.exp(-self.ensemble * np.arange(len(actions)))
        mean: NDArray[np.float64] = weights @ actions / weights.sum()
        ends = np.array([self.spec.convention.gripper_closed, self.spec.convention.gripper_open])
        if np.isin(actions[:, ARM], ends).all():  # A gripper that is only ever open or closed stays so.
            mean[ARM] = ends[np.argmin(np.abs(ends - mean[ARM]))]
        return mean


def _unit_limits(spec: PolicySpec) -> NDArray[np.float64]:
    """Return the canonical limits of the arm (6,) in the units of the policy's convention."""
    position = POSITION_LIMIT / spec.convention.position_unit
    rotation = ROTATION_LIMIT / spec.convention.rotation_unit
    return np.array([position] * 3 + [rotation] * 3)

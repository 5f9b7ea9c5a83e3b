"""A privileged policy that is kept from pressing on the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.episodes import Ids, Observation, Policy, PolicySpec
from sim.errors import UserError
from sim.ranges import Numbers

FLOOR = Numbers(0, 0.2)
"""What a floor may be, m."""

HEIGHT = 2
"""Where the TCP's height above the table stands in every task's privileged observation (tasks.parts.hand_features)."""

Z = 2
"""The component of an action that moves the hand up, base frame."""


class GuardedPolicy:
    """A policy that asks for no place of the TCP lower than `floor`, m, above the table.

    An expert that presses on the table while its fingers close succeeds where fingers slide on it, and teaches to
    press: in robosuite, fingertips that are pressed on the table do not close. Every action is guarded by what is seen
    at its own step, so the policy must say one action at a time.
    """

    def __init__(self, policy: Policy, *, floor: float) -> None:
        """Guard `policy`, which must read the privileged observation."""
        spec = policy.spec
        if "privileged" not in spec.inputs or spec.chunk != 1:
            raise UserError(
                f"floor = {floor:g} guards experts, which see how high the hand is above the table and say one action "
                f"at a time; {spec.name} does not."
            )
        self.policy, self.floor = policy, floor
        self.spec: PolicySpec = replace(spec, name=f"{spec.name}?floor={floor:g}")

    def reset(self, ids: Ids) -> None:
        """Tell the policy."""
        self.policy.reset(ids)

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return canonical actions (k, 7); a hand that is lower already is asked to rise to the floor."""
        actions = np.array(self.policy.act(observation), dtype=np.float64)
        below = self.floor - np.asarray(observation.privileged, dtype=np.float64)[:, HEIGHT]
        actions[:, Z] = np.maximum(actions[:, Z], below)
        return actions

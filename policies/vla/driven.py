"""Worlds that one policy drives while another says what should be done: what DAgger's demonstrations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.adapters import adapt_actions
from sim.episodes import Env, EnvSpec, Ids, Observation, Policy, PolicySpec, Resting, Step
from sim.files import digest_json


class Driven:
    """An environment whose worlds do what `driver` says, whatever actions they are given.

    Rolled out with an expert, an episode holds the driver's states and, as actions, what the expert would have done in
    each of them (DAgger, Ross et al. 2011).
    """

    def __init__(self, env: Env, driver: Policy) -> None:
        """Let `driver` drive the worlds of `env`."""
        self.n, self._env, self._driver = env.n, env, driver
        self._adapt, _ = adapt_actions(driver.spec.convention, env.spec.convention)
        self._running = np.zeros(env.n, dtype=np.bool_)
        # What each world does next (n, execute, 7), and how much of it is left.
        self._plan = np.zeros((env.n, driver.spec.execute, 7))
        self._left = np.zeros(env.n, dtype=np.intp)

    @property
    def spec(self) -> EnvSpec:
        """What the worlds are."""
        return self._env.spec

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin these episodes."""
        self._env.reset(ids, seeds)
        self._driver.reset(ids)
        self._running[ids], self._left[ids] = True, 0

    def rest(self, ids: Ids) -> None:
        """Let these worlds stand still; nobody drives them."""
        self._running[ids] = False
        if isinstance(self._env, Resting):
            self._env.rest(ids)

    def observe(self, ids: Ids) -> Observation:
        """Return what these worlds show."""
        return self._env.observe(ids)

    def step(self, actions: NDArray[np.float64]) -> Step:
        """Do one step of the driver's in all running worlds; `actions` are only what somebody else would have done."""
        asked = np.flatnonzero(self._running & (self._left == 0))
        spec = self._driver.spec
        if len(asked):
            said = np.asarray(self._driver.act(self._env.observe(asked)), dtype=np.float64)
            chunks = said[:, None] if said.ndim == 2 else said
            self._plan[asked], self._left[asked] = chunks[:, : spec.execute], spec.execute
        running = np.flatnonzero(self._running)
        done = np.zeros((self.n, 7))
        done[running] = self._adapt(self._plan[running, spec.execute - self._left[running]])
        self._left[running] -= 1
        return self._env.step(done)

    def draw(self, world: int) -> dict[str, Any]:
        """Return what the episode in `world` drew."""
        return self._env.draw(world)

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        """Return measurements of these worlds."""
        return self._env.snapshot(ids)

    def close(self) -> None:
        """Free what the environment holds."""
        self._env.close()


class Labelling:
    """An expert that is asked for labels while `driver` drives: its name and digest say both."""

    def __init__(self, expert: Policy, driver: PolicySpec) -> None:
        """Name who labels and who drives."""
        self._expert = expert
        spec = expert.spec
        digest = digest_json({"labels": spec.digest, "drives": driver.digest, "execute": driver.execute})
        self.spec: PolicySpec = replace(spec, name=f"{spec.name} labelling {driver.name}", digest=digest)

    def reset(self, ids: Ids) -> None:
        """Forget what was remembered of these worlds."""
        self._expert.reset(ids)

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return what the expert would do."""
        return self._expert.act(observation)

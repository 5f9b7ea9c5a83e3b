"""The default engine: many MuJoCo worlds advanced together by the C++ rollout thread pool, each with its own model."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from sim import panda
from sim.controller import clip_action, joint_targets
from sim.conventions import OPENING_MAX
from sim.engine import Capabilities, Values
from sim.errors import UserError
from sim.mjcf import build_spec
from sim.model_values import ModelWriter, SceneFacts, start_positions
from sim.rotations import from_matrix, rotate
from sim.scene import Scene
from sim.state import State

ARM, FINGERS = 7, 2


class MujocoEngine:
    """n worlds of one scene on the CPU. The trajectory of a world depends on its values and actions alone."""

    def __init__(self, scene: Scene, *, n: int, threads: int | None = None) -> None:
        """Build the worlds; `threads` defaults to the processors this process may use."""
        if n < 1:
            raise UserError(f"An engine needs at least one world; got n = {n}.")
        self.n, self.scene = n, scene
        self.capabilities = Capabilities("mujoco", mujoco.__version__, "cpu", deterministic=True, max_worlds=65536)
        base = self._base = build_spec(scene).compile()
        self._models = [copy.copy(base) for _ in range(n)]
        self._writer = ModelWriter(base, scene)
        threads = threads or len(os.sched_getaffinity(0))
        self._data = [mujoco.MjData(base) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)
        size = mujoco.mj_stateSize(base, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        self._nq, self._nv = base.nq, base.nv
        hinged = [fixture.name for fixture in scene.fixtures if fixture.joint is not None]
        self._joints = {name: int(base.joint(name).qposadr[0]) for name in hinged}
        self._state = np.zeros((n, size))
        self._outputs = np.zeros((n, scene.substeps, size))
        self._sensors = np.zeros((n, scene.substeps, base.nsensordata))
        self._controls = np.zeros((n, scene.substeps, base.nu))
        self._contact = np.zeros(n)
        self._diverged = np.zeros(n, dtype=np.bool_)
        self._steps = np.zeros(n, dtype=np.intp)
        self._response = np.ones(n)
        self._facts = SceneFacts(scene, n)
        self._home = np.array(scene.home)
        nominal = scene.nominal()
        self._parked = np.zeros(size)
        self._parked[1 : 1 + self._nq] = start_positions(scene, nominal)
        self.reset(np.arange(n), [nominal] * n)

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes."""
        for world, chosen in zip(ids, values, strict=True):
            self._writer.write(self._models[world], chosen)
            row = self._state[world]
            row[:] = 0.0
            row[1 : 1 + self._nq] = start_positions(self.scene, chosen)
            self._response[world] = chosen["robot.response"]
            self._facts.write(world, chosen)
        self._contact[ids] = 0.0
        self._diverged[ids] = False
        self._steps[ids] = 0
        self._kinematics = panda.forward(self._state[:, 1 : 1 + ARM])

    def step(self, actions: NDArray[np.float64]) -> State:
        """Execute canonical actions (n, 7) for one control step."""
        wanted = clip_action(np.where(self._diverged[:, None], 0.0, actions))
        wanted[:, :6] *= self._response[:, None]
        q = self._state[:, 1 : 1 + ARM]
        self._controls[:, :, :ARM] = joint_targets(q, self._kinematics, wanted, self._home)[:, None]
        self._controls[:, :, ARM:] = (wanted[:, 6:] * OPENING_MAX / 2)[:, None]
        self._pool.rollout(
            *self._sound_starts(),
            self._controls,
            nstep=self.scene.substeps,
            state=self._outputs,
            sensordata=self._sensors,
            skip_checks=True,
        )
        self._accept()
        return self.state()

    def _sound_starts(self) -> tuple[list[mujoco.MjModel], list[mujoco.MjData], NDArray[np.float64]]:
        """Return models, scratch data and start states; a world that has diverged is replaced by a nominal one."""
        if not self._diverged.any():
            return self._models, self._data, self._state
        models = [self._base if lost else model for model, lost in zip(self._models, self._diverged, strict=True)]
        starts = np.where(self._diverged[:, None], self._parked, self._state)
        return models, self._data, starts

    def _accept(self) -> None:
        """Take over the new states; worlds whose clock stopped have diverged and stay where they last were sound.

        The rollout breaks off a world at MuJoCo's first warning and repeats its last output, and MuJoCo resets a world
        with NaNs to a finite default pose: so time, not finiteness, tells.
        """
        self._steps += ~self._diverged
        clock = self._steps * self.scene.substeps * self.scene.timestep
        final = self._outputs[:, -1]
        sound = (np.abs(final[:, 0] - clock) < 0.5 * self.scene.timestep) & np.isfinite(final).all(axis=1)
        self._diverged |= ~sound
        self._state[~self._diverged] = final[~self._diverged]
        self._contact = np.where(self._diverged, 0.0, self._sensors[:, -1].sum(axis=1))
        self._kinematics = panda.forward(self._state[:, 1 : 1 + ARM])

    def state(self) -> State:
        """Return the state of all worlds; arrays are fresh copies."""
        qpos = self._state[:, 1 : 1 + self._nq].copy()
        qvel = self._state[:, 1 + self._nq : 1 + self._nq + self._nv].copy()
        poses, twists = {}, {}
        for i, item in enumerate(self.scene.objects):
            p, v = ARM + FINGERS + 7 * i, ARM + FINGERS + 6 * i
            poses[item.name] = qpos[:, p : p + 7]
            # MuJoCo gives a free joint's angular velocity in the body's frame.
            angular = rotate(poses[item.name][:, 3:], qvel[:, v + 3 : v + 6])
            twists[item.name] = np.concatenate([qvel[:, v : v + 3], angular], axis=1)
        return State(
            time=self._state[:, 0].copy(),
            q=qpos[:, :ARM],
            qd=qvel[:, :ARM],
            tcp=np.concatenate([self._kinematics.position, from_matrix(self._kinematics.rotation)], axis=1),
            opening=qpos[:, ARM] + qpos[:, ARM + 1],
            poses=poses,
            twists=twists,
            contact=self._contact.copy(),
            joints={name: qpos[:, p] for name, p in self._joints.items()},
            **self._facts.shown(),
        )

    def diverged(self) -> NDArray[np.bool_]:
        """Return which worlds (n,) could not be integrated since their reset."""
        return self._diverged.copy()

    def positions(self) -> NDArray[np.float64]:
        """Return the generalized positions (n, nq)."""
        return self._state[:, 1 : 1 + self._nq].copy()

    def close(self) -> None:
        """End the thread pool."""
        self._pool.close()

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
from sim.controller import servo_targets
from sim.engine import Capabilities, Values
from sim.errors import UserError
from sim.mjcf import build_spec
from sim.model_values import ModelWriter, SceneFacts, object_motion, start_positions
from sim.panda import ARM
from sim.rotations import from_matrix
from sim.scene import Scene
from sim.state import State


class MujocoEngine:
    """n worlds of one scene on the CPU. The trajectory of a world depends on its values and actions alone."""

    def __init__(self, scene: Scene, *, n: int, threads: int | None = None) -> None:
        """Build the worlds; `threads` defaults to the processors this process may use."""
        if n < 1:
            raise UserError(f"An engine needs at least one world; got n = {n}.")
        self.n, self.scene = n, scene
        self.capabilities = Capabilities("mujoco", mujoco.__version__, "cpu", deterministic=True, max_worlds=65536)
        spec = build_spec(scene)
        touch = len(spec.sensors)
        _add_depth_sensor(spec)
        base = spec.compile()
        self._models = [copy.copy(base) for _ in range(n)]
        self._writer = ModelWriter(base, scene)
        threads = threads or len(os.sched_getaffinity(0))
        self._data = [mujoco.MjData(base) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)
        size = mujoco.mj_stateSize(base, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        self._nq, self._nv, self._touch = base.nq, base.nv, slice(0, touch)
        hinged = [fixture.name for fixture in scene.fixtures if fixture.joint is not None]
        self._joints = {name: int(base.joint(name).qposadr[0]) for name in hinged}
        self._state = np.zeros((n, size))
        self._outputs = np.zeros((n, scene.substeps, size))
        self._sensors = np.zeros((n, scene.substeps, base.nsensordata))
        self._controls = np.zeros((n, scene.substeps, base.nu))
        self._contact, self._depth = np.zeros(n), np.zeros(n)
        self._diverged, self._resting = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        self._steps = np.zeros(n, dtype=np.intp)
        self._response = np.ones(n)
        self._facts = SceneFacts(scene, n)
        self._home = np.array(scene.home)
        self._tcp = np.zeros((n, 7))
        self._kinematics = panda.forward(self._state[:, 1 : 1 + ARM])
        self.reset(np.arange(n), [scene.nominal()] * n)

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes."""
        for world, chosen in zip(ids, values, strict=True):
            self._writer.write(self._models[world], chosen)
            self._state[world] = 0.0
            self._state[world, 1 : 1 + self._nq] = start_positions(self.scene, chosen)
            self._response[world] = chosen["robot.response"]
            self._facts.write(world, chosen)
        self._contact[ids] = self._depth[ids] = 0.0
        self._diverged[ids] = self._resting[ids] = False
        self._steps[ids] = 0
        self._place_tcp(ids)

    def rest(self, ids: NDArray[np.intp]) -> None:
        """Let these worlds stand still, at no cost, until their next reset."""
        self._resting[ids] = True

    def _place_tcp(self, ids: NDArray[np.intp]) -> None:
        """Compute where the hands of these worlds are."""
        found = panda.forward(self._state[ids, 1 : 1 + ARM])
        kept = self._kinematics
        kept.position[ids], kept.rotation[ids], kept.jacobian[ids] = found.position, found.rotation, found.jacobian
        self._tcp[ids, :3], self._tcp[ids, 3:] = found.position, from_matrix(found.rotation)

    def step(self, actions: NDArray[np.float64]) -> State:
        """Execute canonical actions (n, 7) for one control step; worlds that have diverged or rest stand still."""
        moving = np.flatnonzero(~(self._diverged | self._resting))
        if len(moving):
            self._control(moving, actions)
            self._advance(moving)
        return self.state()

    def _control(self, moving: NDArray[np.intp], actions: NDArray[np.float64]) -> None:
        """Turn the actions of these worlds into servo targets, one row of controls per world."""
        kinematics = panda.Kinematics(*(part[moving] for part in vars(self._kinematics).values()))
        q, response = self._state[moving, 1 : 1 + ARM], self._response[moving]
        targets = servo_targets(q, kinematics, actions[moving], response=response, home=self._home)
        self._controls[: len(moving)] = targets[:, None]

    def _advance(self, moving: NDArray[np.intp]) -> None:
        """Integrate these worlds; those whose clock stopped have diverged and stay where they last were sound.

        The rollout breaks off a world at MuJoCo's first warning and repeats its last output, and MuJoCo resets a world
        with NaNs to a finite default pose: so time, not finiteness, tells.
        """
        k = len(moving)
        models = self._models if k == self.n else [self._models[world] for world in moving.tolist()]
        self._pool.rollout(
            models,
            self._data,
            self._state[moving],
            self._controls[:k],
            nstep=self.scene.substeps,
            state=self._outputs[:k],
            sensordata=self._sensors[:k],
            skip_checks=True,
        )
        self._steps[moving] += 1
        clock = self._steps[moving] * self.scene.substeps * self.scene.timestep
        final = self._outputs[:k, -1]
        sound = (np.abs(final[:, 0] - clock) < 0.5 * self.scene.timestep) & np.isfinite(final).all(axis=1)
        self._diverged[moving] = ~sound
        kept = moving[sound]
        self._state[kept] = final[sound]
        self._contact[moving] = np.where(sound, self._sensors[:k, -1, self._touch].sum(axis=1), 0.0)
        # An episode may begin with the arm inside an object; the first step may push them apart.
        deepest = np.where(self._steps[moving] > 1, self._sensors[:k, :, -1].min(axis=1), self._sensors[:k, -1, -1])
        self._depth[kept] = np.maximum(-deepest, 0.0)[sound]
        self._place_tcp(kept)

    def state(self) -> State:
        """Return the state of all worlds; arrays are fresh copies."""
        qpos = self._state[:, 1 : 1 + self._nq].copy()
        qvel = self._state[:, 1 + self._nq : 1 + self._nq + self._nv].copy()
        poses, twists = object_motion(self.scene, qpos, qvel)
        return State(
            time=self._state[:, 0].copy(),
            q=qpos[:, :ARM],
            qd=qvel[:, :ARM],
            tcp=self._tcp.copy(),
            opening=qpos[:, ARM] + qpos[:, ARM + 1],
            poses=poses,
            twists=twists,
            contact=self._contact.copy(),
            joints={name: qpos[:, p] for name, p in self._joints.items()},
            **self._facts.shown(),
            depth=self._depth.copy(),
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


def _add_depth_sensor(spec: mujoco.MjSpec) -> None:
    """Add, behind all other sensors, one that tells the smallest distance of all contacts: negative in an overlap."""
    sensor = spec.add_sensor(
        name="depth",
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_UNKNOWN,
        reftype=mujoco.mjtObj.mjOBJ_UNKNOWN,
    )
    fields, reduction, contacts = 1 << int(mujoco.mjtConDataField.mjCONDATA_DIST), 1, 1
    sensor.intprm[:3] = [fields, reduction, contacts]

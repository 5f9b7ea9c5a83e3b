"""What the worker last said of its worlds, converted to our conventions, and the joint targets that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import isaacgym_border as border
from sim import panda
from sim.controller import servo_targets
from sim.engine import Values
from sim.model_values import SceneFacts, start_positions
from sim.panda import ARM
from sim.rotations import from_matrix
from sim.scene import Scene
from sim.state import State

Memory = Mapping[str, NDArray[Any]]


class Mirror:
    """n worlds as the client knows them. A world that has diverged stays as it last was sound."""

    def __init__(self, scene: Scene, n: int) -> None:
        """Begin with all worlds at the nominal start."""
        self.scene, self.n = scene, n
        objects = len(scene.objects)
        self.diverged = np.zeros(n, dtype=np.bool_)
        self._q, self._qd = np.zeros((n, ARM + 2)), np.zeros((n, ARM + 2))
        self._roots, self._contact = np.zeros((n, objects, 13)), np.zeros(n)
        self._steps, self._home = np.zeros(n, dtype=np.intp), np.array(scene.home)
        self._response, self._facts = np.ones(n), SceneFacts(scene, n)
        self._hinged = [fixture.name for fixture in border.hinged(scene)]
        self._hinges = np.zeros((n, len(self._hinged)))
        nominal = scene.nominal()
        start = np.tile(start_positions(scene, nominal), (n, 1))
        self._q[:], self._roots[:] = border.joints_from_positions(start), border.roots_from_positions(start, objects)
        self.begin(np.arange(n), [nominal] * n)
        self._kinematics = panda.forward(self._q[:, :ARM])

    def begin(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Begin an episode in these worlds: remember what the state tells and no physics changes."""
        self._steps[ids] = 0
        self.diverged[ids] = False
        for world, chosen in zip(ids, values, strict=True):
            self._response[world] = chosen["robot.response"]
            self._facts.write(int(world), chosen)

    def read(self, memory: Memory, ids: NDArray[np.intp]) -> None:
        """Take over what the shared memory says of these worlds; one whose numbers are not finite has diverged."""
        told = {name: memory[name][ids].astype(np.float64) for name in ("q", "qd", "roots", "contact", "hinges")}
        sound = np.ones(len(ids), dtype=np.bool_)
        for values in told.values():
            sound &= np.isfinite(values.reshape(len(ids), -1)).all(axis=1)
        kept = ids[sound]
        self._q[kept], self._qd[kept], self._hinges[kept] = (told[name][sound] for name in ("q", "qd", "hinges"))
        self._roots[kept], self._contact[kept] = told["roots"][sound], told["contact"][sound]
        self.diverged[ids[~sound]] = True
        self._kinematics = panda.forward(self._q[:, :ARM])

    def read_step(self, memory: Memory) -> None:
        """Take over one control step of the worlds that are sound."""
        running = np.flatnonzero(~self.diverged)
        self._steps[running] += 1
        self.read(memory, running)

    def targets(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return joint targets (n, 9) for canonical actions (n, 7), by the controller that all engines share."""
        wanted = np.where(self.diverged[:, None], 0.0, actions)
        q = self._q[:, :ARM]
        return np.asarray(servo_targets(q, self._kinematics, wanted, response=self._response, home=self._home))

    def state(self) -> State:
        """Return the state of all worlds; arrays are fresh copies."""
        poses, twists = border.poses_from_roots(self._roots), border.twists_from_roots(self._roots)
        names = [item.name for item in self.scene.objects]
        kinematics = self._kinematics
        return State(
            time=self._steps * self.scene.substeps * self.scene.timestep,
            q=self._q[:, :ARM].copy(),
            qd=self._qd[:, :ARM].copy(),
            tcp=np.concatenate([kinematics.position, from_matrix(kinematics.rotation)], axis=1),
            opening=border.opening_from_joints(self._q),
            poses={name: poses[:, k].copy() for k, name in enumerate(names)},
            twists={name: twists[:, k].copy() for k, name in enumerate(names)},
            contact=self._contact.copy(),
            joints={name: self._hinges[:, k].copy() for k, name in enumerate(self._hinged)},
            **self._facts.shown(),
        )

    def positions(self) -> NDArray[np.float64]:
        """Return generalized positions (n, nq) in the order of the MuJoCo model: arm, fingers, 7 per object, joints."""
        poses = border.poses_from_roots(self._roots).reshape(self.n, -1)
        return np.concatenate([self._q, poses, self._hinges], axis=1)

"""robosuite's environments with its Panda and its own OSC_POSE controller, spoken to in canonical terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.hosts.canonical import clip_canonical, gripper_close_positive
from bench.hosts.changes import AS_IT_IS, applied
from bench.hosts.others import Spot, count_of, spots
from bench.hosts.robosuite_design import Design
from bench.hosts.robosuite_dials import Dials
from bench.hosts.robosuite_make import import_robosuite
from bench.hosts.robosuite_scene import RobosuiteScene
from bench.hosts.words import stretches
from bench.hosts.world import SceneWorld
from bench.variation import Changes
from sim.scene import Value

POSITION_SCALE = 0.05
"""Metres for a controller input of 1 (`output_max` of OSC_POSE)."""

ROTATION_SCALE = 0.5
"""Radians for a controller input of 1 (`output_max` of OSC_POSE)."""

ADAPTERS = (
    "action_scale: 0.05 m and 0.5 rad for an input of 1",
    "gripper_close_positive: +1 closes, -1 opens; only the sign is read and the fingers ramp by 0.2 per step",
    "grip_site_to_tcp: the grip_site frame turned by +90 degrees about z, and 0.4 mm along z",
    "wrist_camera: robot0_eye_in_hand, put where ours is from the TCP, with the same 75 degrees",
)
"""What every world of robosuite converts."""


class RobosuiteWorld(SceneWorld):
    """One environment of robosuite; a subclass says which."""

    design: ClassVar[Design]
    _scene: RobosuiteScene
    _dials: Dials

    def __init__(self, *, image_size: int) -> None:
        """Build the model once. A scene with other objects is a second one, built when it is first asked for."""
        self._size = image_size
        self._scenes: dict[int, tuple[RobosuiteScene, Dials]] = {}
        self._use(0)
        self.engine = f"mujoco {mujoco.__version__} in robosuite {import_robosuite().__version__}"
        self._chosen: dict[str, Value] = {}

    @property
    def _env(self) -> Any:
        return self._scene.env

    def _use(self, count: int) -> None:
        """Go on in the scene with `count` other objects."""
        if count not in self._scenes:
            scene = RobosuiteScene(self.design, count=count, image_size=self._size)
            self._scenes[count] = scene, Dials(scene)
        self._scene, self._dials = self._scenes[count]

    def reset(self, seed: int, changes: Changes = AS_IT_IS) -> None:
        """Begin the episode of `seed`: the one generator that all of robosuite's samplers share is set in place."""
        count = 0
        self._chosen = {}
        if "others.count" in changes:
            self._chosen = {"others.count": applied("others.count", 0.0, changes["others.count"])}
            count = count_of(self._chosen["others.count"])
        self._use(count)
        self._dials.restore()
        self._dials.before_reset(changes)
        self._env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        self._env.reset()
        self._dials.after_reset()
        if count:
            self._env.sim.forward()
            self._place_others(seed, count)
        if changes:
            self._env.sim.forward()
        self._look_round()

    def _place_others(self, seed: int, count: int) -> None:
        """Put the other objects where the episode's draw has them, on the table."""
        taken = stretches(self._scene.state(), self.design.items)
        for number, spot in enumerate(spots(seed, count, taken=taken, field=self.design.around), start=1):
            body = self._scene.bodies[f"other{number}"]
            height = self.design.table + float(body.half_size[2]) + 0.001
            place = [spot.place[0] + self._scene.base[0], spot.place[1] + self._scene.base[1], height]
            self._env.sim.data.qpos[body.qpos : body.qpos + 7] = [*place, *_upright(spot)]

    def step(self, action: NDArray[np.float64]) -> None:
        """Execute one canonical action (7,)."""
        self._env.step(to_robosuite(action))
        mujoco.mj_kinematics(self._env.sim.model._model, self._env.sim.data._data)

    def success(self) -> bool:
        """Return robosuite's own verdict."""
        return bool(self._env._check_success())

    def fault(self) -> str | None:
        """Return MuJoCo's warning of a bad state since the reset, or None."""
        return self._scene.fault()

    def extras(self) -> Mapping[str, Any]:
        """Return nothing: all that these environments draw is in the state."""
        return {}

    def close(self) -> None:
        """Free the simulation."""
        for scene, _ in self._scenes.values():
            scene.close()


def _upright(spot: Spot) -> tuple[float, float, float, float]:
    return float(np.cos(spot.yaw / 2)), 0.0, 0.0, float(np.sin(spot.yaw / 2))


def to_robosuite(action: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the input (7,) of BASIC/OSC_POSE in [-1, 1] for a canonical action (7,).

    The controller reads a rotation vector in the base frame (`axisangle2quat(delta)` times the current one), as we do.
    """
    clipped = clip_canonical(action)
    gripper = gripper_close_positive(float(clipped[6]))
    return np.concatenate([clipped[:3] / POSITION_SCALE, clipped[3:6] / ROTATION_SCALE, [gripper]])

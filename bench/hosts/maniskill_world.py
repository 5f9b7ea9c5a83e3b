"""ManiSkill's environments with its Panda and its own pd_ee_delta_pose controller, spoken to in canonical terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.hosts.canonical import axis_angle_to_intrinsic_xyz, clip_canonical, gripper_open_positive
from bench.hosts.changes import AS_IT_IS, applied
from bench.hosts.maniskill_design import Design, raw
from bench.hosts.maniskill_dials import Dials, put
from bench.hosts.maniskill_make import Structure
from bench.hosts.maniskill_scene import ManiskillScene
from bench.hosts.others import count_of, spots
from bench.hosts.words import stretches
from bench.hosts.world import SceneWorld
from bench.variation import Changes
from sim.errors import UserError, unknown
from sim.fixtures import SHAPES
from sim.scene import Value

POSITION_SCALE = 0.1
"""Metres for a controller input of 1 (`pos_upper` of pd_ee_delta_pose)."""

ROTATION_SCALE = -0.1
"""Radians for a controller input of 1: the controller multiplies by `rot_lower`, so the sign is turned."""

ADAPTERS = (
    "action_scale: 0.1 m for an input of 1; rotations saturate at a norm of 0.1 rad per step",
    "rotation_sign: the controller multiplies by rot_lower = -0.1",
    "axis_angle_to_intrinsic_xyz: the controller reads intrinsic XYZ Euler angles",
    "gripper_open_positive: +1 opens, -1 closes",
    "base_frame: world minus the base at (-0.615, 0, 0); table top at 0 m",
    "wrist_camera: a camera of its own, put where ours is from the TCP, with the same 75 degrees",
)
"""What every world of ManiSkill converts."""


class ManiskillWorld(SceneWorld):
    """One environment of ManiSkill on the CPU; a subclass says which."""

    design: ClassVar[Design]
    _scene: ManiskillScene
    _dials: Dials

    def __init__(self, *, image_size: int) -> None:
        """Build the scene once. Another structure is a second environment, rebuilt only where the structure changes."""
        self._size = image_size
        self._plain = self._scene = ManiskillScene(self.design, Structure(), image_size=image_size)
        self._plain_dials = self._dials = Dials(self._plain)
        self._nominal = {
            role: (body.shape, tuple(body.half_size.tolist())) for role, body in self._plain.bodies.items()
        }
        self._varied: ManiskillScene | None = None
        self._structure = Structure()
        self._chosen: dict[str, Value] = {}
        self._success = False
        import mani_skill
        import sapien

        self.engine = f"PhysX CPU in sapien {sapien.__version__}, mani_skill {mani_skill.__version__}"

    @property
    def _env(self) -> Any:
        return self._scene.env

    def reset(self, seed: int, changes: Changes = AS_IT_IS) -> None:
        """Begin the episode of `seed`."""
        self._dials.restore()
        self._chosen = {}
        structure = self._structure_of(changes)
        self._use(structure, seed=seed)
        self._scene.renew()
        _, info = self._env.reset(seed=seed)
        if changes:
            self._let_rest(structure)
            self._dials.after_reset(changes)
            self._place_others(seed, structure.count)
            info = self._env.evaluate()
        self._success = bool(info["success"][0])
        self._look_round()

    def _structure_of(self, changes: Changes) -> Structure:
        """Return the structure that the changes ask for, and remember their values."""
        shapes = {}
        for role, (shape, half) in self._nominal.items():
            for name, nominal in (("shape", shape), ("half_size", half)):
                if (path := f"{role}.{name}") in changes:
                    self._chosen[path] = applied(path, nominal, changes[path])
            wanted = self._chosen.get(f"{role}.shape", shape)
            size = cast(tuple[float, ...], self._chosen.get(f"{role}.half_size", half))
            if wanted not in SHAPES:
                raise unknown(f"shape for {role}.shape", str(wanted), SHAPES)
            if min(size) <= 0:
                raise UserError(f"{role}.half_size = {size} is not allowed: every half extent must be above 0 m.")
            if (wanted, size) != (shape, half):
                shapes[role] = (wanted, size)
        if "others.count" not in changes:
            return Structure(shapes)
        self._chosen["others.count"] = applied("others.count", 0.0, changes["others.count"])
        return Structure(shapes, count_of(self._chosen["others.count"]))

    def _use(self, structure: Structure, *, seed: int) -> None:
        """Go on in the scene of this structure."""
        if structure.plain:
            self._scene, self._dials = self._plain, self._plain_dials
            return
        if self._varied is None:
            self._varied = ManiskillScene(self.design, structure, image_size=self._size)
        elif structure != self._structure:
            self._varied.rebuild(structure, seed=seed)
        if structure != self._structure or self._scene is self._plain:
            self._dials = Dials(self._varied)
        self._scene, self._structure = self._varied, structure

    def _let_rest(self, structure: Structure) -> None:
        """Put objects of another size onto the table."""
        for role in structure.shapes:
            body = self._scene.bodies[role]
            pose = raw(body.actor.pose.raw_pose)
            pose[2] = body.half_size[2]
            put(body.actor, pose)
            before = self._plain.bodies[role].actor._bodies[0]
            now = body.actor._bodies[0]
            ratio = float(before.mass) / float(now.mass)
            if abs(ratio - 1.0) > 1e-6:
                now.set_inertia(np.array(now.inertia) * ratio)
                now.set_mass(float(before.mass))

    def _place_others(self, seed: int, count: int) -> None:
        """Put the other objects where the episode's draw has them."""
        taken = stretches(self._scene.state(), self.design.items)
        for number, spot in enumerate(spots(seed, count, taken=taken, field=self.design.around), start=1):
            body = self._scene.bodies[f"other{number}"]
            place = np.array([*spot.place, float(body.half_size[2])]) + [*self._scene.base[:2], 0.0]
            put(body.actor, np.array([*place, np.cos(spot.yaw / 2), 0.0, 0.0, np.sin(spot.yaw / 2)]))

    def step(self, action: NDArray[np.float64]) -> None:
        """Execute one canonical action (7,)."""
        *_, info = self._env.step(to_maniskill(action))
        self._success = bool(info["success"][0])

    def success(self) -> bool:
        """Return ManiSkill's own verdict."""
        return self._success

    def fault(self) -> str | None:
        """Return None: PhysX reports nothing; a state that is not finite is seen by the caller."""
        return None

    def extras(self) -> Mapping[str, Any]:
        """Return what the environment drew beyond the state."""
        return self.design.extras(self._env, self._scene.base)

    def close(self) -> None:
        """Free the scenes."""
        self._plain.close()
        if self._varied is not None:
            self._varied.close()


def to_maniskill(action: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the input (7,) of pd_ee_delta_pose in [-1, 1] for a canonical action (7,).

    Source: `PDEEPoseController._clip_and_scale_action` and `compute_target_pose` of mani_skill 3.0.1.
    """
    clipped = clip_canonical(action)
    rotation = axis_angle_to_intrinsic_xyz(clipped[3:6]) / ROTATION_SCALE
    gripper = gripper_open_positive(float(clipped[6]))
    return np.concatenate([clipped[:3] / POSITION_SCALE, rotation, [gripper]]).astype(np.float32)

"""What of a robosuite scene can be changed without compiling it anew, written into MuJoCo's model and state."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import mujoco
import numpy as np

from bench.hosts.changes import Turned, applied, yaw_of
from bench.hosts.robosuite_body import Body
from bench.hosts.robosuite_design import Vector
from bench.hosts.robosuite_looks import Indices, Looks, paint
from bench.hosts.robosuite_scene import RobosuiteScene
from bench.hosts.views import View
from bench.variation import Changes
from sim.contacts import GEOM_TYPES, size_triple
from sim.errors import UserError, unknown
from sim.fixtures import SHAPES, Shape
from sim.scene import Value, rgb

FIELDS = (
    *("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "actuator_acc0"),
    *("tendon_length0", "tendon_invweight0", "cam_pos", "cam_quat", "cam_fovy", "cam_pos0", "cam_poscom0", "cam_mat0"),
    *("light_dir", "light_diffuse", "light_pos0", "light_poscom0", "light_dir0", "body_pos", "body_quat"),
    *("geom_size", "geom_type", "geom_rbound", "geom_aabb", "geom_rgba", "geom_matid", "geom_friction"),
)
"""Arrays of the model that a change, or MuJoCo's `mj_setConst` after one, may write."""

STATISTICS = ("meaninertia", "meanmass", "meansize", "extent")

SHAPE_KINDS = {"box": "cube", "cylinder": "cylinder", "sphere": "ball"}
"""Shape -> what an object of it is called."""


class Dials:
    """Changes one scene, and puts it back as it was."""

    def __init__(self, scene: RobosuiteScene) -> None:
        """Remember the model as robosuite made it."""
        self._scene, self._env = scene, scene.env
        self._model: mujoco.MjModel = scene.env.sim.model._model
        self._looks = Looks(scene)
        self._pristine = {name: getattr(self._model, name).copy() for name in FIELDS}
        self._statistics = {name: getattr(self._model.stat, name) for name in STATISTICS}
        self._flags, headlight = int(self._model.opt.disableflags), self._model.vis.headlight
        self._headlight = {name: getattr(headlight, name).copy() for name in ("ambient", "diffuse")}
        self._init_q = scene.env.robots[0].init_qpos.copy()
        of_table = np.isin(self._model.geom_bodyid, [self._model.body(name).id for name in scene.design.tables])
        self._table = np.flatnonzero(of_table & (self._model.geom_contype > 0))
        self._dirty, self._turned = False, Turned()

    @property
    def values(self) -> dict[str, Value]:
        """The absolute values that the changes have made, by path."""
        return self._turned.values

    @property
    def view(self) -> View:
        """The view as it is now."""
        return self._looks.view

    def restore(self) -> None:
        """Undo every change."""
        self._turned = Turned()
        self._looks.restore()
        if not self._dirty:
            return
        for name, array in self._pristine.items():
            getattr(self._model, name)[:] = array
        for name, number in self._statistics.items():
            setattr(self._model.stat, name, number)
        for name, array in self._headlight.items():
            getattr(self._model.vis.headlight, name)[:] = array
        self._model.opt.disableflags = self._flags
        self._env.robots[0].init_qpos = self._init_q.copy()
        for name, body in self._scene.nominal.items():
            now = self._scene.bodies[name]
            now.kind, now.color, now.half_size = body.kind, body.color, body.half_size.copy()
        self._dirty = False

    def before_reset(self, changes: Changes) -> None:
        """Make the changes that the environment's own reset then uses: the arm's start, to which it adds its noise."""
        self._turned = Turned(changes)
        if "robot.q" in changes:
            values = self._turned.value("robot.q", tuple(self._init_q.tolist()))
            self._env.robots[0].init_qpos = np.array(values)

    def after_reset(self) -> None:
        """Make the other changes to the model and to the state that the reset has left."""
        changes = self._turned.changes
        if not changes:
            return
        self._dirty = True
        # In the order in which one depends on another.
        steps: dict[str, Callable[[Body, str], None]] = {
            "shape": self._shape,
            "half_size": self._half_size,
            "mass": self._mass,
            "friction": lambda body, path: self._slide(body.solid, path),
            "color": self._color,
            "position": self._position,
            "yaw": self._yaw,
        }
        for role in self._scene.design.items:
            self._turned.turn(role, self._scene.bodies[role], steps)
        self._change_door()
        self._change_frictions()
        self._looks.apply(self._turned)
        if any(path.endswith(".mass") for path in changes):
            mujoco.mj_setConst(self._model, mujoco.MjData(self._model))

    def _shape(self, body: Body, path: str) -> None:
        name = self._turned.value(path, body.shape)
        if name not in SHAPES:
            raise unknown(f"shape for {path}", str(name), SHAPES)
        body.kind = SHAPE_KINDS[name]
        self._resize(body, body.half_size)

    def _half_size(self, body: Body, path: str) -> None:
        half = np.array(self._turned.value(path, tuple(body.half_size.tolist())))
        if half.min() <= 0:
            raise UserError(f"{path} = {half.tolist()} is not allowed: every half extent must be above 0 m.")
        raised = float(half[2] - body.half_size[2])
        self._resize(body, half)
        self._env.sim.data.qpos[body.qpos + 2] += raised

    def _resize(self, body: Body, half: Vector) -> None:
        """Give the object's geoms its shape and half extents, and its mass the inertia that goes with them."""
        model, shape = self._model, cast(Shape, body.shape)
        if shape != "box":
            half = np.array([half[0], half[0], half[0] if shape == "sphere" else half[2]])
        x, y, z = half
        radius = {"box": np.linalg.norm(half), "cylinder": np.hypot(x, z), "sphere": x}[shape]
        for geom in (*body.solid, *body.visible):
            model.geom_type[geom] = GEOM_TYPES[shape]
            model.geom_size[geom] = size_triple(shape, tuple(half.tolist()))
            model.geom_aabb[geom, 3:] = half
            model.geom_rbound[geom] = radius
        moments = {
            "box": [(y * y + z * z) / 3, (x * x + z * z) / 3, (x * x + y * y) / 3],
            "cylinder": [(3 * x * x + 4 * z * z) / 12, (3 * x * x + 4 * z * z) / 12, x * x / 2],
            "sphere": [0.4 * x * x] * 3,
        }[shape]
        model.body_inertia[body.body] = model.body_mass[body.body] * np.array(moments)
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE  # Its boxes were made for the old size.
        body.half_size = half

    def _mass(self, body: Body, path: str) -> None:
        model, before = self._model, float(self._model.body_mass[body.body])
        mass = self._turned.mass(path, before)
        model.body_mass[body.body] = mass
        model.body_inertia[body.body] *= mass / before

    def _slide(self, geoms: Indices, path: str) -> None:
        """Change the sliding friction of geoms, each from its own; the first one's value is the one recorded."""
        nominal = [float(x) for x in self._model.geom_friction[geoms, 0]]
        change = self._turned.changes[path]
        for geom, value in zip(geoms, nominal, strict=True):
            self._model.geom_friction[geom, 0] = max(0.0, float(cast(float, applied(path, value, change))))
        self.values[path] = float(self._model.geom_friction[geoms[0], 0])

    def _change_frictions(self) -> None:
        hand = np.flatnonzero(self._scene.hand_geoms & (self._model.geom_contype > 0))
        pads = np.array([g for g in hand if "pad" in self._model.geom(int(g)).name])
        for path, geoms in (("gripper.friction", pads), ("table.friction", self._table)):
            if path in self._turned.changes:
                self._slide(geoms, path)

    def _color(self, body: Body, path: str) -> None:
        color = self._turned.value(path, body.color)
        body.color = color if isinstance(color, str) else ""
        paint(self._model, body.visible, rgb(color))

    def _position(self, body: Body, path: str) -> None:
        data, base = self._env.sim.data, self._scene.base
        place = data.qpos[body.qpos : body.qpos + 2] - base[:2]
        data.qpos[body.qpos : body.qpos + 2] = np.array(self._turned.value(path, tuple(place.tolist()))) + base[:2]

    def _yaw(self, body: Body, path: str) -> None:
        data, at = self._env.sim.data, slice(body.qpos + 3, body.qpos + 7)
        before = data.qpos[at].copy()
        yaw = yaw_of(before)
        turn, turned = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.array([0.0, 0.0, 1.0]), float(self._turned.value(path, yaw)) - yaw)
        mujoco.mju_mulQuat(turned, turn, before)
        data.qpos[at] = turned

    def _change_door(self) -> None:
        """Move the body of the door, which robosuite places at each reset."""
        if self._scene.design.door is None or "door.position" not in self._turned.changes:
            return
        body = self._model.body(self._scene.design.door(self._env).root_body).id
        place = self._model.body_pos[body, :2] - self._scene.base[:2]
        moved = np.array(self._turned.value("door.position", tuple(place.tolist())))
        self._model.body_pos[body, :2] = moved + self._scene.base[:2]

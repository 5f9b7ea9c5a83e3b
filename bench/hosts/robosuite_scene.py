"""One compiled environment of robosuite: where everything is in its model, its state in our terms, its frames."""

from __future__ import annotations

import os
from dataclasses import replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.hosts.canonical import turned_about_z
from bench.hosts.others import OTHERS
from bench.hosts.robosuite_body import Body, body_of
from bench.hosts.robosuite_design import Design
from bench.hosts.robosuite_make import make
from bench.hosts.views import View, wrist_camera
from sim import gl
from sim.appearance import WRIST_FOVY
from sim.episodes import Images
from sim.fixtures import SHAPES
from sim.rotations import from_matrix, rotate
from sim.state import State

Vector = NDArray[np.float64]

GRIP_SITE_TO_TCP = 0.0004
"""Distance along z from robosuite's grip_site to the canonical TCP as seen from the fingers, m.

The site lies 0.097 - 0.0524 m beyond the finger frames, our TCP 0.1034 - 0.0584 m.
"""

DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
"""MuJoCo's warnings of a state that it could not integrate and has reset."""

AGENTVIEW, EYE_IN_HAND = "agentview", "robot0_eye_in_hand"
"""robosuite's names of the cameras that make `image` and `wrist_image`."""

HAND = ("right_gripper", "leftfinger", "rightfinger", "finger_joint1_tip", "finger_joint2_tip")


class RobosuiteScene:
    """One environment, with `count` other objects in it."""

    def __init__(self, design: Design, *, count: int, image_size: int) -> None:
        """Build the model once; `reset` never rebuilds it. The renderer is made when the first frame is asked for."""
        self.design, self.count, self._size = design, count, image_size
        self.env = make(design, count)
        self.env._observables.clear()  # Sensors are read from the simulation directly; nothing else uses these.
        self._renders = False
        self.stale_textures: set[int] = set()
        self._find()

    def _find(self) -> None:
        """Remember where in the simulation everything stands."""
        model, robot = self.env.sim.model, self.env.robots[0]
        self.q, self._qd = robot._ref_joint_pos_indexes, robot._ref_joint_vel_indexes
        self._fingers = [model.get_joint_qpos_addr(f"gripper0_right_finger_joint{k}") for k in (1, 2)]
        self._site = model.site_name2id("gripper0_right_grip_site")
        base = model.body_name2id("robot0_base")
        self.base: Vector = self.env.sim.data.body_xpos[base].copy()
        if not np.allclose(self.env.sim.data.body_xquat[base], [1, 0, 0, 0]):
            raise RuntimeError("robosuite's Panda base is turned against the world; the adapter assumes it is not.")
        model.cam_fovy[model.camera_name2id(EYE_IN_HAND)] = WRIST_FOVY
        self._table = float(self.design.table - self.base[2])
        hand = [model.body_name2id(f"gripper0_right_{name}") for name in HAND]
        self.hand_geoms = np.isin(model.geom_bodyid, hand)
        found = {role: (item.find(self.env), item.kind, item.color) for role, item in self.design.items.items()}
        extra = getattr(self.env, "others", ())
        found |= {
            other.name: (made, other.kind, other.color) for other, made in zip(OTHERS[: self.count], extra, strict=True)
        }
        self.bodies = {name: body_of(model, *entry) for name, entry in found.items()}
        self.nominal = {name: replace(body, half_size=body.half_size.copy()) for name, body in self.bodies.items()}

    def tcp(self) -> Vector:
        """Return the pose (7,) of the canonical TCP in the base frame."""
        data = self.env.sim.data
        rotation = data.site_xmat[self._site].reshape(3, 3)
        position = data.site_xpos[self._site] + GRIP_SITE_TO_TCP * rotation[:, 2] - self.base
        return np.concatenate([position, turned_about_z(from_matrix(rotation), np.pi / 2)])

    def state(self) -> State:
        """Return the state of this world."""
        data = self.env.sim.data
        fixed, bodies = self.design.fixed(self.env, self.base), self.bodies
        halves = {name: body.half_size for name, body in bodies.items()} | dict(fixed.half_sizes)
        return State(
            time=np.array([float(self.env.cur_time)]),
            q=data.qpos[self.q][None].copy(),
            qd=data.qvel[self._qd][None].copy(),
            tcp=self.tcp()[None],
            opening=np.array([data.qpos[self._fingers[0]] - data.qpos[self._fingers[1]]]),
            poses={name: self.pose(body)[None] for name, body in bodies.items()},
            twists={name: self._twist(body)[None] for name, body in bodies.items()},
            half_sizes={name: half[None].copy() for name, half in halves.items()},
            table=np.array([self._table]),
            contact=np.array([self._contact()]),
            shapes={name: np.array([SHAPES.index(body.shape)]) for name, body in bodies.items()},
            fixtures={name: pose[None] for name, pose in fixed.poses.items()},
            joints={name: np.array([value]) for name, value in fixed.joints.items()},
        )

    def pose(self, body: Body) -> Vector:
        """Return position and quaternion (7,) of an object in the base frame."""
        data = self.env.sim.data
        return np.concatenate([data.body_xpos[body.body] - self.base, data.body_xquat[body.body]])

    def _twist(self, body: Body) -> Vector:
        data = self.env.sim.data
        velocity = data.qvel[body.qvel : body.qvel + 6]
        return np.concatenate([velocity[:3], rotate(data.body_xquat[body.body].copy(), velocity[3:])])

    def _contact(self) -> float:
        """Return the sum of the normal forces on hand and fingers from anything else, N."""
        model, data = self.env.sim.model._model, self.env.sim.data._data
        total, force = 0.0, np.zeros(6)
        for k in range(data.ncon):
            first, second = data.contact[k].geom
            if self.hand_geoms[first] != self.hand_geoms[second]:
                mujoco.mj_contactForce(model, data, k, force)
                total += abs(float(force[0]))
        return total

    def fault(self) -> str | None:
        """Return MuJoCo's warning of a bad state since the reset, or None."""
        for kind in DIVERGED:
            if self.env.sim.data._data.warning[kind].number:
                return f"the simulation diverged ({kind.name})"
        return None

    def view(self) -> View:
        """Return the view of agentview; its target is where its axis meets the table."""
        if self.design.view is not None:
            return self.design.view
        model = self.env.sim.model
        camera = model.camera_name2id(AGENTVIEW)
        eye, matrix = model.cam_pos[camera] - self.base, np.zeros(9)
        mujoco.mju_quat2Mat(matrix, model.cam_quat[camera])
        forward = -matrix.reshape(3, 3)[:, 2]
        target = eye + forward * (self._table - eye[2]) / forward[2]
        return View(tuple(eye.tolist()), tuple(target.tolist()), float(model.cam_fovy[camera]))

    def set_view(self, view: View) -> None:
        """Put agentview where `view` is."""
        model = self.env.sim.model
        camera, placed = model.camera_name2id(AGENTVIEW), view.pinhole()
        model.cam_pos[camera] = placed.eye + self.base
        model.cam_quat[camera] = placed.quaternion()
        model.cam_fovy[camera] = view.fovy

    def image(self) -> Images:
        """Return one frame of agentview, row 0 on top."""
        return self._shot(AGENTVIEW)

    def wrist_image(self) -> Images:
        """Return one frame of eye_in_hand, put where our own wrist camera is, row 0 on top."""
        return self._shot(EYE_IN_HAND)

    def _hold_camera(self) -> None:
        """Put eye_in_hand before the hand as it is now.

        Only derived values are written, which MuJoCo computes anew in every step and no physics reads: of the model
        nothing is changed.
        """
        simulation, placed = self.env.sim, wrist_camera(self.tcp())
        camera = simulation.model.camera_name2id(EYE_IN_HAND)
        simulation.data.cam_xpos[camera] = placed.eye + self.base
        simulation.data.cam_xmat[camera] = placed.rotation.ravel()

    def _shot(self, camera: str) -> Images:
        if not self._renders:
            self._open_renderer()
        if camera == EYE_IN_HAND:
            self._hold_camera()
        with gl.uncollected():
            self._make_current()
            for texture in sorted(self.stale_textures):
                self.env.sim._render_context_offscreen.upload_texture(texture)
            self.stale_textures.clear()
            frame = self.env.sim.render(camera_name=camera, width=self._size, height=self._size)
        return rows_top_first(frame)

    def _open_renderer(self) -> None:
        """Make the off-screen context, showing visual meshes only, as robosuite does."""
        from robosuite.utils import binding_utils

        binding_utils._MUJOCO_GL = gl.choose_backend()
        os.environ.setdefault("LP_NUM_THREADS", gl.RASTER_THREADS)
        context = binding_utils.MjRenderContextOffscreen(self.env.sim, device_id=-1)
        context.vopt.geomgroup[0], context.vopt.geomgroup[1] = 0, 1
        self._renders = True

    def _make_current(self) -> None:
        """Draw into the scene's own OpenGL context: robosuite draws into that of whoever was the last to make one."""
        self.env.sim._render_context_offscreen.gl_ctx.make_current()

    def close(self) -> None:
        """Free the simulation, and what it draws with in the context that is its own: else another world's would go."""
        if self._renders:
            self._make_current()
        self.env.close()


def rows_top_first(frame: Images) -> Images:
    """Return an OpenGL frame, whose row 0 is the bottom, with row 0 on top."""
    return np.ascontiguousarray(frame[::-1])

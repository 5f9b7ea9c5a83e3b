"""robosuite's `Lift` with its Panda and its own OSC_POSE controller, spoken to in canonical terms."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from bench.hosts.canonical import clip_canonical, gripper_close_positive, turned_about_z
from sim import gl
from sim.episodes import Images
from sim.rotations import from_matrix, rotate
from sim.state import State

POSITION_SCALE = 0.05
"""Metres for a controller input of 1 (`output_max` of OSC_POSE)."""

ROTATION_SCALE = 0.5
"""Radians for a controller input of 1 (`output_max` of OSC_POSE)."""

GRIP_SITE_TO_TCP = 0.0004
"""Distance along z from robosuite's grip_site to the canonical TCP as seen from the fingers, m.

The site lies 0.097 - 0.0524 m beyond the finger frames, our TCP 0.1034 - 0.0584 m.
"""

MODEL_SEED = 0
"""The cube's size is drawn when the model is built; this seed fixes it for all episodes."""

DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
"""MuJoCo's warnings of a state that it could not integrate and has reset."""

ADAPTERS = (
    "action_scale: 0.05 m and 0.5 rad for an input of 1",
    "gripper_close_positive: +1 closes, -1 opens; only the sign is read and the fingers ramp by 0.2 per step",
    "grip_site_to_tcp: the grip_site frame turned by +90 degrees about z, and 0.4 mm along z",
    "base_frame: world minus the base at (-0.56, 0, 0.912); table top at -0.112 m",
    "rows_top_first: OpenGL rows flipped",
    "camera: agentview",
)


class RobosuiteLift:
    """One `Lift` environment."""

    adapters = ADAPTERS

    def __init__(self, *, image_size: int) -> None:
        """Build the model once; `reset` never rebuilds it. The renderer is made when the first frame is asked for."""
        robosuite = _import_robosuite()
        self._env = robosuite.make(
            "Lift",
            robots="Panda",
            controller_configs=robosuite.load_composite_controller_config(robot="Panda"),
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            use_object_obs=False,
            control_freq=20,
            ignore_done=True,
            hard_reset=False,
            renderer="mujoco",
            seed=MODEL_SEED,
        )
        self._env._observables.clear()  # Sensors are read from the simulation directly; nothing else uses these.
        self.engine = f"mujoco {mujoco.__version__} in robosuite {robosuite.__version__}"
        self._size = image_size
        self._renders = False
        self._find()

    def _find(self) -> None:
        """Remember where in the simulation everything stands."""
        model, robot = self._env.sim.model, self._env.robots[0]
        self._q, self._qd = robot._ref_joint_pos_indexes, robot._ref_joint_vel_indexes
        self._fingers = [model.get_joint_qpos_addr(f"gripper0_right_finger_joint{k}") for k in (1, 2)]
        self._site = model.site_name2id("gripper0_right_grip_site")
        self._cube = model.body_name2id(self._env.cube.root_body)
        joint = self._env.cube.joints[0]
        self._cube_v = slice(*model.get_joint_qvel_addr(joint))
        self._half_size = model.geom_size[model.geom_name2id("cube_g0")].copy()
        base = model.body_name2id("robot0_base")
        self._base = self._env.sim.data.body_xpos[base].copy()
        if not np.allclose(self._env.sim.data.body_xquat[base], [1, 0, 0, 0]):
            raise RuntimeError("robosuite's Panda base is turned against the world; the adapter assumes it is not.")
        self._table = float(self._env.model.mujoco_arena.table_offset[2] - self._base[2])
        hand = {"gripper0_right_right_gripper", "gripper0_right_leftfinger", "gripper0_right_rightfinger"}
        hand |= {"gripper0_right_finger_joint1_tip", "gripper0_right_finger_joint2_tip"}
        bodies = {model.body_name2id(name) for name in hand}
        self._hand_geoms = np.isin(model.geom_bodyid, list(bodies))

    def reset(self, seed: int) -> None:
        """Begin the episode of `seed`: the one generator that all of robosuite's samplers share is set in place."""
        self._env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        self._env.reset()

    def step(self, action: NDArray[np.float64]) -> None:
        """Execute one canonical action (7,)."""
        self._env.step(to_robosuite(action))
        mujoco.mj_kinematics(self._env.sim.model._model, self._env.sim.data._data)

    def state(self) -> State:
        """Return the state of this world."""
        data = self._env.sim.data
        rotation = data.site_xmat[self._site].reshape(3, 3)
        position = data.site_xpos[self._site] + GRIP_SITE_TO_TCP * rotation[:, 2] - self._base
        hand = turned_about_z(from_matrix(rotation), np.pi / 2)
        quaternion = data.body_xquat[self._cube].copy()
        velocity = data.qvel[self._cube_v]
        return State(
            time=np.array([float(self._env.cur_time)]),
            q=data.qpos[self._q][None].copy(),
            qd=data.qvel[self._qd][None].copy(),
            tcp=np.concatenate([position, hand])[None],
            opening=np.array([data.qpos[self._fingers[0]] - data.qpos[self._fingers[1]]]),
            poses={"cube": np.concatenate([data.body_xpos[self._cube] - self._base, quaternion])[None]},
            twists={"cube": np.concatenate([velocity[:3], rotate(quaternion, velocity[3:])])[None]},
            half_sizes={"cube": self._half_size[None].copy()},
            table=np.array([self._table]),
            contact=np.array([self._contact()]),
        )

    def _contact(self) -> float:
        """Return the sum of the normal forces on hand and fingers from anything else, N."""
        model, data = self._env.sim.model._model, self._env.sim.data._data
        total, force = 0.0, np.zeros(6)
        for k in range(data.ncon):
            first, second = data.contact[k].geom
            if self._hand_geoms[first] != self._hand_geoms[second]:
                mujoco.mj_contactForce(model, data, k, force)
                total += abs(float(force[0]))
        return total

    def success(self) -> bool:
        """Return robosuite's own verdict: the cube's centre more than 4 cm above the table top."""
        return bool(self._env._check_success())

    def fault(self) -> str | None:
        """Return MuJoCo's warning of a bad state since the reset, or None."""
        for kind in DIVERGED:
            if self._env.sim.data._data.warning[kind].number:
                return f"the simulation diverged ({kind.name})"
        return None

    def image(self, camera: str) -> Images:
        """Return one frame of robosuite's agentview, row 0 on top."""
        if not self._renders:
            self._open_renderer()
        frame = self._env.sim.render(camera_name="agentview", width=self._size, height=self._size)
        return rows_top_first(frame)

    def _open_renderer(self) -> None:
        """Make the off-screen context, showing visual meshes only, as robosuite does."""
        from robosuite.utils import binding_utils

        binding_utils._MUJOCO_GL = gl.choose_backend()
        os.environ.setdefault("LP_NUM_THREADS", gl.RASTER_THREADS)
        context = binding_utils.MjRenderContextOffscreen(self._env.sim, device_id=-1)
        context.vopt.geomgroup[0], context.vopt.geomgroup[1] = 0, 1
        self._renders = True

    def extras(self) -> Mapping[str, Any]:
        """Return nothing: `Lift` draws only the cube's pose and the arm's start."""
        return {}

    def close(self) -> None:
        """Free the simulation."""
        self._env.close()


def to_robosuite(action: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the input (7,) of BASIC/OSC_POSE in [-1, 1] for a canonical action (7,).

    The controller reads a rotation vector in the base frame (`axisangle2quat(delta)` times the current one), as we do.
    """
    clipped = clip_canonical(action)
    gripper = gripper_close_positive(float(clipped[6]))
    return np.concatenate([clipped[:3] / POSITION_SCALE, clipped[3:6] / ROTATION_SCALE, [gripper]])


def rows_top_first(frame: Images) -> Images:
    """Return an OpenGL frame, whose row 0 is the bottom, with row 0 on top."""
    return np.ascontiguousarray(frame[::-1])


def _import_robosuite() -> Any:
    """Return the package, imported without its warnings and without the OpenGL backend that it would choose for all."""
    logging.getLogger("robosuite_logs").addFilter(lambda record: record.levelno >= logging.ERROR)
    chosen = os.environ.get("MUJOCO_GL")
    import robosuite

    if chosen is None:
        os.environ.pop("MUJOCO_GL", None)
    return robosuite

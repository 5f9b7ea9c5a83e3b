"""A scene as a lean MuJoCo model: the Panda, table, fixtures and free objects, with collision shapes and no visuals."""

from __future__ import annotations

import mujoco
import numpy as np

from sim import panda
from sim.contacts import GEOM_TYPES, HAND, OBJECT, SOLIMP, SOLREF, TABLE, size_triple
from sim.conventions import TCP_OFFSET
from sim.fixture_geoms import add_fixture
from sim.scene import Object, Scene

TABLE_CENTER = (0.55, 0.0)
"""Centre of the table top in the base frame, m."""

TABLE_HALF = (0.4, 0.6, 0.025)
"""Half extents of the table top, m."""

ARM_STIFFNESS = (1800.0, 1800.0, 1500.0, 1500.0, 600.0, 600.0, 400.0)
"""Servo stiffness of the arm joints, N m / rad."""

ARM_DAMPING = tuple(stiffness / 16.0 for stiffness in ARM_STIFFNESS)
"""Servo damping of the arm joints, N m s / rad: one ratio for all, so that a joint step is straight in joint space."""

FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE = 1000.0, 120.0, 25.0
"""Servo of each finger: N / m, N s / m, N."""


def build_spec(scene: Scene) -> mujoco.MjSpec:
    """Return the physics of `scene` as a spec: qpos = 7 arm joints, 2 fingers, 7 per object, 1 per fixture's joint."""
    spec = mujoco.MjSpec()
    spec.modelname = "demomill"
    option = spec.option
    option.timestep = scene.timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.iterations, option.ls_iterations = 10, 20
    option.impratio = 5.0
    # The mid-phase tests bounding boxes that were fixed when the model was compiled: a randomized, larger object would
    # be missed until it is deep inside.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    spec.compiler.autolimits = True
    spec.compiler.degree = False
    world = spec.worldbody
    _add_table(world, scene)
    hand = _add_arm(spec, world)
    _add_hand(spec, hand)
    for item in scene.objects:
        _add_object(world, item, scene)
    for fixture in scene.fixtures:
        add_fixture(world, fixture, table=scene.table_height)
    return spec


def _add_table(world: mujoco.MjsBody, scene: Scene) -> None:
    """Add the table as a body whose frame is the centre of its top surface."""
    endless = scene.table_shape == "plane"
    table = world.add_body(name="table", pos=[*TABLE_CENTER, scene.table_height])
    table.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE if endless else mujoco.mjtGeom.mjGEOM_BOX,
        size=TABLE_HALF,
        pos=[0, 0, 0 if endless else -TABLE_HALF[2]],
        contype=TABLE,
        conaffinity=OBJECT | HAND,
        friction=[0.3, 0.005, 0.0001],
        solref=SOLREF,
        solimp=SOLIMP,
    )


def _add_arm(spec: mujoco.MjSpec, world: mujoco.MjsBody) -> mujoco.MjsBody:
    """Add the seven links and their servos; return the hand's body."""
    body = world.add_body(name="link0")
    for i, link in enumerate(panda.LINKS):
        body = body.add_body(
            name=link.name,
            pos=link.position,
            quat=[np.cos(link.tilt / 2), np.sin(link.tilt / 2), 0, 0],
            gravcomp=1,
            mass=link.mass,
            ipos=link.center,
            inertia=[0.01 * link.mass] * 3,
            explicitinertial=True,
        )
        body.add_joint(
            name=f"joint{i + 1}",
            axis=[0, 0, 1],
            range=[link.low, link.high],
            armature=0.1,
        )
        actuator = spec.add_actuator(name=f"servo{i + 1}", target=f"joint{i + 1}", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=ARM_STIFFNESS[i], kv=ARM_DAMPING[i])
        actuator.forcerange = [-link.torque, link.torque]
    half = panda.HAND_TURN / 2
    return body.add_body(
        name="hand",
        pos=[0, 0, panda.HAND_OFFSET],
        quat=[np.cos(half), 0, 0, np.sin(half)],
        gravcomp=1,
        mass=0.73,
        ipos=[0, 0, 0.03],
        inertia=[0.0025, 0.0006, 0.0025],
        explicitinertial=True,
    )


def _add_hand(spec: mujoco.MjSpec, hand: mujoco.MjsBody) -> None:
    """Add palm, fingers with flat pads, their servos, the TCP site and the touch sensors."""
    hand.add_site(name="tcp", pos=[0, 0, TCP_OFFSET])
    _add_collision(hand, "hand", size=[0.03, 0.1, 0.033], pos=[0, 0, 0.033])
    _add_touch(spec, hand, "hand", size=[0.032, 0.102, 0.035], pos=[0, 0, 0.033])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        finger = hand.add_body(
            name=f"{side}_finger",
            pos=[0, 0, panda.FINGER_OFFSET],
            gravcomp=1,
            mass=0.1,
            ipos=[0, sign * 0.012, 0.025],
            inertia=[2e-4] * 3,
            explicitinertial=True,
        )
        finger.add_joint(
            name=f"{side}_finger",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, sign, 0],
            range=[0, 0.04],
            armature=0.3,
        )
        _add_collision(finger, f"{side}_finger", size=[0.009, 0.0075, 0.022], pos=[0, sign * 0.0155, 0.022])
        _add_collision(finger, f"{side}_pad", size=[0.009, 0.004, 0.0095], pos=[0, sign * 0.004, 0.0443])
        spec.geom(f"{side}_pad").priority = 1
        _add_touch(spec, finger, f"{side}_finger", size=[0.011, 0.014, 0.03], pos=[0, sign * 0.012, 0.027])
        actuator = spec.add_actuator(name=f"{side}_finger", target=f"{side}_finger", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=FINGER_STIFFNESS, kv=FINGER_DAMPING)
        actuator.forcerange = [-FINGER_FORCE, FINGER_FORCE]
    spec.add_exclude(bodyname1="left_finger", bodyname2="right_finger")


def _add_collision(body: mujoco.MjsBody, name: str, *, size: list[float], pos: list[float]) -> None:
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size,
        pos=pos,
        contype=HAND,
        conaffinity=OBJECT | TABLE,
        friction=[1.0, 0.005, 0.0001],
        solref=SOLREF,
        solimp=SOLIMP,
        mass=0,
    )


def _add_touch(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, *, size: list[float], pos: list[float]) -> None:
    """Add a touch sensor that sums the normal contact forces inside a box around the part."""
    body.add_site(name=f"touch_{name}", type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=pos)
    spec.add_sensor(
        name=f"touch_{name}",
        type=mujoco.mjtSensor.mjSENS_TOUCH,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=f"touch_{name}",
    )


def _add_object(world: mujoco.MjsBody, item: Object, scene: Scene) -> None:
    """Add one free object that rests on the table."""
    half_height = item.half_size[2]
    body = world.add_body(
        name=item.name,
        pos=[*item.position, scene.table_height + half_height],
        quat=[np.cos(item.yaw / 2), 0, 0, np.sin(item.yaw / 2)],
    )
    body.add_freejoint(name=item.name)
    body.add_geom(
        name=item.name,
        type=GEOM_TYPES[item.shape],
        size=size_triple(item.shape, item.half_size),
        mass=item.mass,
        contype=OBJECT,
        conaffinity=TABLE | HAND | OBJECT,
        friction=[item.friction, 0.005, 0.0001],
        solref=SOLREF,
        solimp=SOLIMP,
    )

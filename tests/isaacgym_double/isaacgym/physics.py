"""How the double moves: drives, efforts, falling bodies, and fingers that stop at what is between them.

Joints under position drives follow their targets in the first order. Joints under efforts accelerate by the inertia
that their URDF gives them. Free bodies fall onto the table; one that both fingers press moves with the hand. Nothing
else touches anything.
"""

import numpy as np
from isaacgym import kinematics
from isaacgym.structures import DofDriveMode

ARM_HAND = ("hand", "left_finger", "right_finger")


class Physics:
    def __init__(self, sim):
        self.sim, self.dt = sim, sim.params.dt
        actors = sim.actors
        self.tables = {id(env): next((a for a in env.actors if a.name == "table"), None) for env in sim.envs}
        self.free = [
            (actor, self.tables[id(env)])
            for env in sim.envs
            for actor in env.actors
            if not actor.asset.joints and not actor.asset.options.fix_base_link
        ]
        self.jointed = [actor for actor in actors if actor.asset.joints]
        self.inertia = {id(actor): kinematics.effort_inertia(actor.asset) for actor in self.jointed}
        self.grips = [
            Grip(sim, env, actor)
            for env in sim.envs
            for actor in env.actors
            if set(ARM_HAND) <= set(actor.asset.bodies)
        ]

    def advance(self):
        for grip in self.grips:
            grip.remember()
        self.sim.forces[:] = 0.0
        for actor in self.jointed:
            self._move_joints(actor)
        self._fall()
        for grip in self.grips:
            grip.hold()

    def _move_joints(self, actor):
        """Move driven joints towards their targets, the others by their efforts."""
        sim, dt, properties = self.sim, self.dt, actor.properties
        driven = properties["driveMode"] == DofDriveMode.DOF_MODE_POS
        pushed = properties["driveMode"] == DofDriveMode.DOF_MODE_EFFORT
        if not (driven | pushed).all():
            raise RuntimeError("isaacgym double: position targets and efforts need DOF_MODE_POS and DOF_MODE_EFFORT")
        rows = slice(actor.first_dof, actor.first_dof + len(properties))
        if np.abs(sim.efforts[rows][driven]).max(initial=0.0) > 0:
            raise RuntimeError("isaacgym double: efforts need DOF_MODE_EFFORT")
        now, speed = sim.joints[rows].astype(np.float64).T
        rate = properties["stiffness"] / np.maximum(properties["damping"], 1e-9)
        target = np.clip(sim.targets[rows], properties["lower"], properties["upper"])
        inertia = self.inertia[id(actor)] + properties["armature"]
        faster = speed + sim.efforts[rows] * dt / inertia
        followed = now + (target - now) * (1.0 - np.exp(-rate * dt))
        after = np.where(driven, followed, np.clip(now + faster * dt, properties["lower"], properties["upper"]))
        sim.joints[rows, 1] = (after - now) / dt
        sim.joints[rows, 0] = after

    def _fall(self):
        sim, gravity = self.sim, self.sim.params.gravity.z
        for actor, table in self.free:
            state, half = sim.roots[actor.index], actor.asset.half[2]
            state[9] += gravity * self.dt
            state[:3] += state[7:10] * self.dt
            if table is None:
                continue
            middle, extent = sim.roots[table.index], table.asset.half
            above = (abs(state[:2] - middle[:2]) < extent[:2]).all() and state[2] > middle[2] - 1.0
            resting = above and state[2] <= middle[2] + extent[2] + half
            if resting:
                state[2], state[7:] = middle[2] + extent[2] + half, 0.0
            sim.forces[actor.first_body] = (0.0, 0.0, -actor.asset.mass * gravity if resting else 0.0)


class Grip:
    """One hand and what is between its fingers."""

    def __init__(self, sim, env, robot):
        self.sim, self.dt = sim, sim.params.dt
        self.robot, self.chain = robot, kinematics.Chain(robot.asset, "hand")
        self.others = [
            actor for actor in env.actors if not actor.asset.joints and not actor.asset.options.fix_base_link
        ]
        names = [joint.get("name") for joint in robot.asset.joints]
        self.fingers = [robot.first_dof + names.index(name) for name in ARM_HAND[1:]]
        bodies = list(robot.asset.bodies)
        self.pads = [robot.first_body + bodies.index(name) for name in ("left_pad", "right_pad")]

    def _joints(self):
        first = self.robot.first_dof
        return self.sim.joints[first : first + len(self.robot.asset.joints), 0]

    def remember(self):
        """Keep joints and bodies as they are before they move."""
        self.before = self._joints().copy()
        self.places = {id(actor): self.sim.roots[actor.index, :7].copy() for actor in self.others}

    def hand(self, positions):
        """Return the hand's pose (4, 4) with the origin between the fingertips."""
        pose = self.chain.pose(positions)
        pose[:3, 3] += 0.1034 * pose[:3, 2]
        return pose

    def hold(self):
        """Stop the fingers at a body between them; one that both press moves with the hand."""
        if self.sim.targets[self.fingers].min() > 0.039:
            return  # Open fingers press nothing.
        now, across = self.hand(self._joints()), None
        for actor in self.others:
            state = self.sim.roots[actor.index]
            if np.abs(state[:3] - now[:3, 3]).max() > 0.2:
                continue
            turned = kinematics.matrix(state[3:7])
            place = now[:3, :3].T @ (state[:3] - now[:3, 3])
            reach = np.abs(now[:3, :3].T @ turned) @ actor.asset.half
            opening = self.sim.joints[self.fingers, 0].sum()
            if (np.abs(place[[0, 2]]) < reach[[0, 2]] + 0.008).all() and abs(place[1]) < max(opening / 2, reach[1]):
                across = (actor, reach[1])
                break
        if across is None:
            return
        actor, half = across
        properties = self.robot.properties
        pressed = 0
        for finger, pad, sign in zip(self.fingers, self.pads, (1.0, -1.0)):
            row = finger - self.robot.first_dof
            if self.sim.joints[finger, 0] > half or self.sim.targets[finger] >= half:
                continue
            self.sim.joints[finger] = half, 0.0
            push = min(properties["stiffness"][row] * (half - self.sim.targets[finger]), properties["effort"][row])
            self.sim.forces[pad] = sign * push * now[:3, 1]
            pressed += 1
        if pressed == 2:
            self._carry(actor, now @ np.linalg.inv(self.hand(self.before)))

    def _carry(self, actor, motion):
        """Move a body from where it was before this step as the hand has moved."""
        state, before = self.sim.roots[actor.index], self.places[id(actor)]
        place = motion[:3, :3] @ before[:3] + motion[:3, 3]
        state[3:7] = kinematics.quaternion(motion[:3, :3] @ kinematics.matrix(before[3:7]))
        state[:3], state[7:10], state[10:] = place, (place - before[:3]) / self.dt, 0.0

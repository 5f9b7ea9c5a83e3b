"""Where the links of a URDF are, and how heavy its joints turn."""

import math

import numpy as np


def numbers(element, name, otherwise="0 0 0"):
    text = otherwise if element is None else element.get(name, otherwise)
    return np.array([float(each) for each in text.split()])


def rotation(axis, angle):
    """Return the rotation matrix about an axis, rad."""
    x, y, z = axis / np.linalg.norm(axis)
    c, s = math.cos(angle), math.sin(angle)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return c * np.eye(3) + s * cross + (1 - c) * np.outer((x, y, z), (x, y, z))


def origin(element):
    """Return the transform (4, 4) of an <origin>."""
    pose, found = np.eye(4), element.find("origin")
    roll, pitch, yaw = numbers(found, "rpy")
    turns = [rotation(axis, angle) for axis, angle in zip(np.eye(3), (roll, pitch, yaw))]
    pose[:3, :3], pose[:3, 3] = turns[2] @ turns[1] @ turns[0], numbers(found, "xyz")
    return pose


def matrix(quaternion):
    """Return the rotation matrix of a quaternion xyzw."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion(turn):
    """Return the quaternion xyzw of a rotation matrix."""
    _, vectors = np.linalg.eigh(
        np.array(
            [
                [turn[0, 0] - turn[1, 1] - turn[2, 2], 0, 0, 0],
                [turn[0, 1] + turn[1, 0], turn[1, 1] - turn[0, 0] - turn[2, 2], 0, 0],
                [turn[0, 2] + turn[2, 0], turn[1, 2] + turn[2, 1], turn[2, 2] - turn[0, 0] - turn[1, 1], 0],
                [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1], np.trace(turn)],
            ]
        )
    )
    return vectors[:, -1]


class Chain:
    """The way from the root to one link, joint by joint."""

    def __init__(self, asset, link):
        self.steps, names = [], [joint.get("name") for joint in asset.joints]
        while link in asset.parents:
            joint = asset.parents[link]
            moves = joint.get("type") != "fixed"
            row = names.index(joint.get("name")) if moves else -1
            axis = numbers(joint.find("axis"), "xyz", "1 0 0")
            self.steps.insert(0, (origin(joint), joint.get("type"), row, axis))
            link = joint.find("parent").get("link")

    def pose(self, positions):
        """Return the link's pose (4, 4) for the actor's joint positions."""
        pose = np.eye(4)
        for place, kind, row, axis in self.steps:
            pose = pose @ place
            motion = np.eye(4)
            if kind == "revolute":
                motion[:3, :3] = rotation(axis, float(positions[row]))
            elif kind == "prismatic":
                motion[:3, 3] = axis * float(positions[row])
            pose = pose @ motion
        return pose


def effort_inertia(asset):
    """Return for each joint the inertia of what hangs rigidly on it: about a hinge's axis, or the mass on a slide."""
    return np.array([_inertia(asset, joint) for joint in asset.joints])


def _inertia(asset, joint):
    total, axis = 0.0, numbers(joint.find("axis"), "xyz", "1 0 0")
    todo = [(joint.find("child").get("link"), np.eye(4))]
    while todo:
        link, pose = todo.pop()
        inertial = asset.links[link].find("inertial")
        mass = float(inertial.find("mass").get("value"))
        if joint.get("type") == "revolute":
            entries = inertial.find("inertia")
            xx, xy, xz, yy, yz, zz = (float(entries.get(n)) for n in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz"))
            about = pose[:3, :3] @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ pose[:3, :3].T
            arm = np.cross(axis, (pose @ np.append(numbers(inertial.find("origin"), "xyz"), 1.0))[:3])
            total += axis @ about @ axis + mass * (arm @ arm)
        else:
            total += mass
        for child, parent in asset.parents.items():
            if parent.get("type") == "fixed" and parent.find("parent").get("link") == link:
                todo.append((child, pose @ origin(parent)))
    return max(total, 1e-9)

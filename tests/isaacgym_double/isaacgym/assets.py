"""What actors are made of: bodies, shapes and joints, from boxes, spheres and URDF files."""

import math
import os
import xml.etree.ElementTree as ElementTree

import numpy as np

from isaacgym.structures import DOF_PROPERTIES


class Asset:
    """Bodies with their numbers of collision shapes, joints, and for simple bodies half height, mass and radius."""

    def __init__(self, options, bodies, joints=(), half=None, mass=None):
        self.options, self.bodies, self.joints, self.half, self.mass = options, bodies, list(joints), half, mass
        self.links, self.parents = {}, {}

    def dof_properties(self):
        properties = np.zeros(len(self.joints), dtype=DOF_PROPERTIES)
        for k, joint in enumerate(self.joints):
            properties[k]["hasLimits"] = True
            for field, name in (("lower", "lower"), ("upper", "upper"), ("effort", "effort"), ("velocity", "velocity")):
                properties[k][field] = float(joint.find("limit").get(name))
            properties[k]["driveMode"] = self.options.default_dof_drive_mode
        return properties


def box(options, width, height, depth):
    half = np.array([width, height, depth]) / 2.0
    return Asset(options, {"box": 1}, half=half, mass=options.density * width * height * depth)


def sphere(options, radius):
    return Asset(
        options, {"sphere": 1}, half=np.full(3, radius), mass=options.density * 4.0 / 3.0 * math.pi * radius**3
    )


def from_urdf(options, root, name):
    path = os.path.join(root, name)
    robot = ElementTree.parse(path).getroot()
    links = {link.get("name"): link for link in robot.findall("link")}
    for mesh in robot.iter("mesh"):
        if not os.path.isfile(os.path.join(root, mesh.get("filename"))):
            raise FileNotFoundError("{} names the mesh {}".format(path, mesh.get("filename")))
    joints = robot.findall("joint")
    children = {joint.find("child").get("link") for joint in joints}
    (base,) = [each for each in links if each not in children]
    if options.collapse_fixed_joints:
        raise NotImplementedError("the double does not collapse fixed joints")
    order, moving = [], []
    _walk(base, joints, order, moving)
    bodies = {each: len(links[each].findall("collision")) for each in order}
    for link in links.values():
        inertial = link.find("inertial")
        if inertial is None or float(inertial.find("mass").get("value")) <= 0:
            raise ValueError("link {} has no mass".format(link.get("name")))
    asset = Asset(options, bodies, moving)
    asset.links, asset.parents = links, {joint.find("child").get("link"): joint for joint in joints}
    cylinder = links[base].find("collision/geometry/cylinder")
    if len(links) == 1 and cylinder is not None:
        radius = float(cylinder.get("radius"))
        asset.half = np.array([radius, radius, float(cylinder.get("length")) / 2.0])
        asset.mass = float(links[base].find("inertial/mass").get("value"))
    return asset


def _walk(link, joints, order, moving):
    """Visit links depth first, siblings in reverse alphabetical order: nobody may rely on the file's order."""
    order.append(link)
    outward = [joint for joint in joints if joint.find("parent").get("link") == link]
    for joint in sorted(outward, key=lambda each: each.get("name"), reverse=True):
        if joint.get("type") in ("revolute", "prismatic"):
            moving.append(joint)
        elif joint.get("type") != "fixed":
            raise ValueError("the double knows no joint of type {!r}".format(joint.get("type")))
        _walk(joint.find("child").get("link"), joints, order, moving)

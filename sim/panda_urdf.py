"""The Panda as URDF, written from the same constants as every other kinematics here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sim import panda

RIGID = (0.01, 0.01, 0.01)
"""Moments of inertia of an arm link per kilogram, kg m^2 / kg, as in the MuJoCo model."""


@dataclass(frozen=True)
class Box:
    """A collision box of a link: half extents and centre in the link's frame, m."""

    half: tuple[float, float, float]
    center: tuple[float, float, float]


HAND_BOX = Box((0.03, 0.1, 0.033), (0.0, 0.0, 0.033))

FINGER_TRAVEL = 0.04
"""Range of each finger from the middle, m."""


def finger_box(sign: float) -> Box:
    """Return the collision box of the finger whose joint points along `sign` times the hand's y."""
    return Box((0.009, 0.0075, 0.022), (0.0, sign * 0.0155, 0.022))


def pad_box(sign: float) -> Box:
    """Return the flat pad at the tip of that finger."""
    return Box((0.009, 0.004, 0.0095), (0.0, sign * 0.004, 0.0443))


def panda_urdf(visuals: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the URDF text; `visuals` gives the mesh files of a link ("link0" ... "hand", "left_finger").

    Joints are named joint1 ... joint7, left_finger and right_finger, links as in the MuJoCo model; pads are links of
    their own, so that their friction can be set apart.
    """
    shown = visuals or {}
    parts = [_link("link0", 3.0, (0.0, 0.0, 0.05), shown)]
    parent = "link0"
    for number, link in enumerate(panda.LINKS, start=1):
        parts.append(_link(link.name, link.mass, link.center, shown))
        parts.append(
            _joint(
                f"joint{number}",
                "revolute",
                parent,
                link.name,
                xyz=link.position,
                rpy=(link.tilt, 0.0, 0.0),
                axis=(0.0, 0.0, 1.0),
                limits=(link.low, link.high, link.torque),
            )
        )
        parent = link.name
    parts.append(_link("hand", 0.73, (0.0, 0.0, 0.03), shown, inertia=(0.0025, 0.0006, 0.0025), boxes=[HAND_BOX]))
    place = (0.0, 0.0, panda.HAND_OFFSET)
    parts.append(_joint("hand", "fixed", parent, "hand", xyz=place, rpy=(0.0, 0.0, panda.HAND_TURN)))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        parts.extend(_finger(side, sign, shown))
    return '<?xml version="1.0"?>\n<robot name="panda">\n' + "\n".join(parts) + "\n</robot>\n"


def _finger(side: str, sign: float, shown: Mapping[str, Sequence[str]]) -> Iterable[str]:
    """Yield a finger with its sliding joint, and its pad."""
    name, pad = f"{side}_finger", f"{side}_pad"
    moment = (2e-4, 2e-4, 2e-4)
    yield _link(name, 0.095, (0.0, sign * 0.012, 0.025), shown, inertia=moment, boxes=[finger_box(sign)])
    yield _joint(
        name,
        "prismatic",
        "hand",
        name,
        xyz=(0.0, 0.0, panda.FINGER_OFFSET),
        axis=(0.0, sign, 0.0),
        limits=(0.0, FINGER_TRAVEL, 25.0),
    )
    yield _link(pad, 0.005, pad_box(sign).center, {}, inertia=(1e-6, 1e-6, 1e-6), boxes=[pad_box(sign)])
    yield _joint(pad, "fixed", name, pad, xyz=(0.0, 0.0, 0.0))


def _link(
    name: str,
    mass: float,
    center: Sequence[float],
    shown: Mapping[str, Sequence[str]],
    *,
    inertia: Sequence[float] | None = None,
    boxes: Iterable[Box] = (),
) -> str:
    moments = inertia or [each * mass for each in RIGID]
    lines = [
        f'  <link name="{name}">',
        f'    <inertial><origin xyz="{_numbers(center)}"/><mass value="{mass:.9g}"/>'
        f'<inertia ixx="{moments[0]:.9g}" ixy="0" ixz="0" iyy="{moments[1]:.9g}" iyz="0" izz="{moments[2]:.9g}"/>'
        "</inertial>",
    ]
    lines += [f'    <visual><geometry><mesh filename="{file}"/></geometry></visual>' for file in shown.get(name, ())]
    for box in boxes:
        size = _numbers([2 * half for half in box.half])
        shape = f'<origin xyz="{_numbers(box.center)}"/><geometry><box size="{size}"/></geometry>'
        lines.append(f"    <collision>{shape}</collision>")
    return "\n".join([*lines, "  </link>"])


def _joint(
    name: str,
    kind: str,
    parent: str,
    child: str,
    *,
    xyz: Sequence[float],
    rpy: Sequence[float] = (0.0, 0.0, 0.0),
    axis: Sequence[float] | None = None,
    limits: Sequence[float] | None = None,
) -> str:
    lines = [
        f'  <joint name="{name if kind != "fixed" else name + "_mount"}" type="{kind}">',
        f'    <origin xyz="{_numbers(xyz)}" rpy="{_numbers(rpy)}"/>',
        f'    <parent link="{parent}"/><child link="{child}"/>',
    ]
    if axis is not None and limits is not None:
        lower, upper, effort = limits
        lines.append(f'    <axis xyz="{_numbers(axis)}"/>')
        lines.append(f'    <limit lower="{lower:.9g}" upper="{upper:.9g}" effort="{effort:.9g}" velocity="50"/>')
    return "\n".join([*lines, "  </joint>"])


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.9g}" for value in values)

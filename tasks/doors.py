"""Doors with a handle: two sizes, each with its hinge left or right, and what State tells of the one that is there.

A low cabinet has a handle that stands, which the fingers grip from above; a tall door one that lies, behind which
closed fingers hook. Lengths in m; a fixture's frame has x into the cabinet, y to its left, z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from array_api_compat import array_namespace

from sim.fixtures import Articulation, Fixture, Part, Vec, mirrored
from sim.rotations import to_matrix
from sim.state import Array, State
from tasks import parts

WOOD, METAL = (0.62, 0.47, 0.32), (0.75, 0.75, 0.78)

BEHIND = 0.04
"""So far behind the middle of a handle that lies the TCP belongs: fingers and hand are clear of handle and leaf."""

SUNK = 1.0
"""A door whose frame is farther than this below the table top is not there, m."""


def _hinge(*, left: float, most: float, mass: float) -> Articulation:
    """Return the hinge of a leaf of `mass` kg, `left` m from the middle of its frame; it opens to `most` rad."""
    return Articulation(
        "hinge",
        axis=(0.0, 0.0, -1.0),
        position=(0.0, left, 0.0),
        limits=(0.0, most),
        mass=mass,
        damping=0.1,
        resistance=0.1,
    )


LOW = Fixture(
    "door",
    parts=(
        Part("body", (0.045, 0.14, 0.065), (0.06, 0.0, 0.065), color=WOOD),
        Part("left_post", (0.012, 0.008, 0.065), (0.0, 0.134, 0.065), color=WOOD),
        Part("right_post", (0.012, 0.008, 0.065), (0.0, -0.134, 0.065), color=WOOD),
        Part("leaf", (0.008, 0.122, 0.06), (0.0, 0.0, 0.066), moves=True),
        Part("arm", (0.022, 0.006, 0.006), (-0.03, -0.075, 0.07), moves=True, color=METAL),
        Part("bar", (0.008, 0.008, 0.045), (-0.055, -0.075, 0.108), shape="cylinder", moves=True, color=METAL),
    ),
    position=(0.62, 0.0),
    color="blue",
    joint=_hinge(left=0.125, most=1.6, mass=0.6),
)

TALL = Fixture(
    "tall_door",
    parts=(
        Part("body", (0.05, 0.285, 0.29), (0.09, 0.0, 0.3), color=WOOD),
        Part("left_post", (0.03, 0.03, 0.3), (0.0, 0.255, 0.3), shape="cylinder", color=WOOD),
        Part("right_post", (0.03, 0.03, 0.3), (0.0, -0.255, 0.3), shape="cylinder", color=WOOD),
        Part("leaf", (0.02, 0.22, 0.29), (0.0, 0.0, 0.3), moves=True),
        Part("arm", (0.0525, 0.022, 0.022), (-0.0725, -0.175, 0.275), moves=True, color=METAL),
        Part("bar", (0.015, 0.075, 0.02), (-0.1, -0.1, 0.275), moves=True, color=METAL),
    ),
    position=(0.46, 0.34),
    yaw=1.65,
    color="blue",
    joint=_hinge(left=0.255, most=1.0, mass=2.5),
    present=0.0,
)


@dataclass(frozen=True)
class Door:
    """A door, and where its handle is taken."""

    fixture: Fixture
    # Where the handle is taken while the door is closed, fixture's frame.
    bar: Vec
    # What the fingers close around; 0: nothing, they hook behind it.
    thickness: float
    # The handle lies, and the fingers hook behind it.
    lies: bool

    @property
    def hinge(self) -> Vec:
        """A point of the hinge, fixture's frame."""
        assert self.fixture.joint is not None
        return self.fixture.joint.position

    @property
    def side(self) -> float:
        """1 with the hinge on the left, -1 with the hinge on the right."""
        return 1.0 if self.hinge[1] > 0 else -1.0


DOORS = (
    Door(LOW, (-0.055, -0.075, 0.125), thickness=0.016, lies=False),
    Door(replace(mirrored(LOW, "right_door"), present=0.0), (-0.055, 0.075, 0.125), thickness=0.016, lies=False),
    Door(TALL, (-0.1, -0.1, 0.275), thickness=0.0, lies=True),
    Door(mirrored(TALL, "tall_right_door"), (-0.1, 0.1, 0.275), thickness=0.0, lies=True),
)
"""Every door that an episode may have; of the first one nothing need be said for it to be there."""


@dataclass(frozen=True)
class View:
    """The doors of n worlds: of each the one that is there."""

    # Fixture's frame: origin (n, 3) and rotation (n, 3, 3), base frame.
    origin: Array
    rotation: Array
    # Angle (n,), rad, 0 closed, and on which side the hinge is (n,): 1 left, -1 right.
    angle: Array
    side: Array
    # Hinge and handle of the closed door, fixture's frame, (n, 3).
    hinge: Array
    bar: Array
    # As in Door, (n,); `lies` is 0 or 1.
    thickness: Array
    lies: Array


def view(state: State) -> View:
    """Return the doors that are there."""
    found = [door for door in DOORS if door.fixture.name in state.fixtures]
    poses = [state.fixtures[door.fixture.name] for door in found]
    there = [parts.flag(pose[:, 2] > state.table - SUNK, state.q) for pose in poses]
    pose = sum(share[:, None] * pose for share, pose in zip(there, poses, strict=True))
    angles = [state.joints[door.fixture.name] for door in found]
    return View(
        origin=pose[:, :3],
        rotation=to_matrix(pose[:, 3:]),
        angle=sum(share * angle for share, angle in zip(there, angles, strict=True)),
        side=_mixed(there, [door.side for door in found]),
        hinge=_points(there, [door.hinge for door in found]),
        bar=_points(there, [door.bar for door in found]),
        thickness=_mixed(there, [door.thickness for door in found]),
        lies=_mixed(there, [float(door.lies) for door in found]),
    )


def _mixed(there: Sequence[Array], values: Sequence[float]) -> Array:
    """Return the value (n,) of the door that is there."""
    return sum(share * value for share, value in zip(there, values, strict=True))


def _points(there: Sequence[Array], points: Sequence[Vec]) -> Array:
    """Return the point (n, 3) of the door that is there."""
    columns = [_mixed(there, [point[k] for point in points]) for k in range(3)]
    return array_namespace(columns[0]).stack(columns, axis=-1)


def turned(door: View, vector: Array) -> Array:
    """Return vectors (n, 3) of the closed door, fixture's frame, as they are with the door at its angle, base frame."""
    xp = array_namespace(vector)
    c, s = xp.cos(door.angle), -door.side * xp.sin(door.angle)
    x, y = c * vector[:, 0] - s * vector[:, 1], s * vector[:, 0] + c * vector[:, 1]
    local = xp.stack([x, y, vector[:, 2]], axis=-1)
    return xp.sum(door.rotation * local[:, None, :], axis=-1)


def at(door: View, point: Array) -> Array:
    """Return where points (n, 3) of the closed door, fixture's frame, are with the door at its angle, base frame."""
    hinge = door.origin + array_namespace(point).sum(door.rotation * door.hinge[:, None, :], axis=-1)
    return hinge + turned(door, point - door.hinge)


def inward(door: View) -> Array:
    """Return the direction (n, 3) from the handle to the leaf, base frame."""
    xp = array_namespace(door.angle)
    zero, one = xp.zeros_like(door.angle), xp.ones_like(door.angle)
    return turned(door, xp.stack([one, zero, zero], axis=-1))


def handle(state: State) -> Array:
    """Return where the handle is taken, (n, 3), base frame."""
    door = view(state)
    return at(door, door.bar)


def place(door: View) -> Array:
    """Return where the TCP belongs to take the handle, (n, 3), base frame: at one that stands, behind one that lies."""
    return at(door, door.bar) + (BEHIND * door.lies)[:, None] * inward(door)


def heading(door: View) -> Array:
    """Return the angle about z of the hand's x axis, (n,), rad, that lays its broad side along the door.

    It faces a low cabinet. A tall door at the right is taken from behind, with a smaller turn of the hand; the hand
    turns with it.
    """
    xp = array_namespace(door.angle)
    facing = parts.heading(door.rotation)
    along = xp.where(facing < -1.0, facing + xp.pi, facing) - door.side * door.angle
    return xp.where(door.lies > 0.5, along, facing)

"""What a dataset that does not say so itself means: declared once per source, in TOML."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sim.conventions import CANONICAL
from sim.errors import UserError, unknown
from sim.jobs import load_toml
from sim.rotation_forms import FORMS

SHIPPED = Path(__file__).parent / "declared"
"""Declarations of well-known datasets."""


@dataclass(frozen=True)
class DeclaredKeys:
    """The columns of a step, as features.json names them below "steps"."""

    image: str
    instruction: str
    # Columns that make up the state and the action, put side by side in this order.
    state: tuple[str, ...]
    action: tuple[str, ...]


@dataclass(frozen=True)
class DeclaredFrame:
    """The frames of the camera."""

    # Pixels.
    height: int
    width: int
    # Where the camera stands.
    camera: str
    # How a frame that is not square becomes square: its middle, or not at all.
    crop: Literal["centre", "none"] = "centre"
    # What must be turned round so that row 0 is the top and left is left.
    flip: tuple[Literal["rows", "columns"], ...] = ()
    channels: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True)
class DeclaredState:
    """The measured pose of the hand and its gripper: position (3), rotation, gripper (1)."""

    # Form of the rotation; sim/rotation_forms.py lists them.
    rotation: str
    # What the number of the gripper is when it is open, and when it is closed.
    gripper_open: float
    gripper_closed: float
    # Which numbers of the columns, in the order position, rotation, gripper; empty takes all.
    numbers: tuple[int, ...] = ()
    # Metres for 1.
    position_unit: float = 1.0


@dataclass(frozen=True)
class DeclaredAction:
    """What the action asks for: position (3), rotation, gripper (1)."""

    # "delta": a change of the hand's pose; "absolute": the pose it shall have.
    pose: Literal["delta", "absolute"]
    rotation: str
    # "absolute": how far open; "relative": open, close, or keep (half way between).
    gripper: Literal["absolute", "relative"]
    gripper_open: float
    gripper_closed: float
    # Frame of a change: the base's, or the hand's own.
    frame: Literal["base", "tool"] = "base"
    numbers: tuple[int, ...] = ()
    # Metres, and radians, for 1. The latter is for axis-angle and euler angles.
    position_unit: float = 1.0
    rotation_unit: float = 1.0
    # Whether the gripper opens and closes in this dataset: pushing may never do.
    gripper_moves: bool = True


@dataclass(frozen=True)
class Declaration:
    """Everything that must be known of a dataset to turn it into the canonical convention."""

    keys: DeclaredKeys
    frame: DeclaredFrame
    state: DeclaredState
    action: DeclaredAction
    # Steps per second.
    rate: float
    # Steps at the start of every episode that are left out.
    skip_first: int = 0
    # Where our base frame stands in the data's frame, m, and by how much it is turned about z, rad.
    base_position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_turn: float = 0.0
    # Which base and which point of the hand positions are those of; canonical unless said.
    base_frame: str = CANONICAL.base_frame
    tcp: str = CANONICAL.tcp
    # Label in reports: where the data comes from.
    label: str = "declared"

    def __post_init__(self) -> None:
        """Refuse forms and numbers that cannot be."""
        for name, form in (("state", self.state.rotation), ("action", self.action.rotation)):
            if form not in FORMS:
                raise unknown(f"rotation of the {name}", form, FORMS)
        for part, ends in (("state", self.state), ("action", self.action)):
            if ends.gripper_open == ends.gripper_closed:
                raise UserError(
                    f"[{part}] gripper_open and gripper_closed are both {ends.gripper_open:g}. Say which value means "
                    "open and which closed."
                )
            if not ends.position_unit > 0:
                raise UserError(f"[{part}] position_unit = {ends.position_unit:g}. Allowed: metres for 1, above 0.")
        if self.state.rotation == "none":
            raise UserError('[state] rotation = "none": the canonical state needs the orientation of the hand.')
        if not self.rate > 0 or self.skip_first < 0:
            raise UserError(f"rate = {self.rate:g}, skip_first = {self.skip_first}. Allowed: above 0, and 0 or more.")

    def json(self) -> dict[str, Any]:
        """Return the declaration as JSON, for digests and for the record."""
        stored: dict[str, Any] = asdict(self)
        return stored


def find_declaration(name: str) -> Declaration:
    """Return a shipped declaration by its name, or the one in the file that `name` names."""
    if name.endswith(".toml"):
        return load_toml(Path(name), Declaration)
    shipped = {path.stem: path for path in SHIPPED.glob("*.toml")}
    if name not in shipped:
        raise unknown(
            "declaration", name, shipped, hint="Or name a file that ends in .toml; docs/datagen.md shows one."
        )
    return load_toml(shipped[name], Declaration)

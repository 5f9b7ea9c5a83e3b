"""Policy servers that do not say what they mean: what the user declares of one, and the observation in its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.downscale import downscale
from sim.adapters import ROTATION_FORMS
from sim.conventions import CANONICAL, Convention
from sim.episodes import Images, Observation, PolicySpec
from sim.errors import UserError, unknown
from sim.files import digest_json
from sim.jobs import load_toml
from sim.rotation_forms import FORMS
from sim.rotations import xyzw_to_wxyz

EXAMPLE = """\
[keys]                                  # what the server calls things; "" for what it does not read
image = "observation/image"
state = "observation/state"
instruction = "prompt"
actions = "actions"

[image]
size = 224                              # pixels that it wants
camera = "third person, in front of the robot"

[state]
rotation = "axis-angle"
gripper_open = [0.04, -0.04]            # what it is told when the gripper is open, and when it is closed
gripper_closed = [0.0, 0.0]

[action]
chunk = 10                              # actions per answer, and how many of them are executed
execute = 5
rate = 20.0                             # Hz
position = "delta"
position_unit = 0.05                    # metres for 1
rotation = "delta axis-angle"
rotation_unit = 0.5                     # radians for 1
gripper_open = -1.0
gripper_closed = 1.0
base_frame = "panda base, x forward, y left, z up"
tcp = "0.1034 m along +z of the hand frame"
"""


@dataclass(frozen=True)
class Keys:
    """What the server calls things; empty for what it does not read."""

    image: str
    instruction: str
    actions: str
    wrist_image: str = ""
    state: str = ""


@dataclass(frozen=True)
class ImageDeclaration:
    """The frames that the server wants."""

    # Width and height, pixels.
    size: int
    camera: str
    # Width and height of the frames that it is made from.
    rendered: int = 256
    # Share of the width and height that is kept, from the middle.
    crop: float = 1.0
    # Left and right exchanged, as in LIBERO's turned frames.
    mirror: bool = False


@dataclass(frozen=True)
class StateDeclaration:
    """The state that the server wants: position (3, m), rotation, gripper."""

    rotation: str = "quaternion xyzw"
    # What stands for an open and for a closed gripper.
    gripper_open: tuple[float, ...] = (1.0,)
    gripper_closed: tuple[float, ...] = (0.0,)
    # Where the Panda's base stands in the server's frame, m.
    base: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ActionDeclaration:
    """What an action (7) of the server means; see docs/convention.md."""

    chunk: int
    execute: int
    rate: float
    position: str
    position_unit: float
    rotation: str
    rotation_unit: float
    gripper_open: float
    gripper_closed: float
    base_frame: str
    tcp: str


@dataclass(frozen=True)
class ServerDeclaration:
    """Everything that must be known of a server that says nothing of itself."""

    keys: Keys
    image: ImageDeclaration
    action: ActionDeclaration
    state: StateDeclaration = field(default_factory=StateDeclaration)

    def __post_init__(self) -> None:
        """Refuse forms and numbers that cannot be."""
        if self.state.rotation not in FORMS:
            raise unknown("rotation of the state", self.state.rotation, FORMS)
        if self.action.rotation not in ROTATION_FORMS:
            raise unknown("rotation of the action", self.action.rotation, ROTATION_FORMS)
        if len(self.state.gripper_open) != len(self.state.gripper_closed):
            raise UserError("[state] gripper_open and gripper_closed must have the same number of values.")
        if not 0 < self.image.crop <= 1 or not 0 < self.image.size <= self.image.rendered:
            raise UserError("[image] allows 0 < crop <= 1 and 0 < size <= rendered.")
        if not 1 <= self.action.execute <= self.action.chunk:
            raise UserError(f"[action] execute = {self.action.execute}. Allowed: 1 to chunk = {self.action.chunk}.")
        if self.action.gripper_open == self.action.gripper_closed:
            raise UserError(
                "[action] gripper_open and gripper_closed are equal. Say which value opens and which closes."
            )

    def spec(self, name: str, told: Mapping[str, Any]) -> PolicySpec:
        """Return the spec of the policy behind the server, whose own metadata `told` only names it."""
        action, image = self.action, self.image
        convention = Convention(
            base_frame=action.base_frame,
            tcp=action.tcp,
            rate=action.rate,
            position=action.position,
            position_unit=action.position_unit,
            rotation=action.rotation,
            rotation_unit=action.rotation_unit,
            gripper_open=action.gripper_open,
            gripper_closed=action.gripper_closed,
            state=CANONICAL.state,
            camera=image.camera,
            image_size=image.rendered,
        )
        read = {"image": self.keys.image, "wrist_image": self.keys.wrist_image, "state": self.keys.state}
        return PolicySpec(
            name=name,
            convention=convention,
            inputs=frozenset({key for key, value in read.items() if value} | {"instruction"}),
            chunk=action.chunk,
            execute=action.execute,
            digest=digest_json({"declared": asdict(self), "told": repr(sorted(told.items(), key=str))}),
        )


def load_declaration(path: str, *, address: str) -> ServerDeclaration:
    """Return the declaration in the TOML file at `path`; without a path the refusal shows what to write."""
    if not path:
        raise UserError(
            f"The server at {address} does not say what its observations and actions mean, so nothing can check them. "
            f"Write down what it means, for example\n\n{EXAMPLE}\nin a file, and name it: "
            f"'{address}?declare=server.toml'. docs/serve.md explains every key."
        )
    return load_toml(Path(path), ServerDeclaration)


def encode_foreign(
    declared: ServerDeclaration, observation: Observation, row: int, frames: Mapping[str, Images]
) -> dict[str, Any]:
    """Return the request of one row in the server's terms; `frames` are those of the row, by camera."""
    keys = declared.keys
    message: dict[str, Any] = {keys.instruction: observation.instructions[row]} if keys.instruction else {}
    for camera, key in (("image", keys.image), ("wrist_image", keys.wrist_image)):
        if key:
            message[key] = frame(frames[camera], declared.image)
    if keys.state:
        message[keys.state] = state(observation.state[row], declared.state)
    return message


def frame(image: Images, declared: ImageDeclaration) -> Images:
    """Return a frame (size, size, 3): cropped to its middle, reduced by area averaging, mirrored if declared."""
    side = round(image.shape[0] * declared.crop)
    start = (image.shape[0] - side) // 2
    small = downscale(image[None, start : start + side, start : start + side], declared.size)[0]
    return np.ascontiguousarray(small[:, ::-1] if declared.mirror else small)


def state(canonical: NDArray[np.float32], declared: StateDeclaration) -> NDArray[np.float32]:
    """Return the state in the server's terms of a canonical state (8,)."""
    values = np.asarray(canonical, dtype=np.float64)
    rotation = FORMS[declared.rotation].write(np.asarray(xyzw_to_wxyz(values[3:7])))
    closed, opened = np.array(declared.gripper_closed), np.array(declared.gripper_open)
    gripper = closed + values[7] * (opened - closed)
    told: NDArray[np.float64] = np.concatenate([values[:3] + np.array(declared.base), rotation, gripper])
    return told.astype(np.float32)

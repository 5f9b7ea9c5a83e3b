"""Thousands of worlds on an NVIDIA GPU: the same scene and knobs in MuJoCo Warp. It runs on the CPU too, slowly.

The state's arrays are torch tensors of 32-bit floats that stay on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sim import panda
from sim.controller import servo_targets
from sim.engine import Capabilities, Values
from sim.errors import UserError
from sim.model_values import object_motion, start_positions
from sim.panda import ARM, FINGERS
from sim.rotations import from_matrix
from sim.scene import Scene
from sim.state import Array, State
from sim.warp_device import chosen_device
from sim.warp_facts import DeviceFacts
from sim.warp_worlds import WarpWorlds

if TYPE_CHECKING:
    from sim.warp_renderer import WarpRenderer

MAX_WORLDS = 65536

BOUND = 1e10
"""A position, velocity or acceleration beyond this has diverged: MuJoCo's own limit (mjMAXVAL)."""


class Moment(NamedTuple):
    """What is kept of all worlds after a control step; a world that has diverged keeps what last was sound."""

    # Time (n,), s; generalized positions (n, nq) and velocities (n, nv).
    time: torch.Tensor
    qpos: torch.Tensor
    qvel: torch.Tensor
    # Contact force (n,), N, and deepest overlap (n,), m.
    contact: torch.Tensor
    depth: torch.Tensor


class WarpEngine:
    """n worlds of one scene on one device. `threads` means nothing here: a GPU has its own, the CPU device uses one."""

    def __init__(
        self,
        scene: Scene,
        *,
        n: int,
        threads: int | None = None,
        device: str | None = None,
        frame_size: int | None = None,
    ) -> None:
        """Build the worlds on `device`: "cuda:0", "cpu" ...; by default the first NVIDIA GPU, else the CPU.

        With a `frame_size`, pixels, the engine draws frames of its own.
        """
        if not 1 <= n <= MAX_WORLDS:
            raise UserError(f"The engine 'mujoco_warp' runs 1 to {MAX_WORLDS} worlds; got n = {n}.")
        self.n, self.scene, self.device = n, scene, chosen_device(device)
        self.capabilities = _capabilities(self.device, renders=frame_size is not None)
        self._worlds = _built(scene, n, self.device)
        self._home, self._frame_size = self._tensor(scene.home), frame_size
        self._renderer: WarpRenderer | None = None
        self._now: Moment
        self._diverged = torch.zeros(n, dtype=torch.bool, device=self.device)
        self._any_diverged = False
        self._response, nothing = self._tensor(np.ones(n)), self._tensor(np.zeros(n))
        self._facts = DeviceFacts(scene, n=n, device=self.device)
        hinged = [fixture.name for fixture in scene.fixtures if fixture.joint is not None]
        first = ARM + FINGERS + 7 * len(scene.objects)
        self._joints = {name: first + k for k, name in enumerate(hinged)}
        self._nominal = scene.nominal()
        self._parked = self._tensor(start_positions(scene, self._nominal))
        everyone = np.arange(n)
        self._keep(self._read(nothing, nothing))
        self.reset(everyone, [self._nominal] * n)
        self._worlds.prepare()
        self.reset(everyone, [self._nominal] * n)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.float32), device=self.device)

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes."""
        index = torch.as_tensor(np.asarray(ids, dtype=np.int64), device=self.device)
        self._worlds.write(ids, values)
        self._worlds.place(index, self._tensor([start_positions(self.scene, chosen) for chosen in values]))
        self._response[index] = self._tensor([chosen["robot.response"] for chosen in values])
        self._facts.write(index, values)
        self._diverged[index] = False
        self._any_diverged = self._any_diverged and bool(self._diverged.any())
        fresh = torch.zeros(self.n, dtype=torch.bool, device=self.device)
        fresh[index] = True
        nothing = torch.zeros(self.n, device=self.device)
        self._keep(self._read(nothing, nothing), taken=fresh)

    def step(self, actions: Array) -> State:
        """Execute canonical actions (n, 7), numpy or torch, for one control step."""
        wanted = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
        # Warp would clamp what is not a number to the largest force.
        sound = torch.isfinite(wanted).all(dim=1)
        wanted = torch.where((self._diverged | ~sound)[:, None], 0.0, wanted)
        q = self._now.qpos[:, :ARM]
        targets = servo_targets(q, self._kinematics, wanted, response=self._response, home=self._home)
        self._worlds.advance(targets)
        self._accept(sound)
        return self.state()

    def _accept(self, sound: torch.Tensor) -> None:
        """Take over the new states; worlds that have diverged, or were not `sound` (n,), stay where they last were."""
        worlds = self._worlds
        lost = ~(sound & worlds.within(BOUND)) & ~self._diverged
        self._diverged |= lost
        if bool(lost.any()):
            self._any_diverged = True
            ids = torch.nonzero(lost)[:, 0].cpu().numpy()
            self._worlds.write(ids, [self._nominal] * len(ids))
        now = self._read(worlds.contact_force(), worlds.depth.clone())
        if not self._any_diverged:
            self._keep(now)
            return
        self._keep(now, taken=~self._diverged)
        self._now = self._now._replace(contact=torch.where(self._diverged, 0.0, self._now.contact))
        index = torch.nonzero(self._diverged)[:, 0]
        worlds.place(index, self._parked.expand(len(index), -1))

    def _read(self, contact: torch.Tensor, depth: torch.Tensor) -> Moment:
        """Return a copy of what the worlds show now, with the given forces and depths."""
        worlds = self._worlds
        return Moment(worlds.time.clone(), worlds.qpos.clone(), worlds.qvel.clone(), contact, depth)

    def _keep(self, now: Moment, *, taken: torch.Tensor | None = None) -> None:
        """Keep `now` of the worlds `taken` (n,), bool; None takes all."""
        if taken is not None:
            pairs = zip(now, self._now, strict=True)
            now = Moment(*(torch.where(taken.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))
        self._now = now
        self._kinematics = panda.forward(now.qpos[:, :ARM])

    def state(self) -> State:
        """Return the state of all worlds: tensors on the device, which later steps do not change."""
        now = self._now
        poses, twists = object_motion(self.scene, now.qpos, now.qvel)
        return State(
            time=now.time,
            q=now.qpos[:, :ARM],
            qd=now.qvel[:, :ARM],
            tcp=torch.cat([self._kinematics.position, from_matrix(self._kinematics.rotation)], dim=1),
            opening=now.qpos[:, ARM] + now.qpos[:, ARM + 1],
            poses=poses,
            twists=twists,
            contact=now.contact,
            joints={name: now.qpos[:, place] for name, place in self._joints.items()},
            **self._facts.shown(),
            depth=now.depth,
        )

    def diverged(self) -> NDArray[np.bool_]:
        """Return which worlds (n,) could not be integrated since their reset."""
        return np.array(self._diverged.cpu().numpy()) if self._any_diverged else np.zeros(self.n, dtype=np.bool_)

    def positions(self) -> NDArray[np.float64]:
        """Return the generalized positions (n, nq), in the order of the engine 'mujoco'."""
        return np.array(self._now.qpos.cpu().numpy(), dtype=np.float64)

    def render(self, ids: NDArray[np.intp], values: Sequence[Values], *, camera: str = "image") -> NDArray[np.uint8]:
        """Return frames (k, size, size, 3), RGB, of worlds as `values` make them look, all in one go."""
        if self._frame_size is None:
            raise UserError(
                "This engine was made without cameras. Make it with frame_size, or use sim.renderer.Renderer."
            )
        if self._renderer is None:
            from sim.warp_renderer import WarpRenderer

            self._renderer = WarpRenderer(self.scene, size=self._frame_size, n=self.n, device=self.device)
        return self._renderer.render_many(self.positions()[ids], values, camera=camera)

    def close(self) -> None:
        """Give the device's memory back."""
        self._worlds.close()
        if self._renderer is not None:
            self._renderer.close()


def _capabilities(device: str, *, renders: bool) -> Capabilities:
    kind = device.split(":")[0]
    return Capabilities(
        "mujoco_warp",
        version("mujoco-warp"),
        kind,
        # On a GPU, contacts are numbered in the order in which threads arrive.
        deterministic=kind == "cpu",
        max_worlds=MAX_WORLDS,
        renders=renders,
        arrays="torch",
    )


def _built(scene: Scene, n: int, device: str) -> WarpWorlds:
    try:
        return WarpWorlds(scene, n=n, device=device)
    except (RuntimeError, MemoryError) as error:
        raise UserError(
            f"{n} worlds could not be built on the device {device!r}: {error}. If its memory is too small, ask for "
            "fewer worlds."
        ) from error

"""Isaac Gym behind the Engine protocol: a client of a worker that lives in a Python 3.8 of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import isaacgym_border as border
from sim import isaacgym_knobs as knobs
from sim.engine import Capabilities, Values
from sim.errors import UserError
from sim.isaacgym_frames import FramePlan
from sim.isaacgym_mirror import Mirror
from sim.isaacgym_process import WorkerLost, WorkerProcess
from sim.isaacgym_python import find_interpreter
from sim.isaacgym_worker import wire
from sim.model_values import start_positions
from sim.panda_urdf import panda_urdf
from sim.scene import Scene
from sim.state import State

START_TIMEOUT, CREATE_TIMEOUT, STEP_TIMEOUT = 300.0, 900.0, 60.0
"""Seconds to wait for imports (the first compiles a part of Isaac Gym), for building, and for everything else."""

DEATHS, STEPS_BETWEEN = 3, 100
"""The engine gives up when its worker has died so often with fewer steps between the deaths."""

SPACING, ROOM_SPACING = 2.5, 12.0
"""Distance between neighbouring worlds, m, without and with a room to see."""


class IsaacGymEngine:
    """n worlds of one scene in Isaac Gym.

    The first reset creates all worlds; sizes, masses, shapes and table heights are fixed from then on, and
    `fixed_values` tells them. The controller runs on this side, on the same code as for MuJoCo.
    """

    def __init__(self, scene: Scene, *, n: int, threads: int | None = None, frame_size: int | None = None) -> None:
        """Start the worker and import Isaac Gym there; `frame_size` adds cameras, `threads` has no meaning here."""
        if n < 1:
            raise UserError(f"An engine needs at least one world; got n = {n}.")
        knobs.refuse_what_cannot_be_built(scene)
        self.n, self.scene = n, scene
        self._frames = None if frame_size is None else FramePlan(scene, frame_size)
        self._interpreter = find_interpreter()
        self._nominal = scene.nominal()
        self._mirror = Mirror(scene, n)
        self._fixed: list[dict[str, Any]] | None = None
        self._deaths, self._steps_since = 0, STEPS_BETWEEN
        self._worker = self._start()

    def _start(self) -> WorkerProcess:
        """Start a worker and say hello; what is missing there is the user's to mend."""
        worker = WorkerProcess(self._interpreter, worlds=self.n, objects=len(self.scene.objects))
        try:
            told, _ = worker.call("hello", protocol=wire.PROTOCOL, timeout=START_TIMEOUT)
        except WorkerLost as error:
            raise UserError(f"{error}\nTo see what is missing there, type: demomill check-engine isaacgym") from None
        self._device = "cuda:0" if told["gpu"] else "cpu"
        self.capabilities = Capabilities(
            "isaacgym",
            f"{told['isaacgym']} (torch {told['torch']})",
            self._device.split(":")[0],
            deterministic=False,
            max_worlds=32768,
            fixed=knobs.FIXED_PATHS,
            renders=self._frames is not None,
        )
        return worker

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes; the first reset creates all worlds.

        A world whose values are not all finite has diverged from its start.
        """
        ids = np.asarray(ids, dtype=np.intp)
        for chosen in values:
            knobs.refuse_what_cannot_vary(self.scene, chosen)
        if self._fixed is None:
            wanted: list[Values] = [self._nominal] * self.n
            for world, chosen in zip(ids, values, strict=True):
                wanted[world] = chosen
            self._fixed = [knobs.fixed_values(self.scene, self._sound(chosen)) for chosen in wanted]
            self._create()
            ids, values = np.arange(self.n), wanted
        else:
            self._require_fixed(ids, [self._sound(chosen) for chosen in values])
            if not self._worker.alive:
                self._worker = self._start()
                self._create()
        self._place(ids, [self._sound(chosen) for chosen in values])
        self._mirror.diverged[ids] |= [bool(knobs.not_finite(self.scene, chosen)) for chosen in values]

    def _sound(self, values: Values) -> Values:
        """Return the values with nominal ones in place of what is not finite."""
        bad = knobs.not_finite(self.scene, values)
        return {**values, **{path: self._nominal[path] for path in bad}} if bad else values

    def _create(self) -> None:
        """Have the worlds built."""
        assert self._fixed is not None
        full: list[Values] = [self._nominal | each for each in self._fixed]
        fields, arrays = border.creation(self.scene, full)
        start = np.stack([start_positions(self.scene, each) for each in full])
        arrays["roots"] = border.roots_from_positions(start, len(self.scene.objects))
        with tempfile.TemporaryDirectory(prefix="demomill-isaacgym-") as folder:
            visuals, spacing = None, SPACING
            if self._frames is not None:
                visuals, spacing = self._frames.write_meshes(Path(folder)), ROOM_SPACING
                fields |= self._frames.fields(Path(folder), self.n)
            (Path(folder) / "panda.urdf").write_text(panda_urdf(visuals))
            fields |= {"folder": folder, "urdf": "panda.urdf", "n": self.n, "device": self._device, "spacing": spacing}
            try:
                self._worker.call("create", arrays, timeout=CREATE_TIMEOUT, **fields)
            except WorkerLost as error:
                raise UserError(f"Isaac Gym could not build {self.n} worlds. {error}") from None

    def _require_fixed(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Refuse values that these worlds cannot take any more."""
        assert self._fixed is not None
        for world, chosen in zip(ids, values, strict=True):
            for path, kept in self._fixed[world].items():
                if path in chosen and not knobs.same(chosen[path], kept):
                    raise UserError(
                        f"Isaac Gym fixes {path} when it creates a world: world {world} has {kept}, and a reset asks "
                        f"for {chosen[path]}. Take engine.fixed_values({world}) over into the draw, or make a new "
                        "engine."
                    )

    def _place(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put worlds into their starts and read them back."""
        positions = np.stack([start_positions(self.scene, chosen) for chosen in values])
        arrays = {
            "ids": np.asarray(ids, dtype=np.int32),
            "joints": border.joints_from_positions(positions),
            "roots": border.roots_from_positions(positions, len(self.scene.objects)),
            "gains": np.stack([border.servo_gains(chosen) for chosen in values]),
            "friction": np.stack([border.frictions(self.scene, chosen) for chosen in values]),
        }
        try:
            self._worker.call("reset", arrays, timeout=STEP_TIMEOUT)
        except WorkerLost as error:
            self._bury(error)
            return
        self._mirror.begin(ids, values)
        self._mirror.read(self._worker.memory, ids)

    def step(self, actions: NDArray[np.float64]) -> State:
        """Execute canonical actions (n, 7) for one control step."""
        if self._fixed is None:
            self.reset(np.arange(self.n), [self._nominal] * self.n)
        if not self._mirror.diverged.all():
            self._worker.memory["targets"][:] = self._mirror.targets(actions)
            try:
                self._worker.call("step", timeout=STEP_TIMEOUT)
            except WorkerLost as error:
                self._bury(error)
            else:
                self._steps_since += 1
                self._mirror.read_step(self._worker.memory)
        return self._mirror.state()

    def _bury(self, error: WorkerLost) -> None:
        """Report a death: all worlds have diverged until they are reset, which starts a new worker."""
        self._deaths = self._deaths + 1 if self._steps_since < STEPS_BETWEEN else 1
        self._steps_since = 0
        self._mirror.diverged[:] = True
        if self._deaths >= DEATHS:
            raise UserError(f"The Isaac Gym worker died {self._deaths} times in a row. {error}")
        print(f"{error}\nIts worlds count as errors; the next reset starts it again.", file=sys.stderr, flush=True)

    def state(self) -> State:
        """Return the state of all worlds; arrays are fresh copies."""
        return self._mirror.state()

    def diverged(self) -> NDArray[np.bool_]:
        """Return which worlds (n,) could not be integrated since their reset, or were lost with the worker."""
        return self._mirror.diverged.copy()

    def positions(self) -> NDArray[np.float64]:
        """Return the generalized positions (n, nq), as of the MuJoCo model."""
        return self._mirror.positions()

    def fixed_values(self, world: int) -> Values:
        """Return the values that `world` keeps from its creation; empty before the first reset."""
        return {} if self._fixed is None else dict(self._fixed[world])

    def render(self, ids: NDArray[np.intp], values: Sequence[Values], *, camera: str = "image") -> NDArray[np.uint8]:
        """Return frames (k, size, size, 3), RGB, of worlds as `values` make them look, through camera sensors.

        What Isaac Gym cannot draw differently per world is refused by its path.
        """
        if self._frames is None:
            raise UserError(
                "This engine was made without cameras. Make it with frame_size, or use sim.renderer.Renderer."
            )
        looks = self._frames.looks(ids, values, camera)
        if self._fixed is None:
            self.reset(np.arange(self.n), [self._nominal] * self.n)
        try:
            _, answered = self._worker.call("render", timeout=STEP_TIMEOUT, camera=camera, looks=looks)
        except WorkerLost as error:
            raise UserError(f"The frames could not be drawn. {error}") from None
        return self._frames.finished(answered["frames"], values)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

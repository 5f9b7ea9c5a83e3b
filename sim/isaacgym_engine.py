"""Isaac Gym behind the Engine protocol: a client of a worker that lives in a Python 3.8 of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
from sim.isaacgym_stock import Stock
from sim.isaacgym_worker import wire
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

    The first reset creates all worlds, each with a stock of bodies (`sim/isaacgym_stock.py`); later episodes take the
    nearest in size and mass, which `fixed_values` tells. The controller runs on this side, on the same code as for
    MuJoCo.
    """

    def __init__(self, scene: Scene, *, n: int, threads: int | None = None, frame_size: int | None = None) -> None:
        """Start the worker and import Isaac Gym there; `frame_size` adds cameras, `threads` has no meaning here."""
        if n < 1:
            raise UserError(f"An engine needs at least one world; got n = {n}.")
        self.n, self.scene = n, scene
        self._frames = None if frame_size is None else FramePlan(scene, frame_size)
        self._interpreter = find_interpreter()
        self._nominal = scene.nominal()
        self._mirror = Mirror(scene, n)
        self._samples: list[Values] = [self._nominal]
        self._stock: Stock | None = None
        self._deaths, self._steps_since = 0, STEPS_BETWEEN
        self._worker = self._start()

    def _start(self) -> WorkerProcess:
        """Start a worker and say hello; what is missing there is the user's to mend."""
        counts = {"objects": len(self.scene.objects), "hinges": len(border.hinged(self.scene))}
        worker = WorkerProcess(self._interpreter, worlds=self.n, **counts)
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
            fixed=knobs.STOCKED,
            renders=self._frames is not None,
        )
        return worker

    def stock(self, values: Sequence[Values]) -> None:
        """Tell, before the first reset, what later episodes may ask for: a sample of their values."""
        if self._stock is None:
            self._samples = [self._nominal, *(self._sound(chosen) for chosen in values)]

    def reset(self, ids: NDArray[np.intp], values: Sequence[Values]) -> None:
        """Put world `ids[k]` into the start that `values[k]` describes; the first reset creates all worlds.

        A world whose values are not all finite has diverged from its start.
        """
        ids = np.asarray(ids, dtype=np.intp)
        for chosen in values:
            knobs.refuse_what_cannot_vary(self.scene, chosen)
            knobs.refuse_other_sizes(self.scene, chosen)
        sound = {int(world): self._sound(chosen) for world, chosen in zip(ids, values, strict=True)}
        if self._stock is None:
            self._stock = stock = Stock(self.scene, self._samples, sound, n=self.n)
            self._create()
            resting = {k: {**self._nominal, **stock.settled(k, self._nominal)} for k in range(self.n)}
            self._place(np.arange(self.n), [{**resting, **sound}[k] for k in range(self.n)])
        else:
            slots = self._slots(ids, [sound[int(world)] for world in ids])
            if not self._worker.alive:
                self._worker = self._start()
                self._create()
            self._place(ids, [sound[int(world)] for world in ids], slots=slots)
        self._mirror.diverged[ids] |= [bool(knobs.not_finite(self.scene, chosen)) for chosen in values]

    def _sound(self, values: Values) -> Values:
        """Return the values with nominal ones in place of what is not finite."""
        bad = knobs.not_finite(self.scene, values)
        return {**values, **{path: self._nominal[path] for path in bad}} if bad else values

    def _slots(self, ids: NDArray[np.intp], values: Sequence[Values]) -> NDArray[np.int32]:
        """Return the columns of the stock (k, objects) whose bodies these starts need, -1 for an absent object."""
        assert self._stock is not None
        names = [item.name for item in self.scene.objects]
        rows = [
            [self._stock.column(name, int(world), chosen) for name in names]
            for world, chosen in zip(ids, values, strict=True)
        ]
        return np.array(rows, dtype=np.int32).reshape(len(ids), len(names))

    def _create(self) -> None:
        """Have the worlds built."""
        assert self._stock is not None
        fields, arrays = border.plan(self.scene), self._stock.arrays(self.scene, n=self.n)
        with tempfile.TemporaryDirectory(prefix="demomill-isaacgym-") as folder:
            visuals, spacing = None, SPACING
            if self._frames is not None:
                visuals, spacing = self._frames.write_meshes(Path(folder)), ROOM_SPACING
                fields |= self._frames.fields(Path(folder), self.n)
            (Path(folder) / "panda.urdf").write_text(panda_urdf(visuals))
            for name, text in border.urdfs(self.scene).items():
                (Path(folder) / name).write_text(text)
            fields |= {"folder": folder, "urdf": "panda.urdf", "n": self.n, "device": self._device, "spacing": spacing}
            try:
                self._worker.call("create", arrays, timeout=CREATE_TIMEOUT, **fields)
            except WorkerLost as error:
                raise UserError(f"Isaac Gym could not build {self.n} worlds. {error}") from None

    def _place(
        self, ids: NDArray[np.intp], values: Sequence[Values], *, slots: NDArray[np.int32] | None = None
    ) -> None:
        """Put worlds into their starts and read them back."""
        arrays = {
            "ids": np.asarray(ids, dtype=np.int32),
            "slots": self._slots(ids, values) if slots is None else slots,
            **border.starts(self.scene, values),
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
        if self._stock is None:
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

    def fixed_values(self, world: int, values: Values) -> Values:
        """Return the sizes and masses that `world` has for what `values` ask for; bodies from the first reset on."""
        bodies = {} if self._stock is None else self._stock.settled(world, values)
        return bodies | knobs.nominal_sizes(self.scene)

    def where(self) -> dict[str, NDArray[np.float32]]:
        """Return where the physics itself has tables, fixtures and waiting bodies, for checks: `Worlds.where`."""
        try:
            return self._worker.call("where", timeout=STEP_TIMEOUT)[1]
        except WorkerLost as error:
            raise UserError(f"The worker could not be asked. {error}") from None

    def render(self, ids: NDArray[np.intp], values: Sequence[Values], *, camera: str = "image") -> NDArray[np.uint8]:
        """Return frames (k, size, size, 3), RGB, of worlds as `values` make them look, through camera sensors.

        What Isaac Gym cannot draw differently per world is refused by its path.
        """
        if self._frames is None:
            raise UserError(
                "This engine was made without cameras. Make it with frame_size, or use sim.renderer.Renderer."
            )
        looks = self._frames.looks(ids, values, camera)
        if self._stock is None:
            self.reset(np.arange(self.n), [self._nominal] * self.n)
        try:
            _, answered = self._worker.call("render", timeout=STEP_TIMEOUT, camera=camera, looks=looks)
        except WorkerLost as error:
            raise UserError(f"The frames could not be drawn. {error}") from None
        return self._frames.finished(answered["frames"], values)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

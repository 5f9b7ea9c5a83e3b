"""What the Isaac Gym engine needs outside this interpreter, looked at before it is started; and its cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.checklist import CheckRow, Finding, row
from bench.engine_checks import below, largest
from bench.engine_scene import FURNISHED, HOLD, NOMINAL, SCENE, announce, furnish
from sim.errors import UserError
from sim.isaacgym_python import Installed, ask_interpreter, find_interpreter
from sim.mjcf import TABLE_HALF

WORKER_PYTHON = "3.8"
"""The newest Python that Isaac Gym Preview 4 has binaries for; the worker is written for it."""

NEWEST_CAPABILITY = (9, 0)
"""The newest CUDA capability that CUDA 11, which Preview 4 was built with, can compile for."""

FRAME_SIZE = 128


def preflight() -> Sequence[CheckRow]:
    """Return rows about interpreter, versions and GPU; a failed one says what to type."""
    try:
        interpreter = find_interpreter()
    except UserError as error:
        return (CheckRow("interpreter", "named and there", str(error), "fail"),)
    found = CheckRow("interpreter", "named and there", interpreter, "pass")
    try:
        installed = ask_interpreter(interpreter)
    except UserError as error:
        return (found, CheckRow("imports", "isaacgym, torch, numpy", str(error), "fail"))
    return (found, *versions(installed))


def versions(installed: Installed) -> Iterator[CheckRow]:
    """Yield rows about what the interpreter has."""
    fits = installed.python.startswith(f"{WORKER_PYTHON}.")
    yield CheckRow("Python", f"{WORKER_PYTHON}.x", installed.python, "pass" if fits else "fail")
    got = f"isaacgym {installed.isaacgym}, torch {installed.torch}, numpy {installed.numpy}"
    yield CheckRow("imports", "isaacgym, torch, numpy", got, "pass")
    if not installed.gpu:
        yield CheckRow("GPU", "an NVIDIA GPU", "torch sees none; PhysX runs on the CPU", "skip")
        return
    capability = ".".join(str(part) for part in installed.capability)
    old = installed.capability <= NEWEST_CAPABILITY
    note = "" if old else "; newer than the kernels of Preview 4 (CUDA 11)"
    yield CheckRow("GPU", "an NVIDIA GPU", f"{installed.gpu}, capability {capability}{note}", "pass" if old else "info")


def placed() -> Iterator[CheckRow]:
    """Ask the physics itself where it has tables, fixtures and waiting bodies after an episode's first step."""
    from sim import isaacgym_border as border
    from sim.isaacgym_engine import IsaacGymEngine

    engine = IsaacGymEngine(FURNISHED, n=4)
    try:
        announce(engine)
        for episode in range(2):
            values = furnish(engine, episode=episode)
            engine.step(np.tile(HOLD, (engine.n, 1)))
        where = engine.where()
    finally:
        engine.close()
    wanted = [border.starts(FURNISHED, [each]) for each in values]
    height = np.array([float(np.asarray(each["table.height"])) for each in values])
    top = where["tables"][:, 2] + TABLE_HALF[2]
    yield row("placed", below("tables", largest(top, height), 1e-4, "m"))
    for name, what in (("stands", "fixtures"), ("carriages", "fixtures with a joint")):
        asked = np.concatenate([each[name] for each in wanted])
        yield row("placed", below(what, largest(where[name][..., :7], asked[..., :7]), 1e-3, "m"))
    nearest = float(where["waiting"].min())
    yield row("placed", Finding("waiting bodies", ">= 5 m away", f"{nearest:.1f} m", nearest >= 5.0))


def camera_frame() -> Iterator[CheckRow]:
    """Draw one world with Isaac Gym's camera and compare where the cube is with our own renderer's frame."""
    from sim.isaacgym_engine import IsaacGymEngine
    from sim.renderer import Renderer

    engine = IsaacGymEngine(SCENE, n=2, frame_size=FRAME_SIZE)
    try:
        engine.reset(np.arange(2), [NOMINAL] * 2)
        frame = engine.render(np.array([1]), [NOMINAL])[0]
        wrist = engine.render(np.array([1]), [NOMINAL], camera="wrist_image")[0]
        with Renderer(SCENE, size=FRAME_SIZE) as renderer:
            ours = renderer.render(engine.positions()[1], NOMINAL)
    finally:
        engine.close()
    where, wanted = _red(frame), _red(ours)
    if where is None or wanted is None:
        yield row("camera frame", Finding("red cube", "seen", "not seen in the frame", False))
    else:
        apart = float(np.linalg.norm(where - wanted))
        yield row("camera frame", Finding("red cube", "<= 3 pixels from ours", f"{apart:.1f} pixels", apart <= 3.0))
    shape = (FRAME_SIZE, FRAME_SIZE, 3)
    yield row("camera frame", Finding("wrist", f"{shape}", f"{wrist.shape}", wrist.shape == shape))


def _red(frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Return the mean row and column of what is clearly red, or None where nothing is."""
    red, green, blue = (frame[:, :, channel].astype(np.int64) for channel in range(3))
    places = np.argwhere((red > 90) & (red > 2 * green) & (red > 2 * blue))
    return np.asarray(places.mean(axis=0)) if len(places) >= 4 else None

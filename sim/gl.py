"""Which OpenGL MuJoCo draws with: chosen once per process by a real probe, told in words when none works."""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.errors import UserError

BACKENDS = ("egl", "osmesa")
"""Headless backends, in the order they are tried."""

PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6"
"""Debian and Ubuntu packages that bring both backends in software (Mesa's llvmpipe)."""

RASTER_THREADS = "0"
"""llvmpipe's threads in one process: none beside the caller's, because frames are drawn by many processes."""

_PROBE = "import sys; sys.path.insert(0, sys.argv[1]); from sim import gl; gl.print_probe(sys.argv[2])"


def choose_backend() -> str:
    """Return the backend to draw with: what MUJOCO_GL says, or the first of `BACKENDS` that draws a frame.

    The choice is kept in the environment variable MUJOCO_GL, so that child processes do not probe again. A `UserError`
    says what to install when no backend works.
    """
    named = os.environ.get("MUJOCO_GL", "").strip().lower()
    if named in (*BACKENDS, "glfw"):
        return named
    if named in ("disable", "disabled", "off", "false", "0"):
        raise UserError(
            f"Rendering is switched off: the environment variable MUJOCO_GL is {named!r}. "
            "Type: unset MUJOCO_GL, or set it to egl or osmesa."
        )
    reasons = {}
    for backend in BACKENDS:
        answer = _probed(backend)
        if "error" not in answer:
            os.environ["MUJOCO_GL"] = backend
            return backend
        reasons[backend] = answer["error"]
    raise _no_renderer(reasons)


def make_context(width: int, height: int) -> Any:
    """Return a current off-screen OpenGL context of the chosen backend, at least width x height pixels.

    It works whatever MUJOCO_GL was when `mujoco` was imported. llvmpipe gets `RASTER_THREADS` threads unless the
    environment says otherwise.
    """
    backend = choose_backend()
    try:
        return _open(backend, width, height)
    except Exception as error:
        raise _no_renderer({backend: _reason(error)}) from error


def probe_renderer() -> dict[str, str]:
    """Return what draws here, after it has drawn a frame in a process of its own.

    Keys: "backend" ("egl" or "osmesa"), "renderer" and "version" (OpenGL's own strings).
    """
    backend = choose_backend()
    answer = _probed(backend)
    if "error" in answer:
        raise _no_renderer({backend: answer["error"]})
    return dict(answer)


def print_probe(backend: str) -> None:
    """Draw one frame with `backend` and print what drew it, or why nothing did, as JSON: the probing process's body."""
    try:
        answer = _draw_probe(backend)
    except Exception as error:
        answer = {"error": _reason(error)}
    print(json.dumps(answer), flush=True)


def _open(backend: str, width: int, height: int) -> Any:
    os.environ.setdefault("LP_NUM_THREADS", RASTER_THREADS)
    context = importlib.import_module(f"mujoco.{backend}").GLContext(width, height)
    context.make_current()
    return context


def _draw_probe(backend: str) -> dict[str, str]:
    """Draw a red sphere and return the names of what drew it."""
    import mujoco
    import numpy as np

    context = _open(backend, 32, 32)
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><light pos='0 0 3'/><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    scene, viewport, camera = mujoco.MjvScene(model, maxgeom=8), mujoco.MjrRect(0, 0, 32, 32), mujoco.MjvCamera()
    target = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, target)
    mujoco.mjv_defaultFreeCamera(model, camera)
    everything = mujoco.mjtCatBit.mjCAT_ALL
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, everything, scene)
    mujoco.mjr_render(viewport, scene, target)
    pixels = np.zeros((32, 32, 3), np.uint8)
    mujoco.mjr_readPixels(pixels, None, viewport, target)
    if not pixels[16, 16, 0] > 2 * pixels[16, 16, 1]:
        raise RuntimeError(f"the frame is wrong: its centre should be red and is {pixels[16, 16].tolist()}")
    functions: Any = importlib.import_module("OpenGL.GL")
    names = {"renderer": functions.glGetString(functions.GL_RENDERER)}
    names["version"] = functions.glGetString(functions.GL_VERSION)
    target.free()
    context.free()
    return {"backend": backend} | {key: text.decode() for key, text in names.items()}


@functools.lru_cache
def _probed(backend: str) -> dict[str, str]:
    """Return what a process of its own says about `backend`; "error" holds the reason where it cannot draw."""
    command = [sys.executable, "-c", _PROBE, str(Path(__file__).parent.parent), backend]
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "it drew no frame within 120 s"}
    lines = done.stdout.splitlines()
    if not lines:
        return {"error": f"the process that tried it ended with status {done.returncode} and said nothing"}
    answer: dict[str, str] = json.loads(lines[-1])
    return answer


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _no_renderer(reasons: dict[str, str]) -> UserError:
    told = "; ".join(f"{backend}: {reason}" for backend, reason in reasons.items())
    return UserError(
        f"MuJoCo cannot draw a frame on this machine ({told}). It needs EGL or OSMesa; neither needs a GPU or a "
        f"screen. On Debian and Ubuntu, type: sudo apt-get install -y {PACKAGES}"
    )


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from running: what it frees may make another OpenGL context current, or none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

"""Small trials, each in a process of its own: a crash in a driver is then an answer and not the end of the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_STEP = """
import numpy as np
from sim.engine import make_engine
from tasks.catalogue import load_task
engine = make_engine("mujoco", load_task("lift_cube").scene, n=2, threads=1)
nominal = engine.scene.nominal()
engine.reset(np.arange(2), [nominal, nominal])
state = engine.step(np.zeros((2, 7)))
assert np.isfinite(state.q).all(), "the state after one step is not finite"
made = engine.capabilities
engine.close()
answer = f"{made.name} {made.version}: one control step of 2 worlds"
"""

_HOST = """
from bench.hosts.registry import make_world
host = make_world("{host}", "{name}", image_size=64)
host.reset(0)
frame = host.image("image")
assert frame.std() > 5, "the frame is blank"
answer = f"{{host.engine}}: one {{frame.shape[1]}}x{{frame.shape[0]}} frame"
"""

CODE: Mapping[str, str] = {
    "mujoco": _STEP,
    "maniskill": _HOST.format(host="maniskill", name="PickCube-v1"),
    "robosuite": _HOST.format(host="robosuite", name="Lift"),
    "torch": "import torch; answer = f'torch {torch.__version__}: sum {float(torch.ones(2).sum())}'",
    "rl_games": "import importlib.metadata as m, rl_games.torch_runner; answer = f'rl-games {m.version(\"rl-games\")}'",
}
"""Name of a trial -> Python that leaves one line in `answer` or raises."""

_WRAPPER = """
import json, sys
sys.path.insert(0, {root!r})
try:
{body}
    said = {{"detail": answer}}
except BaseException as error:
    said = {{"error": f"{{type(error).__name__}}: {{' '.join(str(error).split())}}"[:400]}}
print("\\n" + json.dumps(said), flush=True)
"""


@dataclass(frozen=True)
class Trial:
    """What a trial brought: it worked or not, and one line about it."""

    ok: bool
    detail: str


def try_code(name: str, *, timeout: float) -> Trial:
    """Run the trial `name` of `CODE` in a process of its own, for at most `timeout` seconds."""
    body = "\n".join(f"    {line}" for line in CODE[name].strip().splitlines())
    return _ask([sys.executable, "-c", _WRAPPER.format(root=str(ROOT), body=body)], {}, timeout=timeout)


def try_renderer(backend: str, *, timeout: float) -> Trial:
    """Draw one frame with MuJoCo through `backend` ("egl" or "osmesa") in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sim import gl; gl.print_probe({backend!r})"
    return _ask([sys.executable, "-c", code], {"MUJOCO_GL": backend}, timeout=timeout)


def _ask(command: list[str], environment: Mapping[str, str], *, timeout: float) -> Trial:
    """Run the command and read the JSON on its last line."""
    variables = {**os.environ, **environment}
    variables.pop("PYOPENGL_PLATFORM", None)
    try:
        done = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(False, f"no answer within {timeout:.0f} s")
    lines = done.stdout.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        last = done.stderr.strip().splitlines()[-1:] or ["nothing was said"]
        return Trial(False, f"the process ended with status {done.returncode}: {last[0][:300]}")
    answer = json.loads(lines[-1])
    if "error" in answer:
        return Trial(False, answer["error"])
    return Trial(True, answer.get("detail") or f"{answer['renderer']}, OpenGL {answer['version']}")

"""How long a control step of the Isaac Gym engine takes in transfer and in the controller, without any physics.

Usage: python benchmarks/isaacgym_wire.py [--task TASK] [worlds ...]

The other side is a process of this interpreter that answers each step as the worker does: it reads the targets from the
shared memory and writes as many state arrays into it, and moves nothing. What is measured is all that the wire costs.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # Small matrices gain nothing from threads, and wait for them on a busy machine.

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sim.isaacgym_border import hinged  # noqa: E402
from sim.isaacgym_mirror import Mirror  # noqa: E402
from sim.isaacgym_worker import layout, wire  # noqa: E402
from tasks.catalogue import load_task  # noqa: E402

REPEATS = 100

ECHO = """
import socket, sys, time
sys.path.insert(0, {root!r})
import numpy as np
from sim.isaacgym_worker import layout, wire
stream, shared = socket.socket(fileno={control}), layout.attach({memory}, {worlds}, {objects}, {hinges})
state = {{name: np.zeros(shape, np.float32) for name, shape in layout.shapes({worlds}, {objects}, {hinges}).items()}}
state["q"][:] = {home}
state["roots"][..., 6] = 1.0
wire.send(stream, {{}})
while True:
    try:
        wire.receive(stream)
    except wire.Closed:
        break
    state["targets"][:] = shared["targets"]
    for name in ("q", "qd", "roots", "contact", "hinges"):
        shared[name][:] = state[name]
    wire.send(stream, {{"cpu": time.process_time()}})
"""


def measure(worlds: int, task: str) -> dict[str, list[float]]:
    """Return ms per control step, median and lowest tenth of REPEATS, of the wire and of the client's part.

    transfer_cpu is the processor time that both sides of the wire spend: on a busy machine nothing else can be trusted.
    """
    scene = load_task(task).scene
    objects, hinges = len(scene.objects), len(hinged(scene))
    memory = os.memfd_create("demomill-benchmark")
    os.ftruncate(memory, layout.size(worlds, objects, hinges))
    shared = layout.attach(memory, worlds, objects, hinges)
    ours, theirs = socket.socketpair()
    home = [*scene.home, 0.04, 0.04]
    counts = {"worlds": worlds, "objects": objects, "hinges": hinges}
    code = ECHO.format(root=str(ROOT), control=theirs.fileno(), memory=memory, home=home, **counts)
    with subprocess.Popen([sys.executable, "-c", code], pass_fds=(theirs.fileno(), memory)) as process:
        theirs.close()
        wire.receive(ours)
        mirror, actions = Mirror(scene, worlds), np.full((worlds, 7), 0.01)
        seconds: dict[str, list[float]] = {"transfer": [], "transfer_cpu": [], "controller": [], "state": []}
        other_before = float("nan")
        for _ in range(REPEATS):
            began = time.perf_counter()
            targets = mirror.targets(actions)
            seconds["controller"].append(time.perf_counter() - began)
            began, spent = time.perf_counter(), time.process_time()
            shared["targets"][:] = targets
            wire.send(ours, {"op": "step"})
            answer, _ = wire.receive(ours)
            taken = {name: shared[name].copy() for name in ("q", "qd", "roots", "contact", "hinges")}
            seconds["transfer"].append(time.perf_counter() - began)
            other, other_before = answer["cpu"] - other_before, answer["cpu"]
            seconds["transfer_cpu"].append(time.process_time() - spent + other)
            began = time.perf_counter()
            mirror.read_step(taken)
            mirror.state()
            seconds["state"].append(time.perf_counter() - began)
        ours.close()
        process.wait(10)
    return {name: np.round(1e3 * np.nanquantile(values, [0.5, 0.1]), 3).tolist() for name, values in seconds.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="lift_cube-v1")
    parser.add_argument("worlds", nargs="*", type=int, default=[64, 1024, 4096, 16384])
    options = parser.parse_args()
    for count in options.worlds:
        print(json.dumps({"task": options.task, "worlds": count, **measure(count, options.task)}))

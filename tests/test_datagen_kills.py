"""Any number of kill -9 at any stage, resumed with other numbers of workers: no byte is lost, doubled or changed."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sim.streams import generator
from tests.datagen_doubles import digests
from tests.test_datagen_generate import config, run

KILLS = 100
JOB = {"episodes": 150, "val_episodes": 10, "failures": 20, "unit_episodes": 16, "shard_episodes": 5, "image_size": 64}
SCRIPT = """
import sys
from tests.test_datagen_generate import config, run
from tests.test_datagen_kills import JOB

if __name__ == "__main__":
    print("ready", flush=True)
    run(config(sys.argv[1], workers=int(sys.argv[2]), **JOB))
"""


def start(script: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    """Start or resume the job in a process group of its own, and return it once it works."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, str(script), str(out), str(workers)]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def stage(out: Path) -> str:
    """Return how far the job in `out` is, in words."""
    if list(out.glob("*/1.0.0")):
        return "published"
    growing = next(out.glob("*/*.incomplete"), None)
    if growing is None:
        return "not begun"
    if list(growing.glob("*.tfrecord*")):
        return "naming shards"
    shards = list(growing.glob("work/shards/*.json"))
    return f"{min(len(shards) // 9, 3)} quarters written" if shards else "simulating"


@pytest.mark.slow
def test_a_hundred_kills_change_no_byte(tmp_path):
    run(config(tmp_path / "reference", **JOB))
    expected = digests(tmp_path / "reference")
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    began = time.monotonic()
    process = start(script, tmp_path / "timed", 2)
    assert process.wait(timeout=600) == 0
    # About a third of what a whole job takes: most kills hit it in the middle, and several runs get one done. As the
    # machine's speed changes, so does the span: shorter after a run that ended by itself, longer after a kill.
    span = 0.35 * (time.monotonic() - began)
    stream = generator(0, "kills")
    kills, finished, stages = 0, 0, Counter[str]()
    out = tmp_path / "run-0"
    while kills < KILLS:
        process = start(script, out, int(stream.integers(0, 4)))
        try:
            process.wait(timeout=float(stream.uniform(0.0, span)))
        except subprocess.TimeoutExpired:
            stages[stage(out)] += 1
            victims = [process.pid, *children(process.pid)]
            os.kill(victims[0] if stream.random() < 0.7 else int(stream.choice(victims)), signal.SIGKILL)
            process.wait(timeout=60)
            kills += 1
            span *= 1.05
        if process.returncode == 0:
            span *= 0.7
            assert digests(out) == expected
            finished += 1
            out = tmp_path / f"run-{finished}"
    process = start(script, out, 2)
    assert process.wait(timeout=600) == 0
    assert digests(out) == expected
    print(f"{kills} kills, {finished + 1} datasets, {time.monotonic() - began:.0f} s; {dict(stages)}")
    assert finished >= 3
    assert len(stages) >= 4

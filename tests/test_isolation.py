"""A stage in a process of its own: results, refusals, crashes."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.isolation import isolated
from sim.errors import UserError
from sim.streams import split_of
from tasks.catalogue import load_task


def test_the_result_comes_back_from_another_process():
    assert isolated(os.getpid, name="pid") != os.getpid()
    assert isolated(operator.add, 2, 3, name="sum") == 5
    assert isolated(load_task, "lift_cube", name="task") == load_task("lift_cube")


def _wait_for_ever(note):
    Path(note).write_text(str(os.getpid()))
    signal.pause()


def test_it_does_not_outlive_the_process_that_started_it(tmp_path):
    note = tmp_path / "pid"
    program = (
        f"from bench.isolation import isolated; from tests.test_isolation import _wait_for_ever as work\n"
        f"if __name__ == '__main__': isolated(work, {str(note)!r}, name='long')"
    )
    (tmp_path / "job.py").write_text(program)
    with subprocess.Popen([sys.executable, tmp_path / "job.py"], env=os.environ | {"PYTHONPATH": os.getcwd()}) as job:
        pid = int(_until(lambda: note.is_file() and note.read_text()))
        job.kill()
    _until(lambda: not _runs(pid))


def _until(holds, seconds=60.0):
    """Return the first true value of `holds()`."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def _runs(pid):
    """Return whether a process lives; one that has ended and is not yet waited for does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_refusal_is_raised_here():
    with pytest.raises(UserError, match="belongs to no split"):
        isolated(split_of, -1, name="refused")


@pytest.mark.parametrize(("number", "told"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "full memory")])
def test_a_crash_is_told_in_words(number, told):
    with pytest.raises(UserError, match=told) as caught:
        isolated(signal.raise_signal, number, name="crash")
    assert "'crash'" in str(caught.value)
    assert "run the same command again" in str(caught.value)


def test_another_exception_is_told_with_its_status(capfd):
    with pytest.raises(UserError, match="status 1"):
        isolated(operator.truediv, 1, 0, name="bug")
    assert "ZeroDivisionError" in capfd.readouterr().err

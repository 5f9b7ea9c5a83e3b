"""A stage in a process of its own: results, refusals, crashes."""

from __future__ import annotations

import operator
import os
import signal

import pytest

from bench.isolation import isolated
from sim.errors import UserError
from sim.streams import split_of
from tasks.catalogue import load_task


def test_the_result_comes_back_from_another_process():
    assert isolated(os.getpid, name="pid") != os.getpid()
    assert isolated(operator.add, 2, 3, name="sum") == 5
    assert isolated(load_task, "lift_cube", name="task") == load_task("lift_cube")


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

"""The same numbers have the same sine wherever they lie, although numpy's AVX-512 routines look at memory too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.packed import packed
from sim.panda import forward
from sim.rotations import to_euler_xyz
from tasks import parts

WORLDS = 24


def _jacobian(q: NDArray[np.float64]) -> NDArray[np.float64]:
    return forward(q).jacobian


def _differing(function: Callable[[NDArray[np.float64]], NDArray[np.float64]], shape: tuple[int, ...]) -> int:
    """Return how many of many calls on equal arrays gave other bytes; results come to lie right behind the argument."""
    values = np.random.default_rng(0).uniform(-1.0, 1.0, size=(WORLDS, *shape))
    expected, kept, differing = function(values.copy()).tobytes(), [], 0
    for _ in range(2000):
        argument, behind = np.empty(values.shape), np.empty(WORLDS)
        kept.append(argument)
        if 0 < behind.ctypes.data - argument.ctypes.data - argument.nbytes < argument.strides[0]:
            argument[:] = values
            # Its memory is the next that an array of this size is given.
            del behind
            kept.append(function(argument))
            differing += kept[-1].tobytes() != expected
        else:
            kept.append(behind)
    return differing


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (parts.heading, (3, 3)),
        (parts.bearing, (3,)),
        (to_euler_xyz, (4,)),
        (_jacobian, (7,)),
    ],
)
def test_the_same_numbers_give_the_same_bytes_wherever_they_lie(function, shape):
    assert _differing(function, shape) == 0


def test_packed_copies_a_view_with_strides_and_nothing_else():
    values = np.arange(12.0).reshape(4, 3)
    assert packed(values) is values
    column = packed(values[:, 1])
    assert column.flags.c_contiguous
    np.testing.assert_array_equal(column, [1, 4, 7, 10])
    assert packed(np.array(2.0)).shape == ()

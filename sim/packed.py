"""Arrays whose elements lie side by side, so that the same numbers have the same sine whatever lies beside them."""

from __future__ import annotations

import numpy as np

from sim.state import Array


def packed(array: Array) -> Array:
    """Return `array` with its elements side by side in memory; a tensor as it is.

    Where numpy has AVX-512, sine, cosine, atan2, exp, log and the like are computed by one of two routines whose last
    bits differ: by the slower one where the memory of argument and result may overlap. Of a view with strides numpy
    takes more memory for the argument's than it is, so that the routine depends on where the result comes to lie. Give
    it packed arguments. What has no dimension stays without one.
    """
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) and array.ndim else array

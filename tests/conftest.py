"""Settings that all tests share."""

from __future__ import annotations

import os

import hypothesis

# One thread each: the tests compare and time small things, and several of them may run at once.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

hypothesis.settings.register_profile("demomill", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("demomill")

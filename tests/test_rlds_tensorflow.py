"""What we write and what tensorflow_datasets writes hold equal contents, read by each other.

The checks run in a process of their own: TensorFlow carries an LLVM that clashes with the one of Mesa's llvmpipe, and a
process that has loaded both crashes when it opens an OpenGL context.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="tensorflow is not installed; the test extra brings it: pip install 'demomill[test]'",
)


def test_contents_are_equal_both_ways() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tensorflow_checks.py"]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "10 passed" in done.stdout

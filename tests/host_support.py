"""What the tests of the hosts share: which host cannot run here and why, and what a frame shows."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest

from bench.hosts.registry import HOSTS
from bench.hosts.vulkan import lavapipe_icd
from tasks.catalogue import TASKS, load_task

ONE = np.arange(1)

TWINS = [(twin.host, twin.host_task, name) for name in sorted(TASKS) for twin in load_task(name).twins]
"""Host, its environment and our task, for every twin of the catalogue."""


def absent(name):
    """Return why a host cannot run here, or None."""
    if importlib.util.find_spec(HOSTS[name].package) is None:
        return f"{HOSTS[name].package} is not installed"
    if name == "maniskill" and lavapipe_icd() is None and not os.environ.get("VK_ICD_FILENAMES"):
        return "no Vulkan driver (Mesa lavapipe) is installed"
    return None


def needs(name):
    """Skip the test where a host cannot run."""
    if reason := absent(name):
        pytest.skip(reason)


def mask(frame, color):
    """Return the pixels (h, w) of a frame that are clearly red, green, blue or yellow."""
    r, g, b = np.moveaxis(frame.astype(int), -1, 0)
    return {
        "red": (r > 70) & (r > 2.5 * g) & (r > 2.5 * b),
        "green": (g > 60) & (g > 1.5 * r) & (g > 1.5 * b),
        "blue": (b > 60) & (b > 1.6 * r) & (b > 1.4 * g),
        "yellow": (r > 90) & (g > 80) & (r > 2.2 * b) & (g > 2 * b) & (abs(r - g) < 70),
    }[color]

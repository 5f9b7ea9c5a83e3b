"""What is installed in this interpreter: imported in the one order that Isaac Gym allows, and told as JSON."""

from __future__ import annotations

import json
import platform
from typing import Any


def libraries() -> tuple[Any, Any, Any]:
    """Return the modules gymapi, gymtorch and torch; isaacgym must be imported before torch."""
    from isaacgym import gymapi, gymtorch  # isort: skip
    import torch  # isort: skip

    return gymapi, gymtorch, torch


def versions() -> dict[str, Any]:
    """Return versions and the name of the GPU, "" where torch sees none."""
    _, _, torch = libraries()
    import numpy

    seen = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "isaacgym": _isaacgym_version(),
        "torch": str(torch.__version__),
        "numpy": str(numpy.__version__),
        "gpu": str(torch.cuda.get_device_name(0)) if seen else "",
        "capability": list(torch.cuda.get_device_capability(0)) if seen else [],
    }


def _isaacgym_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("isaacgym")
    except metadata.PackageNotFoundError:
        import isaacgym

        return str(getattr(isaacgym, "__version__", "unknown"))


def as_json() -> str:
    """Return the versions, or why they could not be had, as one line of JSON."""
    try:
        told: dict[str, Any] = versions()
    except Exception as error:
        told = {"python": platform.python_version(), "error": f"{type(error).__name__}: {error}"}
    return json.dumps(told)

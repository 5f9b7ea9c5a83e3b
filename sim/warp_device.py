"""Which device Warp and torch work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import warp as wp

from sim.errors import UserError


def chosen_device(name: str | None) -> str:
    """Return the device `name` as Warp and torch call it; a device that is not there is refused in words."""
    wp.config.log_level = wp.LOG_WARNING
    if name is None:
        return "cuda:0" if wp.is_cuda_available() and torch.cuda.is_available() else "cpu"
    wanted = "cuda:0" if name == "cuda" else name
    present = [str(device.alias) for device in wp.get_devices()]
    if wanted not in present:
        raise UserError(
            f"The engine 'mujoco_warp' finds no device {name!r}. Here are: {', '.join(present)}. A GPU needs NVIDIA's "
            "driver; nvidia-smi tells whether it is there."
        )
    if wanted != "cpu" and not torch.cuda.is_available():
        raise UserError(
            f"Warp sees {name!r}, but this torch ({torch.__version__}) is built without CUDA. Install the CUDA build "
            "of torch, or name --device cpu."
        )
    return wanted


@contextmanager
def torch_stream(device: str) -> Iterator[Any]:
    """Let Warp launch on torch's own stream of `device`, so that each waits for what the other began; yield it.

    The CPU device has no streams: None.
    """
    with wp.ScopedDevice(device):
        if device == "cpu":
            yield None
            return
        stream: Any = wp.stream_from_torch(torch.cuda.current_stream(device))  # type: ignore[no-untyped-call]
        with wp.ScopedStream(stream):
            yield stream

"""What the engine mujoco_warp does on an NVIDIA GPU: environment steps/s, PPO time to 95 %, frames/s, kept episodes/h.

Type ``python -m benchmarks.gpu --out runs/gpu.json``; ``--only steps,frames`` runs some of the parts. Without a GPU it
says so and ends with the status 2: there are no numbers to write. An environment step is controller, physics, task
functions and the resets that are due, as a learner sees it; kernels are compiled before the clock starts. Each part's
numbers are written as soon as it is done.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import gpu_parts  # noqa: E402

Result = dict[str, Any]


def gpu() -> str | None:
    """Return the device of the first NVIDIA GPU that both Warp and torch can use, or None."""
    import torch
    import warp as wp

    wp.config.log_level = wp.LOG_WARNING
    return "cuda:0" if wp.is_cuda_available() and torch.cuda.is_available() else None


PARTS: dict[str, Callable[[str], Result]] = {
    "steps": lambda device: gpu_parts.steps(
        device, worlds=(1024, 4096, 16384), tasks=("lift_cube-v1", "stack_cube-v1"), seconds=10
    ),
    "ppo": lambda device: gpu_parts.ppo(
        device, tasks=("lift_cube-v1", "stack_cube-v1"), worlds=4096, max_steps=100_000_000, episodes=1000
    ),
    "frames": lambda device: gpu_parts.frames(
        device, worlds=(256, 1024), tasks=("lift_cube-v1", "stack_cube-v1"), seconds=10
    ),
    "demonstrations": lambda device: gpu_parts.demonstrations(
        device, tasks=("lift_cube-v1",), episodes=4096, unit=4096, workers=None
    ),
}  # fmt: skip


def about(device: str) -> Result:
    """Return what was measured on: GPU, driver's CUDA, versions, date."""
    import torch
    import warp as wp

    from policies.curves import machine

    place = wp.get_device(device)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        "device": place.name if device == "cpu" else torch.cuda.get_device_name(device),
        "memory_gb": None if device == "cpu" else torch.cuda.get_device_properties(device).total_memory / 1e9,
        "machine": machine(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("mujoco", "mujoco-warp", "numpy", "torch", "warp-lang")},
    }


def measure(
    device: str, parts: Sequence[str], out: Path | None, *, table: dict[str, Callable[[str], Result]]
) -> Result:
    """Run the parts one after the other and return their results; one that fails is told, and the rest still run."""
    result: Result = {"about": about(device)}
    for name in parts:
        try:
            result[name] = table[name](device)
        except Exception as error:
            # A long run on a rented GPU must not lose its other numbers to one part.
            result[name] = {"failed": f"{type(error).__name__}: {error}"}
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps({name: result[name]}, indent=1), flush=True)
    return result


def main() -> int:
    """Measure on the GPU that is there; without one say so and return 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    parts = options.only.split(",")
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        print(f"gpu: there is no part {unknown[0]!r}. Allowed: {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    device = gpu()
    if device is None:
        print(
            "gpu: no NVIDIA GPU that Warp and torch can both use was found on this machine, so nothing was measured "
            "and nothing was written. Run it where nvidia-smi lists a GPU and torch is a CUDA build "
            "(python -c 'import torch; print(torch.cuda.is_available())' prints True).",
            file=sys.stderr,
        )
        return 2
    result = measure(device, parts, options.out, table=PARTS)
    return 1 if any("failed" in result[name] for name in parts) else 0


if __name__ == "__main__":
    sys.exit(main())

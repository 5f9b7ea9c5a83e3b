"""benchmarks/gpu.py: each part measures on any device; without a GPU it says so and writes nothing."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import gpu, gpu_parts

pytest.importorskip("mujoco_warp", reason="the extra 'warp' is not installed")

LIFT = ("lift_cube-v1",)


def test_without_a_gpu_it_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(gpu, "gpu", lambda: None)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "gpu.json")])
    assert gpu.main() == 2
    told = capsys.readouterr()
    assert "no NVIDIA GPU" in told.err
    assert not told.out
    assert not list(tmp_path.iterdir())


def test_a_part_that_does_not_exist_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--only", "steps,frame"])
    assert gpu.main() == 2
    assert "no part 'frame'" in capsys.readouterr().err


def test_a_part_that_fails_is_told_and_the_others_are_kept(tmp_path) -> None:
    def broken(device: str) -> dict:
        raise MemoryError(f"{device} is full")

    table = {"broken": broken, "sound": lambda device: {"rate": 2.0}}
    gpu.measure("cpu", ["broken", "sound"], tmp_path / "gpu.json", table=table)
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["broken"] == {"failed": "MemoryError: cpu is full"}
    assert written["sound"] == {"rate": 2.0}
    assert written["about"]["packages"]["mujoco-warp"]


def test_environment_steps_are_counted() -> None:
    found = gpu_parts.steps("cpu", worlds=(4,), tasks=LIFT, seconds=0.2)["lift_cube-v1, 4 worlds"]
    assert found["environment_steps_per_s"] > 0
    assert found["engine_steps_per_s"] > 0
    assert found["diverged"] == 0


def test_frames_are_counted() -> None:
    (found,) = gpu_parts.frames("cpu", worlds=(2,), tasks=LIFT, seconds=0.2, size=32).values()
    assert found["frames_per_s_on_device"] > 0
    assert found["frames_per_s_new_looks_and_effects_on_host"] > 0


@pytest.mark.slow
def test_demonstrations_are_counted() -> None:
    (found,) = gpu_parts.demonstrations("cpu", tasks=LIFT, episodes=2, unit=4, workers=0).values()
    assert found["kept"] == 2
    assert found["kept_per_hour_of_simulation"] > found["kept_per_hour"] > 0


@pytest.mark.slow
def test_training_is_timed() -> None:
    (found,) = gpu_parts.ppo("cpu", tasks=LIFT, worlds=128, max_steps=128 * 160, episodes=4).values()
    assert found["seconds_to_95"] is None
    assert 0 <= found["last_success"] < 0.95
    assert found["steps"] >= 128 * 16

"""The generation's own parts with clocks in them: CPU time in physics, drawing and JPEG, told through files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datagen.render_shards as shards
from sim.renderer import Renderer
from sim.scene import Scene

TIMES = "DEMOMILL_BENCHMARK_TIMES"
"""Environment variable with the folder into which every process writes its times."""

_spent = {"rendering": 0.0, "jpeg": 0.0}


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with its CPU time in this thread added to `name`."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments, **named)
        finally:
            _spent[name] += time.thread_time() - began

    return wrapped


class TimedRenderer(Renderer):
    """The renderer with a clock; making one also puts a clock into the process's JPEG encoder."""

    def __init__(self, scene: Scene, *, size: int) -> None:
        """Prepare, and begin to count."""
        super().__init__(scene, size=size)
        self._frames = 0
        if shards.encode_jpeg.__name__ != "wrapped":
            shards.encode_jpeg = timed("jpeg", shards.encode_jpeg)

    def render(self, *arguments: Any, **named: Any) -> Any:
        """Return a frame; now and then tell what was spent."""
        frame = timed("rendering", super().render)(*arguments, **named)
        self._frames += 1
        if self._frames % 64 == 0 and TIMES in os.environ:
            path = Path(os.environ[TIMES]) / f"{os.getpid()}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_spent))
        return frame


def total_times(folder: Path) -> dict[str, float]:
    """Return what all processes spent, s."""
    told = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return {name: sum(each[name] for each in told) for name in _spent}


class TimedEnv:
    """Worlds with a clock around the physics: CPU time of all threads of the process, s."""

    def __init__(self, env: Any) -> None:
        """Wrap the engine's step."""
        self._env, self.seconds = env, 0.0
        step = env.engine.step

        def clocked(actions: Any) -> Any:
            began = time.process_time()
            try:
                return step(actions)
            finally:
                self.seconds += time.process_time() - began

        env.engine.step = clocked

    def __getattr__(self, name: str) -> Any:
        """Return what the wrapped worlds have."""
        return getattr(self._env, name)

"""A toy environment, policy and renderer for tests of the generation: arithmetic instead of physics and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.conventions import CANONICAL
from sim.engine import Values
from sim.episodes import EnvSpec, Ids, Observation, PolicySpec, Step
from sim.files import sha256
from sim.instances import Annotations
from sim.scene import Scene
from sim.streams import generator
from tasks.catalogue import load_task

TASK = load_task("lift_cube")


class ToyEnv:
    """Episodes of 4 to 9 steps; about `1 - failures` of them succeed for their last steps."""

    def __init__(self, n: int = 8, *, failures: float = 0.3, errors: float = 0.0) -> None:
        self.n, self._failures, self._errors = n, failures, errors
        self.spec = EnvSpec(TASK.id, "demomill", TASK.id, CANONICAL, horizon=9 + TASK.hold, engine="toy 1")
        self._seeds = np.zeros(n, dtype=np.int64)
        self._steps = np.zeros(n, dtype=np.intp)
        self._sum = np.zeros((n, 7))

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        self._seeds[ids], self._steps[ids], self._sum[ids] = seeds, 0, 0.0

    def _luck(self, world: int, name: str) -> float:
        return float(generator(int(self._seeds[world]), name).random())

    def observe(self, ids: Ids) -> Observation:
        state = np.concatenate([self._sum[ids], self._steps[ids, None] / 10], axis=1).astype(np.float32)
        return Observation(
            ids=ids,
            seeds=tuple(int(s) for s in self._seeds[ids]),
            steps=self._steps[ids].copy(),
            state=state,
            privileged=np.stack([self._seeds[ids] % 97, self._steps[ids]], axis=1).astype(np.float32),
            instructions=tuple(TASK.instruction(int(s), color="red")[0] for s in self._seeds[ids]),
            render=lambda camera: np.zeros((len(ids), 32, 32, 3), np.uint8),
        )

    def step(self, actions: NDArray[np.float64]) -> Step:
        self._steps += 1
        self._sum += actions
        length = np.array([4 + int(5 * self._luck(i, "length")) for i in range(self.n)])
        failing = np.array([self._luck(i, "failure") < self._failures for i in range(self.n)])
        success = (self._steps >= length) & ~failing
        broken = {i: "it broke" for i in range(self.n) if self._luck(i, "error") < self._errors}
        terms = {"near": np.ones(self.n)}
        no = np.zeros(self.n, dtype=np.bool_)
        return Step(terms, self._steps * 0.5, success, no, self._steps >= self.spec.horizon, broken)

    def draw(self, world: int) -> dict[str, Any]:
        return dict(TASK.draw(int(self._seeds[world])))

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        positions = np.repeat(self._steps[ids, None] / 10 + self._seeds[ids, None] % 7, 16, axis=1)
        pose = np.tile([0.5, 0.0, 0.02, 1.0, 0.0, 0.0, 0.0], (len(ids), 1))
        contact = self._steps[ids].astype(np.float64)
        return {"joints": positions[:, :7], "positions": positions, "contact": contact, "object/cube": pose}

    def close(self) -> None:
        pass


class ToyPolicy:
    """Actions that follow from what is observed."""

    def __init__(self, name: str = "toy") -> None:
        self.spec = PolicySpec(name, CANONICAL, frozenset({"privileged"}), digest="d" * 16)

    def reset(self, ids: Ids) -> None:
        pass

    def act(self, observation: Observation) -> NDArray[np.float64]:
        seed, step = observation.privileged.T
        actions = np.stack([np.sin(seed + step + k) * 0.04 for k in range(7)], axis=1)
        actions[:, 6] = step % 2
        return actions


class ToyRenderer:
    """Frames whose pixels follow from everything that a frame depends on."""

    def __init__(self, scene: Scene, *, size: int) -> None:
        self._size = size

    def render(
        self, positions: NDArray[np.float64], values: Values, *, camera: str = "image", noise_seed: int | None = None
    ) -> NDArray[np.uint8]:
        color = np.array(values["table.color"]) * 200
        ramp = np.linspace(0, 40, self._size)[:, None, None]
        noise = np.random.default_rng(noise_seed).integers(0, 10, (self._size, self._size, 3))
        return (color + ramp + noise + positions[0]).astype(np.uint8)


class ToyAnnotator(ToyRenderer):
    """Annotations that follow from how many were asked for."""

    _count = 0

    def project(self, points: NDArray[np.float64], *, camera: str = "image") -> NDArray[np.float64]:
        """A camera far above that sees a square of two metres."""
        return np.asarray(points)[:, :2] / 2 + 0.5

    def annotations(self) -> Annotations:
        self._count += 1
        ramp = np.arange(self._size * self._size).reshape(self._size, self._size)
        return Annotations((ramp + self._count).astype(np.uint16), (ramp // 9 % 4).astype(np.uint8))


RENDERER = "tests.datagen_doubles:ToyRenderer"
ANNOTATOR = "tests.datagen_doubles:ToyAnnotator"


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` by its relative path, what is written for watching apart."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.parent.name.endswith(".watch"))
    return {str(p.relative_to(folder)): sha256(p) for p in files}

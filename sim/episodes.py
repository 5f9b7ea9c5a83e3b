"""Episodes, and the protocols of what produces them: an environment, a policy, and the observations between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sim.conventions import Convention

Ids = NDArray[np.intp]
"""Indices of worlds, (k,)."""

Images = NDArray[np.uint8]
"""RGB frames, (k, height, width, 3), row 0 on top."""

WRIST = "wrist_image"
"""The camera on the hand, by the name of its frames in observations, datasets and requests."""

SHOWN = frozenset({"image", "state", "privileged", "instruction"})
"""What every environment shows unless it says otherwise."""


@dataclass(frozen=True)
class Observation:
    """What k worlds show a policy. Images are rendered only when asked for: they are what costs."""

    # The worlds' indices and their episodes' seeds, (k,).
    ids: Ids
    seeds: tuple[int, ...]
    # Steps since each episode began, (k,).
    steps: NDArray[np.intp]
    # Canonical proprioceptive state, (k, 8): TCP position m, quaternion xyzw, opening fraction.
    state: NDArray[np.float32]
    # The task's privileged observation for experts, (k, p).
    privileged: NDArray[np.float32]
    # One sentence per world.
    instructions: tuple[str, ...]
    # camera name -> (k, h, w, 3).
    render: Callable[[str], Images] = field(repr=False)


@dataclass(frozen=True)
class PolicySpec:
    """What a policy is, reads and returns."""

    # Name for tables.
    name: str
    # What its actions and observations mean.
    convention: Convention
    # Which parts of the observation it reads: "image", "wrist_image", "state", "privileged", "instruction".
    inputs: frozenset[str]
    # Actions returned per call, and how many of them are executed before it is asked again.
    chunk: int = 1
    execute: int = 1
    # Digest of the checkpoint; None for a policy without weights.
    digest: str | None = None
    # What the checkpoint says of how it was made, JSON; empty for a policy without one.
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    # Steps that an episode must be allowed: those of its longest demonstration; None where nothing says so.
    horizon: int | None = None


class Policy(Protocol):
    """A policy for many worlds at once."""

    @property
    def spec(self) -> PolicySpec:
        """What it is, reads and returns."""

    def reset(self, ids: Ids) -> None:
        """Forget what was remembered of these worlds: new episodes begin in them."""

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return actions (k, 7), or chunks (k, chunk, 7), one row for each world of the observation."""


@dataclass(frozen=True)
class EnvSpec:
    """What an environment is."""

    # Id of our task whose instruction and privileged observation it gives, e.g. "lift_cube-v1".
    task: str
    # "demomill", "maniskill" or "robosuite", and the environment's own id there.
    host: str
    host_task: str
    # What it expects of actions and means by observations.
    convention: Convention
    # Steps after which an episode is truncated.
    horizon: int
    # Physics engine and version.
    engine: str
    # Named conversions between canonical and the simulator's own terms, for the record.
    adapters: tuple[str, ...] = ()
    # What an observation shows: what of `PolicySpec.inputs` can be had here.
    offers: frozenset[str] = SHOWN
    # How an episode starts: "random" (drawn from its seed) or "fixed" (the same for every seed).
    placement: str = "random"


@dataclass(frozen=True)
class Step:
    """What one batched control step brought, arrays over all n worlds."""

    # The task's reward terms in [0, 1], name -> (n,), and their weighted sum (n,).
    terms: Mapping[str, NDArray[np.float64]]
    reward: NDArray[np.float64]
    # Success as the environment itself judges it, at this step, (n,).
    success: NDArray[np.bool_]
    # The episode ended by its own logic (n,); it ran out of time (n,). Never mixed.
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    # World -> why its simulation cannot be trusted. An error is never a failure of the policy.
    errors: Mapping[int, str]


class Env(Protocol):
    """n worlds of one task in one simulator."""

    n: int

    @property
    def spec(self) -> EnvSpec:
        """What it is."""

    def reset(self, ids: Ids, seeds: Sequence[int]) -> None:
        """Begin the episode of `seeds[k]` in world `ids[k]`."""

    def observe(self, ids: Ids) -> Observation:
        """Return what these worlds show."""

    def step(self, actions: NDArray[np.float64]) -> Step:
        """Execute actions (n, 7) in the environment's convention; rows of idle worlds are ignored."""

    def draw(self, world: int) -> dict[str, Any]:
        """Return what the episode in `world` drew, as JSON."""

    def snapshot(self, ids: Ids) -> dict[str, NDArray[np.float64]]:
        """Return measurements (k, ...) by name: "tcp" (position), "joints", "positions", "contact", objects."""

    def close(self) -> None:
        """Free what it holds."""


@runtime_checkable
class Resting(Protocol):
    """What an environment or an engine may offer beside its protocol: worlds that cost nothing."""

    def rest(self, ids: Ids) -> None:
        """Let these worlds stand still until their next reset; nobody looks at them."""


@dataclass(frozen=True)
class Episode:
    """One whole episode of T steps. Arrays of observations have T + 1 rows, of actions and outcomes T."""

    spec: EnvSpec
    seed: int
    draw: Mapping[str, Any]
    instruction: str
    # (T + 1, 8) canonical state.
    states: NDArray[np.float32]
    # (T, 7) the policy's clean actions, in its own terms: what a demonstration teaches.
    actions: NDArray[np.float32]
    # (T, 7) what was executed: the clean action, or a perturbed one.
    executed: NDArray[np.float32]
    # (T,) weighted reward, and its terms.
    rewards: NDArray[np.float32]
    terms: Mapping[str, NDArray[np.float32]]
    # (T,) success as the environment judged it at each step.
    success: NDArray[np.bool_]
    # Measurements of Env.snapshot, name -> (T + 1, ...).
    traces: Mapping[str, NDArray[np.float64]]
    # Steps that were rendered, and their frames by camera.
    frame_steps: tuple[int, ...] = ()
    frames: Mapping[str, Images] = field(default_factory=dict)
    terminated: bool = False
    # Why the episode cannot be judged; None for a valid one.
    error: str | None = None
    # Seconds per call of the policy, for the calls that decided this episode.
    latencies: tuple[float, ...] = ()

    @property
    def length(self) -> int:
        """Number of steps."""
        return len(self.actions)

    @property
    def succeeded(self) -> bool:
        """Success held at the end; an episode with an error has none."""
        return self.error is None and bool(len(self.success)) and bool(self.success[-1])

    @property
    def succeeded_once(self) -> bool:
        """Success at any step."""
        return self.error is None and bool(self.success.any())

"""Every way in which policies and simulators are known to misunderstand each other, planted into a good pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from policies.loading import load_policy
from sim.conventions import CANONICAL
from sim.episodes import Observation
from sim.rotations import canonical_sign, multiply, rotate, to_matrix, wxyz_to_xyzw, xyzw_to_wxyz
from tests.fault_doubles import SEEDS, STEPS, Seeing, Speaking, Spy, seeing, worlds

QUATERNION = "tcp position 3, quaternion {} 4 ({}), {}"
STATE = QUATERNION.format("xyzw", "largest component positive", "opening fraction 1")


@dataclass(frozen=True)
class Bed:
    """A pair that is about to run."""

    env: Spy
    policy: Any
    seeds: Sequence[int] = SEEDS


@dataclass(frozen=True)
class Fault:
    """One planted misunderstanding."""

    pitfall: str
    # What was planted where, in words; they stand in docs/convention.md.
    planted: str
    # "adapted": it runs and does what the good pair does. "refused": no step is taken. "flagged": the probe tells it.
    caught: Literal["adapted", "refused", "flagged"]
    # What is told, or the name of the adapter.
    told: str
    plant: Callable[[], Bed]


def expert(**changes: Any) -> Bed:
    """Return the expert, speaking another convention."""
    return Bed(Spy(), Speaking(load_policy("expert:lift_cube"), replace(CANONICAL, **changes)))


def sees(**changes: Any) -> Bed:
    """Return the policy that sees, speaking and reading another convention."""
    return Bed(Spy(), Speaking(seeing(), replace(CANONICAL, **changes)))


def means(**changes: Any) -> Bed:
    """Return the policy that sees, whose convention says something that no adapter knows."""
    policy = Seeing.__new__(Seeing)
    policy.__dict__.update(seeing().__dict__)
    policy.spec = replace(seeing().spec, convention=replace(CANONICAL, **changes))
    return Bed(Spy(), policy)


def spec(**changes: Any) -> Bed:
    """Return the policy that sees, whose spec says something else."""
    bed = means()
    bed.policy.spec = replace(bed.policy.spec, **changes)
    return bed


def lies(**how: Any) -> Bed:
    """Return the policy that sees in an environment that does or shows other things than it says."""
    return Bed(Spy(**how), seeing())


def state(function: Callable[[np.ndarray], np.ndarray]) -> Bed:
    """Return an environment whose state (k, 8) is another than it says."""

    def shows(shown: Observation) -> Observation:
        return replace(shown, state=function(shown.state.astype(np.float64)).astype(np.float32))

    return lies(shows=shows)


def frames(function: Callable[[np.ndarray], np.ndarray]) -> Bed:
    """Return an environment whose frames are others than it says."""

    def shows(shown: Observation) -> Observation:
        return replace(shown, render=lambda camera: np.ascontiguousarray(function(shown.render(camera))))

    return lies(shows=shows)


def acts(function: Callable[[np.ndarray], None]) -> Bed:
    """Return an environment that changes actions (n, 7) before it executes them."""

    def changed(actions: np.ndarray) -> np.ndarray:
        made = np.array(actions)
        function(made)
        return made

    return lies(acts=changed)


def hand_frame(values: np.ndarray) -> np.ndarray:
    """Return states that tell the hand frame, 0.1034 m short of the TCP."""
    z = np.asarray(to_matrix(xyzw_to_wxyz(values[:, 3:7])))[:, :, 2]
    return np.concatenate([values[:, :3] - 0.1034 * z, values[:, 3:]], axis=1)


def put(values: np.ndarray, part: slice, new: np.ndarray) -> np.ndarray:
    """Return a copy in which one part is another."""
    made = np.array(values)
    made[:, part] = new
    return made


def commanded() -> Bed:
    """Return an environment whose state runs ahead of the hand: what was asked for, not what was reached."""
    asked = np.zeros(3)

    def act(actions: np.ndarray) -> np.ndarray:
        asked[:] += actions[0, :3]
        return actions

    def start(seeds: Sequence[int]) -> Sequence[int]:
        asked[:] = 0
        return seeds

    def shows(shown: Observation) -> Observation:
        return replace(shown, state=shown.state + np.append(asked, np.zeros(5)).astype(np.float32))

    return lies(acts=act, seeds=start, shows=shows)


def joint_targets(actions: np.ndarray) -> None:
    """Execute changes in the hand's own frame instead of the base's."""
    tcp = worlds().snapshot(np.zeros(1, np.intp))["tcp"]
    actions[:, :3] = rotate(tcp[:, 3:], actions[:, :3])
    actions[:, 3:6] = rotate(tcp[:, 3:], actions[:, 3:6])


def dimension() -> Bed:
    """Return a policy that says it speaks 7 numbers and gives 10."""
    bed = means()
    bed.policy.act = lambda shown: np.zeros((len(shown.ids), 10))
    return bed


def chunk() -> Bed:
    """Return a policy that says it gives chunks of 8 and gives 4."""
    bed = spec(chunk=8, execute=8)
    bed.policy.act = lambda shown: np.zeros((len(shown.ids), 4, 7))
    return bed


def same_world_seeds() -> Bed:
    """Return two worlds that both run the first world's episode."""
    first = [0]

    def seeds(chosen: Sequence[int]) -> Sequence[int]:
        first[0] += 1
        return [SEEDS[0]] * len(chosen) if first[0] > 3 else chosen

    return Bed(Spy(worlds(2), seeds=seeds), load_policy("expert:lift_cube"))


def drifting() -> Bed:
    """Return an environment whose resets are not seeded."""
    count = [0]

    def seeds(chosen: Sequence[int]) -> Sequence[int]:
        count[0] += 1
        return [seed + count[0] for seed in chosen]

    return lies(seeds=seeds)


def other_frame(values: np.ndarray) -> np.ndarray:
    """Return states that tell a frame of the hand turned by 90 degrees about its z."""
    quarter = np.array([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    turned = np.asarray(wxyz_to_xyzw(multiply(xyzw_to_wxyz(values[:, 3:7]), quarter)))
    return put(values, slice(3, 7), np.asarray(canonical_sign(turned)))


HORIZON = STEPS + 1

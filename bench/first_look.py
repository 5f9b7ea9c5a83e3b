"""What an environment shows before the first step, against what it says of itself: resets only, nothing moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.checklist import Finding
from bench.picture_look import STARTS, picture_findings
from bench.wrist_look import wrist_findings
from sim.episodes import WRIST, Env, EnvSpec, Observation
from sim.errors import UserError
from sim.panda import forward
from sim.rotations import canonical_sign, conjugate, multiply, to_axis_angle, to_matrix, xyzw_to_wxyz
from sim.state_layouts import StateLayout, parse_layout
from sim.streams import split_of

POSITION_SLACK, TURN_SLACK = 0.015, 0.1
"""How far the state's TCP may lie from where our kinematics of the joints puts it, m and rad.

A missing tool offset is 0.10 m; robosuite's own Panda is 0.0065 m off.
"""

ONE = np.zeros(1, dtype=np.intp)


def require_sound(env: Env, seeds: Sequence[int], *, target: str, inputs: frozenset[str]) -> None:
    """Refuse an environment that is not what it says; called before the first step of a benchmark."""
    wrong = [f for f in look(env, seeds, target=target, inputs=inputs) if f.passed is False]
    if wrong:
        rows = "\n".join(f"  {f.what}: expected {f.expected}, got {f.got}" for f in wrong)
        raise UserError(
            f"{env.spec.host}:{env.spec.host_task} is not what it says of itself:\n{rows}\n"
            "No episode was run. Correct its adapter; docs/convention.md says what each line finds."
        )


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse a list of episode seeds in which one stands twice, or which reaches into the seeds of training."""
    twice = sorted({seed for seed in seeds if list(seeds).count(seed) > 1}) if len(set(seeds)) < len(seeds) else []
    if twice:
        raise UserError(
            f"The seed {twice[0]} stands twice among the benchmark's. Each episode needs a seed of its own."
        )
    for seed in seeds:
        if split_of(seed) != "benchmark":
            raise UserError(
                f"The seed {seed} belongs to the {split_of(seed)} split: policies may have been trained on it. "
                "Benchmark seeds come from sim.streams.episode_seed('benchmark', ...)."
            )


def look(env: Env, seeds: Sequence[int], *, target: str, inputs: frozenset[str]) -> Iterator[Finding]:
    """Yield what resets with the first of these seeds show; `inputs` are those of the policies that will run here."""
    first = shown(env, seeds[0])
    yield from _state_findings(env.spec, first, env.snapshot(ONE))
    yield from _seed_findings(env, first, seeds)
    if inputs & {"image", WRIST}:
        yield from picture_findings(env, seeds, target=target)
    if WRIST in inputs:
        yield from wrist_findings(env, seeds[:STARTS], target=target)


def shown(env: Env, seed: int, world: int = 0) -> Observation:
    """Return the first observation of the episode `seed` in `world`."""
    ids = np.array([world], dtype=np.intp)
    env.reset(ids, [seed])
    return env.observe(ids)


def _seed_findings(env: Env, first: Observation, seeds: Sequence[int]) -> Iterator[Finding]:
    """Yield whether the seed, and nothing else, decides how an episode starts."""
    if len(seeds) < 2:
        return
    other, again = shown(env, seeds[1]), shown(env, seeds[0])
    yield Finding("equal seeds", "equal starts", _alike(first, again), _alike(first, again) == "equal starts")
    if env.spec.placement == "random":
        got = _alike(first, other)
        yield Finding("other seeds", "other starts", got, got != "equal starts")
    if env.n > 1:
        got = _alike(other, shown(env, seeds[1], world=env.n - 1))
        yield Finding("a seed in another world", "equal starts", got, got == "equal starts")


def _alike(a: Observation, b: Observation) -> str:
    same = np.array_equal(a.state, b.state) and np.array_equal(a.privileged, b.privileged)
    return "equal starts" if same else "other starts"


def _state_findings(spec: EnvSpec, first: Observation, traces: dict[str, NDArray[np.float64]]) -> Iterator[Finding]:
    """Yield whether the state has the layout that the convention names, and is where the joints say."""
    layout = parse_layout(spec.convention.state)
    if layout is None:
        return
    size = first.state.shape[1]
    yield Finding("numbers of the state", f"{layout.size}", f"{size}", size == layout.size)
    if size != layout.size or not layout.rotation.startswith("quaternion"):
        return
    quaternion, opening = np.asarray(first.state[0, 3:7], dtype=np.float64), float(first.state[0, -1])
    length = float(np.linalg.norm(quaternion))
    yield Finding("length of the state's quaternion", "1", f"{length:.4f}", abs(length - 1) < 1e-3)
    if layout.sign == "largest component positive":
        positive = bool(np.allclose(quaternion, np.asarray(canonical_sign(quaternion))))
        yield Finding("sign of the state's quaternion", layout.sign, np.array2string(quaternion, precision=2), positive)
    if layout.gripper.endswith("fraction"):
        yield Finding("gripper's part of the state", "0 to 1", f"{opening:.3g}", -0.01 <= opening <= 1.01)
    if abs(length - 1) < 1e-3 and "joints" in traces:
        yield from _kinematics_findings(first, quaternion, layout, np.asarray(traces["joints"], dtype=np.float64))


def _kinematics_findings(
    first: Observation, quaternion: NDArray[np.float64], layout: StateLayout, joints: NDArray[np.float64]
) -> Iterator[Finding]:
    """Yield whether the state's pose is the TCP's: our Panda's kinematics on the joints that the host tells."""
    ours = forward(joints[:, :7])
    gap = np.asarray(first.state[0, :3] - ours.position[0], dtype=np.float64)
    far = f"{1e3 * np.linalg.norm(gap):.0f} mm off, by {np.array2string(1e3 * gap, precision=0)}"
    yield Finding(
        "TCP position in the base frame", "where the joints put it", far, float(np.linalg.norm(gap)) < POSITION_SLACK
    )
    wxyz = quaternion if layout.rotation.endswith("wxyz") else np.asarray(xyzw_to_wxyz(quaternion))
    turn = _angle(to_matrix(wxyz), np.asarray(ours.rotation[0]))
    yield Finding("TCP orientation", "as the joints turn it", f"{np.degrees(turn):.0f} degrees off", turn < TURN_SLACK)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the angle, rad, between two rotation matrices (3, 3)."""
    return float(np.arccos(np.clip((np.trace(np.asarray(a).T @ b) - 1) / 2, -1.0, 1.0)))


def turned(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation vector (..., 3), rad, base frame, from TCP poses (..., 7) to others."""
    return np.asarray(to_axis_angle(multiply(after[..., 3:], conjugate(before[..., 3:]))))

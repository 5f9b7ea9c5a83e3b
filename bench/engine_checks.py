"""The checks of the engine checklist: what an engine does, beside what the MuJoCo engine does on the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.checklist import Finding
from bench.engine_scene import HOLD, NOMINAL, SCENE, host, repeated, start, world_values
from sim.engine import Engine
from sim.rotations import conjugate, multiply, to_axis_angle

AXES = ("x", "y", "z", "about x", "about y", "about z")


@dataclass(frozen=True)
class Pair:
    """The engine under test and the reference, with equally many worlds of the same scene."""

    engine: Engine
    reference: Engine

    def start(self, *, episode: int = 0) -> None:
        """Begin the same episodes in both."""
        start(self.engine, episode=episode)
        start(self.reference, episode=episode)


def below(what: str, value: float, limit: float, unit: str) -> Finding:
    """Return the finding that a number is at most `limit`."""
    passed = bool(np.isfinite(value) and value <= limit)
    return Finding(what, f"<= {limit:g} {unit}", f"{value:.3g} {unit}", passed)


def largest(a: object, b: object) -> float:
    """Return the largest difference between two arrays."""
    return float(np.abs(host(a) - host(b)).max())


def initial_poses(pair: Pair) -> Iterator[Finding]:
    """Compare the start states; they involve no dynamics, so frames, units and joint order must agree exactly."""
    pair.start()
    ours, theirs = pair.engine.state(), pair.reference.state()
    yield below("joints", largest(ours.q, theirs.q), 1e-4, "rad")
    yield below("TCP", largest(ours.tcp[:, :3], theirs.tcp[:, :3]), 1e-4, "m")
    for item in SCENE.objects:
        name = item.name
        yield below(name, largest(ours.poses[name][:, :3], theirs.poses[name][:, :3]), 1e-4, "m")
        yield below(f"{name} half size", largest(ours.half_sizes[name], theirs.half_sizes[name]), 1e-4, "m")
    yield below("table", largest(ours.table, theirs.table), 1e-4, "m")
    yield below("gripper opening", largest(ours.opening, theirs.opening), 1e-4, "m")
    yield below("drawing positions", largest(pair.engine.positions(), pair.reference.positions()), 1e-4, "m or rad")


def quaternion_order(pair: Pair) -> Iterator[Finding]:
    """Compare the yaw of the objects with what was asked for: a swapped order would turn them about another axis."""
    values = start(pair.engine, episode=1)
    state = pair.engine.state()
    for item in SCENE.objects:
        quaternion = host(state.poses[item.name])[:, 3:]
        turn = np.array([float(np.asarray(each[f"{item.name}.yaw"])) for each in values])
        asked = np.stack([np.cos(turn / 2), 0 * turn, 0 * turn, np.sin(turn / 2)], axis=1)
        yield below(f"{item.name} wxyz", float(_angle(quaternion, asked).max()), 1e-3, "rad")
    moved = host(state.tcp)[:, 3:]
    start(pair.reference, episode=1)
    yield below("TCP wxyz", float(_angle(moved, host(pair.reference.state().tcp)[:, 3:]).max()), 1e-3, "rad")


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle between unit quaternions (n, 4), rad."""
    return np.asarray(np.linalg.norm(np.asarray(to_axis_angle(multiply(a, conjugate(b)))), axis=1))


def step_response(pair: Pair) -> Iterator[Finding]:
    """Compare how far the TCP moves along each axis of the action in five control steps."""
    for axis, name in enumerate(AXES):
        amount = 0.02 if axis < 3 else 0.08
        moved = [_moved(each, axis, amount) for each in (pair.engine, pair.reference)]
        share = moved[0][:, axis] / moved[1][:, axis]
        passed = bool(np.abs(share - 1).max() <= 0.2)
        got = f"{share.min():.2f} to {share.max():.2f}"
        yield Finding(name, "0.8 to 1.2 of MuJoCo's motion", got, passed)


def _moved(engine: Engine, axis: int, amount: float) -> NDArray[np.float64]:
    """Return the TCP's displacement (n, 6) after five steps along one axis."""
    start(engine)
    before = host(engine.state().tcp)
    action = HOLD.copy()
    action[axis] = amount
    repeated(engine, action, steps=5)
    after = host(engine.state().tcp)
    turned = np.asarray(to_axis_angle(multiply(after[:, 3:], conjugate(before[:, 3:]))))
    return np.concatenate([after[:, :3] - before[:, :3], turned], axis=1)


def joint_velocity(pair: Pair) -> Iterator[Finding]:
    """Compare joint velocities with MuJoCo's while the arm moves: order, sign and unit."""
    action = np.array([0.02, 0.01, 0.015, 0.0, 0.05, 0.0, 1.0])
    pair.start()
    rates = []
    for each in (pair.engine, pair.reference):
        repeated(each, action, steps=3)
        rates.append(host(each.state().qd))
    yield below("while moving", largest(*rates), 0.15, "rad/s")


def gripper(pair: Pair) -> Iterator[Finding]:
    """Close and open the gripper in the air."""
    pair.start()
    closed, opened = HOLD.copy(), HOLD.copy()
    closed[6] = 0.0
    repeated(pair.engine, closed, steps=15)
    yield below("closed by 0", float(host(pair.engine.state().opening).max()), 0.005, "m")
    repeated(pair.engine, opened, steps=15)
    yield below(
        "opened by 1, short of 0.08 m", float(np.abs(host(pair.engine.state().opening) - 0.08).max()), 5e-3, "m"
    )


def rest(pair: Pair) -> Iterator[Finding]:
    """Let the objects lie for a second: shapes, sizes, table and gravity."""
    start(pair.engine, episode=2)
    repeated(pair.engine, HOLD, steps=20)
    state = pair.engine.state()
    for item in SCENE.objects:
        height = host(state.poses[item.name])[:, 2] - host(state.table)
        half = host(state.half_sizes[item.name])[:, 2]
        yield below(f"{item.name} above the table", float(np.abs(height - half).max()), 1e-3, "m")


def grasp(pair: Pair) -> Iterator[Finding]:
    """Grasp the cube from above and lift it: contact, friction and the fingers' force."""
    engine = pair.engine
    values = [dict(world_values(world)) for world in range(engine.n)]
    for each in values:
        each["robot.q"] = NOMINAL["robot.q"]
    engine.reset(np.arange(engine.n), values)
    tcp = host(engine.state().tcp)
    for each, place in zip(values, tcp, strict=True):
        each["cube.position"], each["cube.yaw"] = (float(place[0]), float(place[1])), 0.0
    engine.reset(np.arange(engine.n), values)
    for step in range(30):
        engine.step(_towards_cube(engine, open_gripper=step < 20))
    state = engine.state()
    width = 2 * host(state.half_sizes["cube"])[:, 1]
    yield below("opening against the cube's width", float(np.abs(host(state.opening) - width).max()), 3e-3, "m")
    force = float(host(state.contact).min())
    yield Finding("contact force", ">= 5 N", f"{force:.1f} N", force >= 5.0)
    lift = HOLD.copy()
    lift[2], lift[6] = 0.03, 0.0
    repeated(engine, lift, steps=10)
    state = engine.state()
    clear = host(state.poses["cube"])[:, 2] - host(state.half_sizes["cube"])[:, 2] - host(state.table)
    lifted = int((clear > 0.05).sum())
    yield Finding(
        "cube lifted by 5 cm", f"{engine.n} of {engine.n} worlds", f"{lifted} of {engine.n}", lifted == engine.n
    )


def _towards_cube(engine: Engine, *, open_gripper: bool) -> NDArray[np.float64]:
    """Return actions that bring the TCP to the cube's centre."""
    state = engine.state()
    offset = host(state.poses["cube"])[:, :3] - host(state.tcp)[:, :3]
    rest_of_action = np.zeros((engine.n, 4))
    rest_of_action[:, 3] = float(open_gripper)
    return np.concatenate([np.clip(offset, -0.03, 0.03), rest_of_action], axis=1)


def neighbours(pair: Pair) -> Iterator[Finding]:
    """Reset one world in the middle of an episode."""
    engine = pair.engine
    start(engine)
    repeated(engine, HOLD, steps=3)
    before = host(engine.positions())
    engine.reset(np.array([2]), [world_values(2, episode=3)])
    after = host(engine.positions())
    others = np.delete(np.abs(after - before), 2, axis=0)
    yield below("moved by another's reset", float(others.max()), 1e-6, "m or rad")
    wrong = ", ".join(str(world) for world in np.flatnonzero(host(engine.diverged())))
    yield Finding("diverged worlds", "none", wrong or "none", not wrong)


def determinism(pair: Pair) -> Iterator[Finding]:
    """Run the same episode twice in the same worlds."""
    if not pair.engine.capabilities.deterministic:
        yield Finding("", "not claimed", "not claimed", None)
        return
    action = np.array([0.02, 0.01, -0.01, 0.02, 0.05, 0.1, 0.0])
    rows = []
    for _ in range(2):
        start(pair.engine)
        repeated(pair.engine, action, steps=10)
        rows.append(host(pair.engine.positions()).tobytes())
    yield Finding("", "the same bytes twice", "the same" if rows[0] == rows[1] else "different", rows[0] == rows[1])


CHECKS: dict[str, Callable[[Pair], Iterable[Finding]]] = {
    "initial poses": initial_poses,
    "quaternion order": quaternion_order,
    "step response": step_response,
    "joint velocity": joint_velocity,
    "gripper": gripper,
    "rest": rest,
    "grasp": grasp,
    "neighbours": neighbours,
    "determinism": determinism,
}
"""Name -> check, in the order in which they run."""

"""Task functions, controller and training environment on torch tensors: same numbers, and nothing from the host."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from sim import panda, rotations
from sim.controller import clip_action, joint_targets
from sim.engine import make_engine
from sim.soundness import faults
from sim.state import State
from sim.streams import episode_seed, generator
from tasks.catalogue import TASKS, load_task
from tasks.env import make_env
from tasks.tensor_env import TensorEnv, make_training_env

torch = pytest.importorskip("torch")


def to_torch(value: Any, device: str = "cpu") -> Any:
    """Return an array, or every array of a State, as a tensor on `device`."""
    if isinstance(value, State):
        return State(**{f.name: to_torch(getattr(value, f.name), device) for f in fields(State)})
    if isinstance(value, dict):
        return {name: to_torch(part, device) for name, part in value.items()}
    return None if value is None else torch.as_tensor(value).to(device)


class TensorMujoco:
    """The MuJoCo engine with tensors for arrays: what an engine on a device looks like, with known numbers."""

    def __init__(self, scene: Any, *, n: int) -> None:
        self._inner = make_engine("mujoco", scene, n=n, threads=1)
        self.n, self.scene = n, scene
        self.capabilities = replace(self._inner.capabilities, arrays="torch")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(self, actions: Any) -> State:
        return to_torch(self._inner.step(actions.numpy()))

    def state(self) -> State:
        return to_torch(self._inner.state())


@pytest.mark.parametrize("name", sorted(TASKS))
def test_task_functions_give_tensors_the_same_numbers(name: str) -> None:
    task = load_task(name)
    env = make_env(name, n=4, threads=1)
    env.reset(np.arange(4), [episode_seed("train", 1, i) for i in range(4)])
    state = env.engine.state()
    env.close()
    action, previous = (generator(1, word).uniform(-0.05, 0.05, (4, 7)) for word in ("action", "previous"))
    tensors = to_torch(state), torch.as_tensor(action), torch.as_tensor(previous)
    np.testing.assert_allclose(task.privileged(tensors[0]).numpy(), task.privileged(state), atol=1e-9)
    np.testing.assert_array_equal(task.success(tensors[0]).numpy(), task.success(state))
    for term, values in task.terms(state, action, previous).items():
        np.testing.assert_allclose(task.terms(*tensors)[term].numpy(), values, atol=1e-7, err_msg=term)
    for (why, ours), (_, theirs) in zip(faults(state), faults(tensors[0]), strict=True):
        np.testing.assert_array_equal(theirs.numpy(), ours, err_msg=why)


def to_single(value: Any) -> Any:
    """Return a tensor of floats, or every one of a State, in single precision."""
    if isinstance(value, State):
        return State(**{f.name: to_single(getattr(value, f.name)) for f in fields(State)})
    if isinstance(value, dict):
        return {name: to_single(part) for name, part in value.items()}
    return value.float() if value is not None and value.is_floating_point() else value


@pytest.mark.parametrize("name", sorted(TASKS))
def test_task_functions_stay_in_single_precision(name: str) -> None:
    """A GPU's states are 32-bit floats: nothing may fall to a wider type or lose more than rounding."""
    task = load_task(name)
    env = make_env(name, n=4, threads=1)
    env.reset(np.arange(4), [episode_seed("train", 1, i) for i in range(4)])
    wide = to_torch(env.engine.state())
    env.close()
    narrow, action = to_single(wide), torch.zeros((4, 7))
    assert task.privileged(narrow).dtype == torch.float32
    np.testing.assert_allclose(task.privileged(narrow).numpy(), task.privileged(wide).numpy(), atol=2e-4)
    assert task.success(narrow).dtype == torch.bool
    for term, values in task.terms(narrow, action, action).items():
        assert values.dtype == torch.float32, term
        assert values.shape == (4,), term


@pytest.mark.parametrize("name", sorted(TASKS))
def test_task_functions_make_no_array_beside_the_device(name: str) -> None:
    """Tensors of the device "meta" have no data and refuse to meet any of the host, as a GPU's would."""
    task = load_task(name)
    env = make_env(name, n=2, threads=1)
    state = to_torch(env.engine.state(), "meta")
    env.close()
    action = torch.zeros((2, 7), dtype=torch.float64, device="meta")
    assert task.privileged(state).device.type == "meta"
    assert task.success(state).device.type == "meta"
    assert all(values.device.type == "meta" for values in task.terms(state, action, action).values())
    assert all(where.device.type == "meta" for _, where in faults(state))


def test_the_controller_makes_no_array_beside_the_device() -> None:
    q = torch.zeros((2, 7), device="meta")
    kinematics = panda.forward(q)
    targets = joint_targets(
        q, kinematics, clip_action(torch.zeros((2, 7), device="meta")), torch.zeros(7, device="meta")
    )
    assert targets.device.type == rotations.from_matrix(kinematics.rotation).device.type == "meta"
    assert targets.dtype == torch.float32


def shepperd(matrix: np.ndarray) -> np.ndarray:
    """Return what from_matrix computes, written for numpy alone: its bytes must not change."""
    m = np.asarray(matrix, dtype=np.float64)
    t = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    k = np.empty((*m.shape[:-2], 4, 4))
    for i in range(4):
        k[..., i, i] = 1 + (t if i == 0 else 2 * m[..., i - 1, i - 1] - t)
    pairs = {(0, 1): (2, 1), (0, 2): (0, 2), (0, 3): (1, 0), (1, 2): (1, 0), (1, 3): (0, 2), (2, 3): (2, 1)}
    for (i, j), (a, b) in pairs.items():
        k[..., i, j] = k[..., j, i] = m[..., a, b] + (-1.0 if i == 0 else 1.0) * m[..., b, a]
    best = np.argmax(np.stack([k[..., i, i] for i in range(4)], axis=-1), axis=-1)
    row = np.take_along_axis(k, best[..., None, None], axis=-2)[..., 0, :]
    return np.asarray(rotations.canonical_sign(row / np.linalg.norm(row, axis=-1, keepdims=True)))


def test_quaternions_of_matrices_keep_their_bytes() -> None:
    drawn = generator(0, "matrices").standard_normal((500, 4))
    unit = np.vstack([drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.eye(4), -np.eye(4)])
    matrices = rotations.to_matrix(unit)
    assert rotations.from_matrix(matrices).tobytes() == shepperd(matrices).tobytes()
    found = rotations.from_matrix(torch.as_tensor(matrices)).numpy()
    np.testing.assert_allclose(found, shepperd(matrices), atol=1e-12)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_training_environment_on_a_device_is_the_one_on_the_host(name: str) -> None:
    task, n, seeds = load_task(name), 5, [episode_seed("train", 2, i) for i in range(5)]
    host = make_env(task.id, n=n, threads=1, preset="physical")
    device = TensorEnv(task, TensorMujoco(task.scene, n=n), preset="physical")
    for env in (host, device):
        env.reset(np.arange(n), seeds)
    for step in range(task.horizon):
        np.testing.assert_array_equal(device.privileged().numpy(), host.privileged())
        actions = generator(step, "actions").uniform(-0.05, 0.05, (n, 7))
        ours, theirs = host.step(actions), device.step(torch.as_tensor(actions))
        np.testing.assert_allclose(theirs.reward.numpy(), ours.reward, atol=1e-6)
        for part in ("success", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(theirs, part).numpy(), getattr(ours, part), err_msg=part)
        assert theirs.errors.keys() == ours.errors.keys()
        if step == 20:
            for env in (host, device):
                env.reset(np.array([1, 3]), [episode_seed("train", 3, i) for i in range(2)])
    host.close()
    device.close()


def test_training_reads_the_same_from_tensors_and_from_numpy() -> None:
    from policies.rl_games_adapter import TaskVecEnv

    task, n = load_task("lift_cube-v1"), 16
    host = TaskVecEnv(make_training_env(task.id, n=n, preset="physical"), seed=0)
    device = TaskVecEnv(TensorEnv(task, TensorMujoco(task.scene, n=n), preset="physical"), seed=0)
    assert torch.equal(host.reset(), device.reset())
    for step in range(70):
        actions = torch.as_tensor(generator(step, "outputs").uniform(-1, 1, (n, 7)), dtype=torch.float32)
        ours, theirs = host.step(actions), device.step(actions)
        assert torch.equal(ours[0], theirs[0])
        torch.testing.assert_close(ours[1], theirs[1])
        assert torch.equal(ours[2], theirs[2])
        assert torch.equal(ours[3]["time_outs"], theirs[3]["time_outs"])
    assert (host.tally.episodes, host.tally.successes) == (device.tally.episodes, device.tally.successes)
    host._env.close()
    device._env.close()

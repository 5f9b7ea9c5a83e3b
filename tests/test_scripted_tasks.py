"""Scripted controllers do the tasks: what a script cannot do in a scene, no learner will either."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from sim.conventions import ARM_LIMITS
from sim.engine import make_engine
from sim.state import State
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.env import TaskEnv, make_env
from tasks.scripted import SCRIPTS, load_script

WORLDS = 24


def _env(name: str, *, n: int, preset: str) -> TaskEnv:
    env = make_env(name, n=n, preset=preset)
    env.reset(np.arange(n), [episode_seed("validation", 0, i) for i in range(n)])
    return env


def test_every_task_has_a_script() -> None:
    assert set(SCRIPTS) == set(TASKS)
    assert load_script("no_task-v1") is None


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_solves_the_nominal_scene(name: str) -> None:
    env, script = _env(name, n=1, preset="none"), load_script(name)
    assert script is not None
    rewards = []
    for _ in range(env.spec.horizon):
        step = env.step(script(env.engine.state()))
        rewards.append(float(step.reward[0]))
    env.close()
    assert not step.errors
    assert step.success[0]
    assert np.mean(rewards[-5:]) > 1.5 * np.mean(rewards[:5])


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_solves_most_randomized_scenes(name: str) -> None:
    env, script = _env(name, n=WORLDS, preset="physical"), load_script(name)
    assert script is not None
    for _ in range(env.spec.horizon):
        step = env.step(script(env.engine.state()))
    env.close()
    assert np.mean(step.success) >= 0.8


@pytest.mark.parametrize("angle", [0.4, 1.57])
def test_the_script_of_stack_cube_puts_no_finger_on_a_base_that_is_near(angle: float) -> None:
    task = load_task("stack_cube-v1")
    near = {"target": (0.55, 0.0), "base": (0.55 + 0.066 * np.cos(angle), 0.066 * np.sin(angle))}
    objects = tuple(replace(item, position=near.get(item.name, item.position)) for item in task.scene.objects)
    close = replace(task, scene=replace(task.scene, objects=objects))
    env, script = TaskEnv(close, make_engine("mujoco", close.scene, n=1), preset="none"), load_script(task.id)
    assert script is not None
    env.reset(np.arange(1), [episode_seed("validation", 0, 0)])
    for _ in range(env.spec.horizon):
        step = env.step(script(env.engine.state()))
    env.close()
    assert step.success[0]


def _part(state: State, worlds: slice, put: Any) -> State:
    """Return the state of some worlds, its arrays put through `put`."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: cut(part) for name, part in value.items()}
        return None if value is None else put(value[worlds])

    return State(**{entry.name: cut(getattr(state, entry.name)) for entry in fields(State)})


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_is_a_function_of_each_world_alone_in_any_array_library(name: str) -> None:
    env, script = _env(name, n=4, preset="physical"), load_script(name)
    assert script is not None
    for _ in range(30):
        state = env.engine.state()
        actions = script(state)
        assert actions.shape == (4, 7)
        assert np.all(np.abs(actions[:, :6]) <= ARM_LIMITS)
        assert set(np.unique(actions[:, 6])) <= {0.0, 1.0}
        env.step(actions)
    alone = script(_part(state, slice(2, 3), np.copy))
    np.testing.assert_allclose(alone[0], actions[2], atol=1e-12)
    tensors = script(_part(state, slice(None), torch.as_tensor))
    np.testing.assert_allclose(tensors.numpy(), actions, atol=1e-9)
    env.close()

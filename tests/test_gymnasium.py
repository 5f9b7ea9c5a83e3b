"""The tasks as Gymnasium environments pass its own checks; the vector form gives what single ones give."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from sim.errors import UserError
from sim.gl import choose_backend
from sim.streams import split_of
from tasks.catalogue import TASKS, load_task
from tasks.gymnasium_envs import TaskGymEnv

LIFT = "demomill/lift_cube-v1"
IDS = [f"demomill/{name}" for name in sorted(TASKS)]


def can_render() -> bool:
    try:
        choose_backend()
    except UserError:
        return False
    return True


needs_renderer = pytest.mark.skipif(not can_render(), reason="no OpenGL renderer here")


@pytest.mark.parametrize("name", IDS)
def test_every_task_passes_gymnasiums_own_check(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*infinity", category=UserWarning)
        env = gymnasium.make(name)
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


@needs_renderer
@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
def test_every_task_renders_in_gymnasiums_own_check(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*infinity", category=UserWarning)
        env = gymnasium.make(name, render_mode="rgb_array", image_size=64)
        check_env(env.unwrapped)
    env.close()


@needs_renderer
def test_pixels_and_frames() -> None:
    env = gymnasium.make(LIFT, observation="pixels", render_mode="rgb_array", image_size=32)
    shown, _ = env.reset(seed=1)
    assert env.observation_space.contains(shown)
    assert shown["image"].shape == (32, 32, 3)
    assert shown["image"].std() > 5
    np.testing.assert_array_equal(env.render(), shown["image"])
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_specs_say_what_the_tasks_say(name: str) -> None:
    spec = gymnasium.spec(name)
    assert spec.max_episode_steps == load_task(name.split("/")[1]).horizon
    assert spec.kwargs == {"task": name.split("/")[1]}


def test_a_fresh_process_needs_no_import_of_its_own() -> None:
    code = f"import gymnasium; e = gymnasium.make('tasks.gymnasium_envs:{LIFT}'); print(e.reset(seed=0)[0].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(20,)"


def test_an_episode_ends_by_truncation_and_tells_its_success() -> None:
    env = gymnasium.make(LIFT, max_episode_steps=-1)
    _, info = env.reset(seed=3)
    assert "cube" in info["instruction"] or "block" in info["instruction"]
    assert split_of(info["episode_seed"]) == "train"
    ends = []
    for _ in range(load_task("lift_cube-v1").horizon):
        _, reward, terminated, truncated, info = env.step(np.array([0, 0, 0, 0, 0, 0, 1], dtype=np.float32))
        assert info["success"] is False
        assert reward == pytest.approx(
            sum(weight * info["terms"][k] for k, weight in load_task("lift_cube-v1").weights.items())
        )
        ends.append((terminated, truncated))
    assert ends == [*[(False, False)] * (len(ends) - 1), (False, True)]
    env.close()


def test_a_broken_world_terminates_and_says_why() -> None:
    env = TaskGymEnv("lift_cube-v1")
    env.reset(seed=0)
    env._worlds.env.engine._state[0, 1] = np.nan
    *_, terminated, truncated, info = env.step(np.zeros(7))
    assert terminated
    assert not truncated
    assert "diverged" in info["error"]
    env.close()


def test_seeds_choose_episodes() -> None:
    env = gymnasium.make(LIFT)
    first, second = (env.reset(seed=5)[1]["episode_seed"] for _ in range(2))
    third = env.reset()[1]["episode_seed"]
    fourth = env.reset(seed=6)[1]["episode_seed"]
    assert first == second
    assert len({first, third, fourth}) == 3
    assert env.reset(options={"episode_seed": 77})[1]["episode_seed"] == 77
    env.close()


def assert_same(one: Any, two: Any, path: str = "") -> None:
    """Compare nested infos and observations to the last bit."""
    if isinstance(one, tuple):
        for k, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{path}[{k}]")
    elif isinstance(one, dict):
        assert set(one) == set(two), path
        for name in one:
            assert_same(one[name], two[name], f"{path}/{name}")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert one.dtype == two.dtype, path
        for a, b in zip(one, two, strict=True):
            assert_same(a, b, path)
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype, path
        np.testing.assert_array_equal(one, two, err_msg=path)
    else:
        assert one == two, path


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_vector_form_gives_what_single_ones_give(mode: AutoresetMode) -> None:
    """Gymnasium's SyncVectorEnv over single worlds is the reference: observations, rewards, ends and infos."""
    steps = 5
    single = SyncVectorEnv([lambda: gymnasium.make(LIFT, max_episode_steps=steps)] * 3, autoreset_mode=mode)
    vector = gymnasium.make_vec(LIFT, num_envs=3, max_episode_steps=steps, autoreset_mode=mode)
    assert vector.metadata["autoreset_mode"] is mode
    assert vector.single_observation_space == single.single_observation_space
    assert vector.action_space == single.action_space
    assert_same(single.reset(seed=11), vector.reset(seed=11))
    single.action_space.seed(0)
    for _ in range(3 * steps):
        actions = single.action_space.sample()
        assert_same(single.step(actions), vector.step(actions))
    single.close()
    vector.close()


def test_worlds_can_be_reset_by_hand() -> None:
    vector = gymnasium.make_vec(LIFT, num_envs=3, max_episode_steps=2, autoreset_mode="Disabled")
    vector.reset(seed=0)
    hold = np.zeros((3, 7), dtype=np.float32)
    vector.step(hold)
    assert vector.step(hold)[3].all()
    with pytest.raises(UserError, match="reset_mask"):
        vector.step(hold)
    _, infos = vector.reset(options={"reset_mask": np.ones(3, dtype=np.bool_)})
    assert infos["_episode_seed"].all()
    assert not vector.step(hold)[3].any()
    vector.close()


def test_make_vec_says_how_worlds_reset_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        vector = gymnasium.make_vec(LIFT, num_envs=2)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    vector.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"observation": "pixel"}, "Did you mean 'pixels'"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"preset": "trian"}, "Did you mean 'train'"),
        ({"engine": "mujocco"}, "Did you mean 'mujoco'"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        TaskGymEnv("lift_cube-v1", **options)


def test_an_unknown_reset_option_is_refused() -> None:
    env = TaskGymEnv("lift_cube-v1")
    with pytest.raises(UserError, match="Did you mean 'episode_seed'"):
        env.reset(options={"episode_sed": 3})
    env.close()

"""Generation with the real engine and the real renderer: the same bytes whatever the workers and interruptions."""

import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from datagen.generate import GenerateConfig, generate
from datagen.progress import silent
from datagen.render_shards import RENDERER
from datagen.rlds_reader import open_dataset
from sim.errors import UserError
from sim.renderer import Renderer
from sim.state import State
from tasks.catalogue import load_task
from tasks.env import TaskEnv, make_env
from tests.datagen_doubles import digests
from tests.scripted_policy import ScriptedPolicy

TASK = load_task("lift_cube")


def rows(state: State, ids) -> State:
    """Return the state of some worlds."""
    taken = {}
    for f in fields(State):
        value = getattr(state, f.name)
        taken[f.name] = {k: np.asarray(v)[ids] for k, v in value.items()} if isinstance(value, dict) else value[ids]
    return State(**taken)


def run(out: Path, *, progress=silent, **changes):
    base = {
        "task": "lift_cube", "out": out, "episodes": 6, "val_episodes": 2, "seed": 1, "image_size": 64,
        "cameras": ("image", "wrist_image"), "shard_episodes": 3, "unit_episodes": 8, "workers": 0, "threads": 1,
        "appearance": "step", "perturb_share": 0.5, "perturb_std": 0.2,
    }  # fmt: skip
    config = GenerateConfig(**{**base, **changes})
    env: TaskEnv = make_env("lift_cube", n=config.unit_episodes, threads=config.threads)
    policy = ScriptedPolicy(lambda ids: rows(env.engine.state(), ids))
    return generate(config, policy=policy, progress=progress, worlds=lambda: env, renderer=RENDERER)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference")
    return out, run(out)


def test_demonstrations_lift_the_cube_and_frames_show_it(reference):
    dataset = open_dataset(reference[1].path)
    for episode in [*dataset.episodes("train"), *dataset.episodes("val")]:
        assert episode.metadata["success"]
        height = episode.steps["observation/state"][:, 2]
        assert height.min() < height[-1] - 0.03
        assert np.abs(episode.steps["action"][:, :3]).max() <= np.float32(0.05)
        for camera in ("observation/image", "observation/wrist_image"):
            frames = episode.images(camera)
            assert frames.shape[1:] == (64, 64, 3)
            assert frames.std(axis=(1, 2, 3)).min() > 5


def test_frames_are_those_of_the_recorded_positions(reference):
    """The first frame of a replayed episode is what the live environment shows at its start, but for the JPEG."""
    episode = next(open_dataset(reference[1].path).episodes("train"))
    seed = episode.metadata["seed"]
    env = make_env("lift_cube", n=1, threads=1, image_size=64)
    env.reset(np.array([0]), [seed])
    values = TASK.scene.nominal() | TASK.draw(seed)
    values |= {k: v for k, v in TASK.redraw_visual(seed, 0).items() if k != "cube.color"}
    with Renderer(TASK.scene, size=64) as renderer:
        frame = renderer.render(env.engine.positions()[0], values, noise_seed=seed * 1009)
    assert np.abs(frame.astype(int) - episode.images()[0]).mean() < 6
    np.testing.assert_allclose(env.observe(np.array([0])).state[0], episode.steps["observation/state"][0], atol=1e-6)
    env.close()


@pytest.mark.parametrize(("workers", "threads"), [(1, 2), (2, 1), (4, 1)])
def test_workers_and_threads_change_no_byte(reference, tmp_path, workers, threads):
    run(tmp_path, workers=workers, threads=threads)
    assert digests(tmp_path) == digests(reference[0])


SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.test_datagen_real import run

def kill_myself(progress):
    if progress.written:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    run(Path(sys.argv[1]), workers=2, progress=kill_myself)
"""


def test_kill_minus_nine_and_a_resume_change_no_byte(reference, tmp_path):
    script, data = tmp_path / "job.py", tmp_path / "data"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    child = subprocess.run([sys.executable, str(script), str(data)], env=environment, timeout=120, check=False)
    assert child.returncode == -signal.SIGKILL
    run(data, workers=1)
    assert digests(data) == digests(reference[0])


def test_a_missing_renderer_is_told_before_the_first_episode(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(UserError, match="MUJOCO_GL"):
        run(tmp_path)
    assert not list(tmp_path.iterdir())

"""MuJoCo Warp's ray tracer draws the scene that our renderer draws: same places, shapes, colours, textures."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import UserError
from sim.model_values import start_positions
from sim.renderer import Renderer
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tasks.env import TaskEnv

pytest.importorskip("mujoco_warp", reason="the extra 'warp' is not installed")

TASK = load_task("place_in_bin-v1")
NOMINAL = TASK.scene.nominal()
SIZE = 96


@pytest.fixture(scope="module")
def ours():
    with Renderer(TASK.scene, size=SIZE) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def theirs():
    from sim.warp_renderer import WarpRenderer

    renderer = WarpRenderer(TASK.scene, size=SIZE, n=3, device="cpu")
    yield renderer
    renderer.close()


def looks(count: int) -> list[dict]:
    """Return looks of training episodes without sensor noise."""
    drawn = [TASK.draw(episode_seed("validation", 0, i), preset="train") for i in range(count)]
    return [NOMINAL | each | {"image.noise": 0.0, "image.blur": 0.0} for each in drawn]


def starts(values: list[dict]) -> np.ndarray:
    return np.stack([start_positions(TASK.scene, each) for each in values])


def reds(frame: np.ndarray) -> np.ndarray:
    """Return the middle (y, x) of what is red."""
    red = (frame[..., 0] > 80) & (frame[..., 1] < 60) & (frame[..., 2] < 60)
    assert red.sum() > 5
    return np.argwhere(red).mean(axis=0)


@pytest.mark.parametrize("camera", ["image", "wrist_image"])
def test_frames_are_near_those_of_our_renderer(ours, theirs, camera) -> None:
    """Shading differs, edges and colours do not: brightness aside, the frames go together."""
    values = [each | {"table.texture": "plain", "floor.texture": "plain"} for each in looks(3)]
    found = theirs.render_many(starts(values), values, camera=camera).astype(float)
    wanted = ours.render_many(starts(values), values, camera=camera).astype(float)
    assert found.shape == (3, SIZE, SIZE, 3)
    for one, other in zip(found, wanted, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85
        assert 0.7 < one.mean() / other.mean() < 1.4


@pytest.mark.parametrize("shape", ["box", "cylinder", "sphere"])
def test_the_target_is_where_and_what_the_values_say(ours, theirs, shape) -> None:
    values = [NOMINAL | {"target.shape": shape, "target.half_size": (0.03, 0.03, 0.03), "camera.roll": 0.02}]
    found, wanted = (each.render_many(starts(values), values)[0] for each in (theirs, ours))
    np.testing.assert_allclose(reds(found), reds(wanted), atol=1.0)
    gone = [values[0] | {"target.present": 0.0}]
    frame = theirs.render_many(starts(gone), gone)[0].astype(int)
    assert ((frame[..., 0] > 80) & (frame[..., 1] < 60) & (frame[..., 2] < 60)).sum() == 0


def test_a_frame_does_not_depend_on_its_neighbours(theirs) -> None:
    values = looks(3)
    together = theirs.render_many(starts(values), values)
    alone = theirs.render(starts(values)[2], values[2])
    np.testing.assert_array_equal(alone, together[2])


def test_light_shadow_and_texture_change_the_frame(theirs) -> None:
    plain = NOMINAL | {"light.direction": (-0.6, 0.0, -1.0)}
    values = [
        plain,
        plain | {"light.shadows": 1.0},
        plain | {"table.texture": "checker", "light.diffuse": (0.2, 0.7, 0.7)},
    ]
    frames = theirs.render_many(starts(values), values).astype(float)
    assert frames[1].mean() < frames[0].mean() - 0.2
    assert frames[2, ..., 0].mean() < frames[0, ..., 0].mean() - 5
    assert np.abs(frames[2, ..., 1] - frames[0, ..., 1]).mean() > 3


def test_an_engine_made_with_cameras_draws_the_frames_of_its_worlds() -> None:
    from sim.host_engine import on_host
    from sim.warp_engine import WarpEngine

    task = load_task("lift_cube-v1")
    env = TaskEnv(task, on_host(WarpEngine(task.scene, n=2, device="cpu", frame_size=32)))
    env.reset(np.arange(2), [episode_seed("validation", 0, i) for i in range(2)])
    frames = env.observe(np.array([1])).render("image")
    env.close()
    assert frames.shape == (1, 32, 32, 3)
    assert frames.std() > 10


def test_what_cannot_be_drawn_is_refused(theirs) -> None:
    with pytest.raises(UserError, match="made for 1 to 3 worlds"):
        theirs.dress([NOMINAL] * 4)
    with pytest.raises(UserError, match="camera"):
        theirs.render(starts([NOMINAL])[0], NOMINAL, camera="side")
    with pytest.raises(UserError, match="1 light and no more"):
        theirs.dress([NOMINAL | {"light.count": 2.0}])

"""Frames: geometry, parameters, refusals and equal bytes."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.errors import UserError
from sim.looks import look_at
from sim.renderer import Renderer
from sim.scene import Camera, Object, Scene, Value

SCENE = Scene(
    objects=(
        Object("cube", "box", half_size=(0.02, 0.02, 0.02), position=(0.6, 0.15), mass=0.1, color="blue"),
        Object("ball", "sphere", half_size=(0.025, 0.025, 0.025), position=(0.6, -0.1), mass=0.1, color=(0, 1, 0)),
    ),
    cameras=(
        ("near", Camera(position=(1.06, 0.0, 0.55), target=(0.5085, 0.0, 0.0), fovy=45.0)),
        ("high", Camera(position=(0.915, 0.0, 0.6), target=(0.515, 0.0, 0.1), fovy=53.13)),
    ),
)
BALL = np.array([0.62, -0.12, 0.03])
CUBE = np.array([0.6, 0.15, -0.03])
POSITIONS = np.array([*SCENE.home, 0.04, 0.04, *CUBE, 1, 0, 0, 0, *BALL, 1, 0, 0, 0])
CHANGES: dict[str, Value] = {
    "table.height": -0.1,
    "table.color": (0.9, 0.9, 0.1),
    "table.texture": "wood",
    "table.extent": (0.35, 0.3),
    "floor.color": (0.9, 0.1, 0.1),
    "floor.texture": "tiles",
    "background.color": (0.1, 0.9, 0.1),
    "background.distance": 0.8,
    "mount.color": (0.9, 0.1, 0.9),
    "robot.color": (0.6, 0.7, 0.8),
    "light.direction": (0.6, -0.5, -1.0),
    "light.diffuse": (0.2, 0.3, 0.4),
    "light.ambient": (0.1, 0.1, 0.1),
    "light.shadows": 1.0,
    "light.count": 3.0,
    "light.direction2": (-0.6, 0.5, -1.0),
    "light.diffuse2": (0.5, 0.1, 0.1),
    "light.direction3": (-0.5, -0.6, -1.0),
    "light.diffuse3": (0.1, 0.1, 0.5),
    "camera.view": "high",
    "camera.offset": (0.02, 0.0, 0.0),
    "camera.target_offset": (0.0, 0.02, 0.0),
    "camera.roll": 0.05,
    "camera.fovy": 1.05,
    "image.exposure": 1.3,
    "image.noise": 6.0,
    "image.blur": 1.0,
    "image.jpeg": 30.0,
    "cube.color": "yellow",
    "cube.shade": (1.0, 1.0, 0.3),
    "cube.half_size": (0.03, 0.03, 0.03),
}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    """Return a renderer of the scene, or skip where nothing can draw."""
    try:
        made = Renderer(SCENE)
    except UserError as error:
        pytest.skip(str(error))
    with made:
        yield made


def green(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels are clearly green."""
    r, g, b = (frame[..., k].astype(int) for k in range(3))
    return (g > r + 40) & (g > b + 40)


def project(point: NDArray[np.float64], camera: Camera, *, height: float, size: int) -> tuple[float, float]:
    """Return row and column of a point in the base frame, by the pinhole model."""
    eye, target = (np.add(p, (0, 0, height)) for p in (camera.position, camera.target))
    right, up, back = look_at(eye, target).T
    ray = point - eye
    focal = size / 2 / np.tan(np.radians(camera.fovy) / 2)
    depth = -ray @ back
    return size / 2 - focal * (ray @ up) / depth - 0.5, size / 2 + focal * (ray @ right) / depth - 0.5


@pytest.mark.parametrize("view", ["near", "high"])
@pytest.mark.parametrize("height", [-0.05, 0.0])
def test_an_object_is_where_the_pinhole_model_puts_it(renderer: Renderer, view: str, height: float) -> None:
    """The centre of a ball lies within 1.5 pixels of its projection, row 0 being the top."""
    frame = renderer.render(POSITIONS, {"camera.view": view, "table.height": height})
    rows, columns = np.nonzero(green(frame))
    expected = project(BALL, dict(SCENE.cameras)[view], height=height, size=256)
    assert len(rows) > 100
    assert np.hypot(rows.mean() - expected[0], columns.mean() - expected[1]) < 1.5


def test_up_in_the_scene_is_up_in_the_frame(renderer: Renderer) -> None:
    """A ball that rises moves towards row 0; moved to the robot's left it moves right in a view from the front."""

    def centre(offset: list[float]) -> NDArray[np.float64]:
        positions = POSITIONS.copy()
        positions[16:19] += offset
        return np.argwhere(green(renderer.render(positions, {}))).mean(axis=0)

    assert centre([0, 0, 0.05])[0] < centre([0, 0, 0])[0] - 5
    assert centre([0, 0.05, 0])[1] > centre([0, 0, 0])[1] + 5


def test_the_table_fills_the_lower_half(renderer: Renderer) -> None:
    """Most of the lower half of a frame changes with the table's colour."""
    one, two = (renderer.render(POSITIONS, {"table.color": color}) for color in ((0.2, 0.2, 0.9), (0.9, 0.2, 0.2)))
    changed = (one != two).any(axis=-1)
    assert changed[128:].mean() > 0.8


def test_nominal_values_are_the_default(renderer: Renderer) -> None:
    """An empty mapping and the nominal one give the same frame, and the robot is in it."""
    assert np.array_equal(renderer.render(POSITIONS, {}), renderer.render(POSITIONS, SCENE.nominal()))
    tinted = renderer.render(POSITIONS, {"robot.color": (0.3, 0.3, 1.0)})
    assert (tinted != renderer.render(POSITIONS, {})).any(axis=-1).mean() > 0.08


@pytest.mark.parametrize("path", sorted(CHANGES))
def test_every_parameter_changes_the_frame_and_is_forgotten(renderer: Renderer, path: str) -> None:
    """A changed parameter shows; without it the frame is the nominal one again, byte by byte."""
    lit: dict[str, Value] = {"light.count": 3.0} if path.endswith(("2", "3")) else {}
    before = renderer.render(POSITIONS, lit, noise_seed=1)
    changed = renderer.render(POSITIONS, lit | {path: CHANGES[path]}, noise_seed=1)
    assert (changed != before).any(axis=-1).mean() > 2e-4
    assert np.array_equal(renderer.render(POSITIONS, lit, noise_seed=1), before)


def test_each_light_counts_and_only_when_it_is_counted(renderer: Renderer) -> None:
    """One more light adds its own colour, and is nothing while it is not counted."""
    lit = {"light.diffuse2": (0.3, 0.0, 0.0), "light.diffuse3": (0.0, 0.0, 0.3)}
    one, two, three = (
        renderer.render(POSITIONS, {**lit, "light.count": count}).astype(int) for count in (1.0, 2.0, 3.0)
    )
    assert np.array_equal(one, renderer.render(POSITIONS, {}))
    for more, less, color in ((two, one, 0), (three, two, 2)):
        added = (more - less).mean(axis=(0, 1))
        assert added[color] > 5
        assert added[color] > 10 * max(added[k] for k in range(3) if k != color)


def test_only_the_first_light_casts_shadows(renderer: Renderer) -> None:
    """With shadows, what the second light adds is what it adds without them, but for rounding."""
    dim = {"light.diffuse": (0.2, 0.2, 0.2), "light.ambient": (0.2, 0.2, 0.2)}
    frames = {
        (count, shadows): renderer.render(POSITIONS, {**dim, "light.count": count, "light.shadows": shadows}).astype(
            int
        )
        for count in (1.0, 2.0)
        for shadows in (0.0, 1.0)
    }
    added = [frames[2.0, shadows] - frames[1.0, shadows] for shadows in (0.0, 1.0)]
    assert (np.abs(added[0] - added[1]) <= 2).mean() > 0.99
    assert (frames[1.0, 0.0] != frames[1.0, 1.0]).mean() > 0.01


def test_every_visual_parameter_of_the_scene_is_tested() -> None:
    """No visual parameter of a scene is missing from the test above."""
    owners = {"table", "floor", "background", "mount", "light", "camera", "image"}
    felt = {"table.friction"}
    wanted = {path for path in SCENE.nominal() if path.split(".")[0] in owners} - felt | {"robot.color"}
    assert wanted <= set(CHANGES)


def test_a_larger_cube_covers_more_pixels(renderer: Renderer) -> None:
    """The cube's pixels grow with its size."""
    counts = []
    for half in (0.015, 0.02, 0.03):
        on, off = (
            renderer.render(POSITIONS, {"cube.half_size": (half,) * 3, "cube.color": color})
            for color in ("yellow", "purple")
        )
        counts.append(int((on != off).any(axis=-1).sum()))
    assert counts[0] > 50
    assert counts[0] * 1.4 < counts[1] < counts[2] / 1.4


def test_the_wrist_camera_moves_with_the_hand(renderer: Renderer) -> None:
    """The wrist view shows the fingers and depends on the arm."""
    home = renderer.render(POSITIONS, {}, camera="wrist_image")
    turned = POSITIONS.copy()
    turned[6] += 0.5
    assert (home != renderer.render(turned, {}, camera="wrist_image")).any(axis=-1).mean() > 0.01
    shut = POSITIONS.copy()
    shut[7:9] = 0.0
    assert (home != renderer.render(shut, {}, camera="wrist_image")).any(axis=-1).mean() > 0.01


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"table.colour": (1, 1, 1)}, "table.color"),
        ({"table.color": (1, 1)}, "3 finite numbers"),
        ({"table.color": "red"}, "3 finite numbers"),
        ({"table.height": float("nan")}, "one finite number"),
        ({"table.texture": "woood"}, "'wood'"),
        ({"table.extent": (1.5, 0.5)}, "leaves no table"),
        ({"camera.view": "nearer"}, "'near'"),
        ({"camera.fovy": 0.0}, "above 0"),
        ({"camera.fovy": 5.0}, "below 170"),
        ({"camera.offset": (-0.5515, 0.0, -0.55)}, "own target"),
        ({"light.direction": (0, 0, 0)}, "needs a direction"),
        ({"light.direction3": (0, 0, 0)}, "light.direction3 is"),
        ({"light.count": 0.0}, "1 to 3 lights"),
        ({"light.count": 1.5}, "1 to 3 lights"),
        ({"light.count": 4.0}, "1 to 3 lights"),
        ({"cube.half_size": (0.02, 0.02, -0.02)}, "above 0"),
        ({"cube.color": "redd"}, "'red'"),
        ({"image.blur": (1, 2)}, "one finite number"),
    ],
)
def test_wrong_values_are_refused(renderer: Renderer, values: dict[str, Value], told: str) -> None:
    """A wrong value is told with its path and with what is allowed."""
    with pytest.raises(UserError, match=told):
        renderer.render(POSITIONS, values)


def test_wrong_calls_are_refused(renderer: Renderer) -> None:
    """Wrong camera, wrong length, wrong counts and wrong size are told."""
    with pytest.raises(UserError, match="'wrist_image'"):
        renderer.render(POSITIONS, {}, camera="wrist")
    with pytest.raises(UserError, match="needs \\(23,\\)"):
        renderer.render(POSITIONS[:16], {})
    with pytest.raises(UserError, match="equally many"):
        renderer.render_many(POSITIONS[None], [{}, {}])
    with pytest.raises(UserError, match="16 to 4096"):
        Renderer(SCENE, size=0)


def test_many_is_one_after_the_other(renderer: Renderer) -> None:
    """`render_many` gives the frames of `render`."""
    values: list[dict[str, Value]] = [{"camera.view": "high"}, {"image.noise": 4.0}]
    frames = renderer.render_many(np.stack([POSITIONS] * 2), values, noise_seeds=[None, 5])
    assert frames.shape == (2, 256, 256, 3)
    assert np.array_equal(frames[0], renderer.render(POSITIONS, values[0]))
    assert np.array_equal(frames[1], renderer.render(POSITIONS, values[1], noise_seed=5))


def test_two_renderers_do_not_disturb_each_other_and_a_closed_one_refuses(renderer: Renderer) -> None:
    """Renderers take turns on one thread; what is closed says so."""
    before = renderer.render(POSITIONS, {})
    with Renderer(SCENE, size=64) as small:
        assert small.render(POSITIONS, {}).shape == (64, 64, 3)
        assert np.array_equal(renderer.render(POSITIONS, {}), before)
        assert small.render(POSITIONS, {}).std() > 10
    with pytest.raises(UserError, match="closed"):
        small.render(POSITIONS, {})
    assert np.array_equal(renderer.render(POSITIONS, {}), before)


SCRIPT = """
import hashlib
from tests import test_render as t
with t.Renderer(t.SCENE) as renderer:
    renderer.render(t.POSITIONS, {"camera.view": "high", "table.texture": "noise"})
    print(hashlib.sha256(renderer.render(t.POSITIONS, t.CHANGES, noise_seed=7).tobytes()).hexdigest())
"""


def test_another_process_draws_the_same_bytes(renderer: Renderer) -> None:
    """The same positions, values and noise seed give the same bytes elsewhere, after other frames."""
    here = hashlib.sha256(renderer.render(POSITIONS, CHANGES, noise_seed=7).tobytes()).hexdigest()
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [here]


class Collecting:
    """A context after whose activation the garbage collector would run, if it may."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def make_current(self) -> None:
        """Make the context current."""
        self._context.make_current()
        if gc.isenabled():
            gc.collect()


def test_a_forgotten_renderer_that_is_collected_spoils_no_frame(renderer: Renderer, monkeypatch) -> None:
    """Freeing it takes the current context away: drawn then, a frame would be that of before."""
    wanted = renderer.render(POSITIONS, SCENE.nominal())
    forgotten = [Renderer(SCENE, size=32)]
    forgotten.append(forgotten)  # type: ignore[arg-type]
    other = renderer.render(POSITIONS, SCENE.nominal() | {"table.height": -0.1})
    monkeypatch.setattr(renderer, "_gl", Collecting(renderer._gl))
    del forgotten
    frame = renderer.render(POSITIONS, SCENE.nominal())
    assert np.array_equal(frame, wanted)
    assert not np.array_equal(frame, other)

"""Depth, instances, boxes and poses against the scene's geometry."""

import json

import numpy as np
import pytest

from datagen.generate import GenerateConfig, generate
from datagen.progress import silent
from datagen.rlds_reader import open_dataset
from datagen.schema import ANNOTATIONS
from policies.loading import load_policy
from sim.annotations import AnnotatedRenderer
from sim.instances import FIRST_OBJECT, bounding_box, instance_names
from sim.renderer import Renderer
from tasks.catalogue import load_task
from tasks.env import make_env
from tests.scripted_policy import ScriptedPolicy
from tests.test_datagen_real import rows
from tests.test_render import BALL, CUBE, POSITIONS, SCENE


@pytest.fixture(scope="module")
def renderer():
    with AnnotatedRenderer(SCENE) as made:
        yield made


@pytest.mark.parametrize("camera", ["image", "wrist_image"])
def test_annotations_fit_the_geometry_and_leave_the_frame_alone(renderer, camera):
    frame = renderer.render(POSITIONS, {}, camera=camera, noise_seed=1)
    found = renderer.annotations()
    with Renderer(SCENE) as plain:
        assert np.array_equal(plain.render(POSITIONS, {}, camera=camera, noise_seed=1), frame)
    assert np.array_equal(renderer.render(POSITIONS, {}, camera=camera, noise_seed=1), frame)
    eye = renderer._data.camera(camera)
    focal = 128 / np.tan(np.radians(renderer.model.camera(camera).fovy[0]) / 2)
    for number, (place, radius) in enumerate(((CUBE, 0.02), (BALL, 0.025)), FIRST_OBJECT):
        x, y, z = eye.xmat.reshape(3, 3).T @ (place - eye.xpos)
        left, top, right, bottom = bounding_box(found.instances, number)
        if right < 256:
            assert (left + right) / 2 == pytest.approx(128 + focal * x / -z, abs=4)
        assert (top + bottom) / 2 == pytest.approx(128 - focal * y / -z, abs=4)
        depth = found.depth[found.instances == number].min()
        assert -z * 1000 - 2 * radius * 1000 < depth < -z * 1000 - 0.5 * radius * 1000
    assert found.depth.max() < 8000


def test_every_instance_has_a_number_and_background_is_zero(renderer):
    assert instance_names(SCENE) == {"background": 0, "robot": 1, "table": 2, "cube": 3, "ball": 4}
    renderer.render(POSITIONS, {})
    seen = renderer.annotations().instances
    assert set(np.unique(seen)) == {0, 1, 2, 3, 4}
    assert seen[0, 0] == 0
    assert seen[200, 128] == 2
    assert seen[30, 128] == 1


@pytest.mark.parametrize("camera", ["image", "wrist_image"])
def test_places_are_projected_to_where_the_things_are_drawn(renderer, camera):
    renderer.render(POSITIONS, {}, camera=camera)
    seen = renderer.annotations().instances
    where = 256 * renderer.project(np.array([CUBE, BALL]), camera=camera)
    for number, (x, y) in enumerate(where, FIRST_OBJECT):
        left, top, right, bottom = bounding_box(seen, number)
        if right < 256:
            assert x == pytest.approx((left + right) / 2, abs=4)
        assert y == pytest.approx((top + bottom) / 2, abs=4)
    eye = renderer._data.camera(camera)
    behind = eye.xpos + 0.5 * eye.xmat.reshape(3, 3)[:, 2]
    assert np.isnan(renderer.project(behind[None], camera=camera)).all()


def test_what_is_not_seen_has_an_empty_box():
    instances = np.zeros((8, 8), np.uint8)
    assert bounding_box(instances, 3).tolist() == [0, 0, 0, 0]
    instances[2:5, 3:4] = 3
    assert bounding_box(instances, 3).tolist() == [3, 2, 4, 5]


def made(out, **changes):
    config = GenerateConfig(
        task="lift_cube", out=out, episodes=2, seed=1, image_size=64, cameras=("image", "wrist_image"), workers=0,
        unit_episodes=8, threads=1, **changes,
    )  # fmt: skip
    env = make_env("lift_cube", n=8, threads=1)
    policy = ScriptedPolicy(lambda ids: rows(env.engine.state(), ids))
    return generate(config, policy=policy, progress=silent, worlds=lambda: env)


def test_a_dataset_with_annotations_has_the_same_frames(tmp_path):
    plain, full = made(tmp_path / "plain"), made(tmp_path / "full", annotations=ANNOTATIONS)
    datasets = open_dataset(plain.path), open_dataset(full.path)
    extra = {
        "observation/object_pose/cube": ((7,), "float32"),
        "observation/image_point/target": ((2,), "float32"),
        "observation/image_point/tcp": ((2,), "float32"),
        "observation/wrist_image_point/target": ((2,), "float32"),
        "observation/wrist_image_point/tcp": ((2,), "float32"),
        "observation/image_depth": ((64, 64), "uint16"),
        "observation/wrist_image_depth": ((64, 64), "uint16"),
        "observation/image_segmentation": ((64, 64), "uint8"),
        "observation/wrist_image_segmentation": ((64, 64), "uint8"),
        "observation/image_box/cube": ((4,), "int32"),
        "observation/wrist_image_box/cube": ((4,), "int32"),
    }
    for a, b in zip(*(d.episodes("train") for d in datasets), strict=True):
        assert set(b.steps) - set(a.steps) == set(extra)
        assert all(np.array_equal(a.steps[key], b.steps[key]) for key in a.steps)
        for key, (shape, dtype) in extra.items():
            assert b.steps[key].shape == (b.length, *shape)
            assert b.steps[key].dtype == dtype
        pose, draw = b.steps["observation/object_pose/cube"], json.loads(b.metadata["draw"])
        np.testing.assert_allclose(pose[0, :2], draw["cube.position"], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(pose[:, 3:], axis=1), 1.0, atol=1e-5)
        assert pose[-1, 2] > pose[0, 2] + 0.04
        box = b.steps["observation/image_box/cube"]
        for camera in ("image", "wrist_image"):
            point, boxes = 64 * b.steps[f"observation/{camera}_point/target"], b.steps[f"observation/{camera}_box/cube"]
            whole = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < 64).all(axis=1)
            whole &= (boxes[:, 2:] - boxes[:, :2] > 3).all(axis=1)
            inside = ((point > boxes[:, :2] - 1.5) & (point < boxes[:, 2:] + 1.5)).all(axis=1)
            # A finger may hide a part of the cube, and the box is around what is seen.
            assert inside[whole].mean() > 0.8
        # The TCP is between the fingertips, which hold the cube at the end.
        tcp, cube = (b.steps[f"observation/image_point/{name}"][-1] for name in ("tcp", "target"))
        assert np.linalg.norm(tcp - cube) < 0.06
        assert [bounding_box(s, 3).tolist() for s in b.steps["observation/image_segmentation"]] == box.tolist()
    assert full.path.joinpath("demomill.json").read_text().count("instances") == 1
    assert datasets[1].description["instances"] == instance_names(load_task("lift_cube").scene)
    assert "annotations" not in datasets[0].description


def test_of_a_door_the_point_is_its_handle(tmp_path):
    config = GenerateConfig(
        task="open_door", out=tmp_path, episodes=2, seed=1, image_size=64, workers=0, unit_episodes=8, threads=1,
        annotations=("points", "boxes", "object_poses"),
    )  # fmt: skip
    policy = load_policy("expert:open_door", task="open_door")
    for episode in open_dataset(generate(config, policy=policy, progress=silent).path).episodes("train"):
        target, tcp = (episode.steps[f"observation/image_point/{name}"] for name in ("target", "tcp"))
        doors = [name for name in episode.steps if name.startswith("observation/image_box/") and "door" in name]
        present = [episode.steps[name] for name in doors if (episode.steps[name] > 0).any()]
        assert len(doors) > len(present) == 1  # A scene has several doors, of which an episode has one.
        box = present[0][0]
        assert ((64 * target[0] > box[:2] - 1.5) & (64 * target[0] < box[2:] + 1.5)).all()
        # The hand takes the handle and moves with it.
        gap = np.linalg.norm(target - tcp, axis=1)
        assert gap[0] > 0.15
        assert gap[-1] < 0.06
        assert np.linalg.norm(target[-1] - target[0]) > 0.05

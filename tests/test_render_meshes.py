"""The Panda's meshes: complete, in the frames of our kinematic tree, cached, and told when missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from sim import mesh_sources, meshes, panda
from sim.appearance import build_visual_spec
from sim.errors import UserError
from sim.mjcf import build_spec
from sim.scene import Camera, Object, Scene

SCENE = Scene(
    objects=(Object("cube", "box", half_size=(0.02, 0.02, 0.02), position=(0.6, 0.0), mass=0.1),),
    cameras=(("near", Camera(position=(1.06, 0.0, 0.55), target=(0.5, 0.0, 0.0), fovy=45.0)),),
)


@pytest.fixture(scope="module")
def panda_meshes() -> tuple[meshes.Mesh, ...]:
    """Return the meshes, or skip where no package brings them."""
    try:
        return meshes.panda_meshes()
    except UserError as error:
        pytest.skip(str(error))


def test_every_body_has_a_light_mesh_without_flaws(panda_meshes: tuple[meshes.Mesh, ...]) -> None:
    """Triangles stay within their budget, name existing vertices and have a surface."""
    assert {mesh.body for mesh in panda_meshes} == set(meshes.BODIES)
    assert sum(len(mesh.faces) for mesh in panda_meshes) < 11000
    for mesh in panda_meshes:
        limit = meshes.FINE.get(mesh.name, meshes.FACES[mesh.shade])
        assert 10 < len(mesh.faces) <= limit + meshes.COARSE, mesh.name
        assert set(np.unique(mesh.faces)) == set(range(len(mesh.vertices))), mesh.name
        a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 0, mesh.name
        assert np.abs(mesh.vertices).max() < 0.3, mesh.name


def test_decimation_keeps_the_shape(panda_meshes: tuple[meshes.Mesh, ...]) -> None:
    """The extent of each body is that of its source within 3 mm: no shard sticks out and nothing is missing."""
    source, root = mesh_sources.find_source()
    for body in ("link1", "link5", "link6", "hand"):
        theirs = _cloud(source, root, body)
        ours = np.concatenate([mesh.vertices for mesh in panda_meshes if mesh.body == body])
        assert np.allclose(ours.min(0), theirs.min(0), atol=3e-3), body
        assert np.allclose(ours.max(0), theirs.max(0), atol=3e-3), body


def _cloud(source: mesh_sources.Source, root: Path, body: str) -> NDArray[np.float64]:
    """Return all vertices of a body as its package has them, (v, 3)."""
    return np.concatenate([part.vertices for part in source.parts(root, body)])


@pytest.mark.parametrize("body", ["link0", "link4", "hand", "finger"])
def test_all_sources_use_the_same_frames(body: str) -> None:
    """Each package's mesh of a body has the same extent in the body's frame."""
    found = []
    for source in mesh_sources.SOURCES:
        spec = importlib.util.find_spec(source.package)
        if spec is not None and spec.submodule_search_locations:
            cloud = _cloud(source, Path(spec.submodule_search_locations[0]), body)
            found.append([cloud.min(0), cloud.max(0)])
    if len(found) < 2:
        pytest.skip("only one of robosuite and mani_skill is installed")
    assert np.allclose(found[0], found[1], atol=1e-3)


def test_all_sources_mark_the_same_parts_dark() -> None:
    """Hand and fingers have the same dark surface, whichever package they come from."""
    shares: list[list[float]] = []
    for source in mesh_sources.SOURCES:
        spec = importlib.util.find_spec(source.package)
        if spec is not None and spec.submodule_search_locations:
            root = Path(spec.submodule_search_locations[0])
            shares.append([_dark_area(source, root, body) for body in ("link3", "finger")])
    if len(shares) < 2:
        pytest.skip("only one of robosuite and mani_skill is installed")
    assert np.allclose(shares[0], shares[1], rtol=0.02)


def _dark_area(source: mesh_sources.Source, root: Path, body: str) -> float:
    """Return the surface of a body's dark parts, m^2."""
    total = 0.0
    for part in source.parts(root, body):
        if sum(part.color) / 3 <= 0.5:
            a, b, c = (part.vertices[part.faces[:, k]] for k in range(3))
            total += 0.5 * float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
    return total


def test_meshes_sit_on_the_kinematic_tree() -> None:
    """Fingers face each other, their tips end 9 mm beyond the TCP, and neighbouring links touch."""
    model = build_visual_spec(SCENE).compile()
    data = mujoco.MjData(model)
    data.qpos[:7] = SCENE.home
    mujoco.mj_forward(model, data)
    hand = data.body("hand")
    clouds = {}
    for body in ("left_finger", "right_finger", *(f"link{i}" for i in range(8))):
        ids = [i for i in range(model.ngeom) if model.geom(i).name.startswith(f"robot_{body}_")]
        clouds[body] = np.concatenate([_vertices(model, data, i) for i in ids])
    local = {name: (clouds[name] - hand.xpos) @ hand.xmat.reshape(3, 3) for name in ("left_finger", "right_finger")}
    assert local["left_finger"][:, 1].min() > -1e-3
    assert local["right_finger"][:, 1].max() < 1e-3
    for cloud in local.values():
        assert cloud[:, 2].max() == pytest.approx(panda.TCP_OFFSET + 0.009, abs=2e-3)
    for i in range(7):
        low, high = clouds[f"link{i}"], clouds[f"link{i + 1}"]
        assert (low.min(0) - 0.01 < high.max(0)).all(), i
        assert (high.min(0) - 0.01 < low.max(0)).all(), i


def _vertices(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> NDArray[np.float64]:
    """Return a mesh geom's vertices in the base frame, (v, 3)."""
    mesh = model.mesh(int(model.geom_dataid[geom]))
    local = model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
    return local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]


def test_visuals_leave_the_physics_alone() -> None:
    """Same positions, masses and collision shapes as the physics model; nothing visual collides."""
    bare, full = build_spec(SCENE).compile(), build_visual_spec(SCENE).compile()
    assert bare.nq == full.nq
    assert np.allclose(bare.body_mass, full.body_mass)
    assert ((full.geom_contype | full.geom_conaffinity) != 0).sum() == bare.ngeom


def test_the_cache_is_used_and_a_damaged_one_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call reads what the first wrote; a torn file is written anew."""
    monkeypatch.setattr(meshes, "BODIES", ("finger",))
    first = meshes.panda_meshes(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(meshes, "_decimated", lambda *_: pytest.fail("the cache was not used"))
        second = meshes.panda_meshes(tmp_path)
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(first, second, strict=True))
    path.write_bytes(whole[: len(whole) // 2])
    assert len(meshes.panda_meshes(tmp_path)) == len(first)
    with np.load(path, allow_pickle=False) as data:
        assert len(data["names"]) == len(first)


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without either package the error says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"demomill\[render\]"):
        meshes.panda_meshes(tmp_path)

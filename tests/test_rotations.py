"""Rotations agree with SciPy, keep their conventions, and serve numpy and torch alike."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim import rotations
from sim.streams import generator


@pytest.fixture
def quaternions() -> NDArray[np.float64]:
    """Unit wxyz quaternions (300, 4): random ones, half turns about each axis, and the identity of both signs."""
    drawn = generator(0, "quaternions").standard_normal((295, 4))
    fixed = np.vstack([np.eye(4), -np.eye(4)[:1]])
    return np.vstack([drawn / np.linalg.norm(drawn, axis=1, keepdims=True), fixed])


def scipy(wxyz: NDArray[np.float64]) -> Rotation:
    return Rotation.from_quat(wxyz[:, [1, 2, 3, 0]])


def same_rotation(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool(np.allclose(np.abs(np.sum(a * b, axis=-1)), 1, atol=1e-9))


def test_orders_are_turned_into_each_other(quaternions: NDArray[np.float64]) -> None:
    assert rotations.wxyz_to_xyzw(np.array([1.0, 2, 3, 4])).tolist() == [2, 3, 4, 1]
    assert np.array_equal(rotations.xyzw_to_wxyz(rotations.wxyz_to_xyzw(quaternions)), quaternions)


def test_canonical_sign_makes_the_largest_component_positive(quaternions: NDArray[np.float64]) -> None:
    made = rotations.canonical_sign(quaternions)
    largest = np.take_along_axis(made, np.argmax(np.abs(made), axis=1)[:, None], axis=1)
    assert (largest > 0).all()
    assert same_rotation(made, quaternions)
    assert np.array_equal(rotations.canonical_sign(-quaternions), made)


def test_product_and_inverse(quaternions: NDArray[np.float64]) -> None:
    a, b = quaternions, quaternions[::-1]
    product = (scipy(a) * scipy(b)).as_quat()[:, [3, 0, 1, 2]]
    assert same_rotation(rotations.multiply(a, b), product)
    identity = np.broadcast_to([1.0, 0, 0, 0], a.shape)
    assert same_rotation(rotations.multiply(a, rotations.conjugate(a)), identity)


def test_matrices(quaternions: NDArray[np.float64]) -> None:
    matrices = rotations.to_matrix(quaternions)
    assert np.allclose(matrices, scipy(quaternions).as_matrix(), atol=1e-12)
    assert np.allclose(rotations.from_matrix(matrices), rotations.canonical_sign(quaternions), atol=1e-9)


def test_axis_angle(quaternions: NDArray[np.float64]) -> None:
    vectors = rotations.to_axis_angle(quaternions)
    assert (np.linalg.norm(vectors, axis=1) <= np.pi + 1e-12).all()
    assert same_rotation(rotations.from_axis_angle(vectors), quaternions)
    assert np.allclose(rotations.from_axis_angle(vectors), Rotation.from_rotvec(vectors).as_quat()[:, [3, 0, 1, 2]])


def test_tiny_angles_lose_nothing() -> None:
    vectors = np.array([[0.0, 0, 0], [1e-12, 0, 0], [0, -1e-9, 0], [0, 0, 1e-7]])
    assert np.allclose(rotations.to_axis_angle(rotations.from_axis_angle(vectors)), vectors, rtol=1e-6, atol=0)


def test_euler_angles_are_extrinsic_xyz() -> None:
    angles = generator(0, "euler").uniform(-1.5, 1.5, (200, 3))
    meant = Rotation.from_euler("xyz", angles).as_quat()[:, [3, 0, 1, 2]]
    assert np.allclose(rotations.to_euler_xyz(meant), angles, atol=1e-9)


def test_rotating_vectors(quaternions: NDArray[np.float64]) -> None:
    vectors = generator(0, "vectors").standard_normal((len(quaternions), 3))
    assert np.allclose(rotations.rotate(quaternions, vectors), scipy(quaternions).apply(vectors), atol=1e-12)
    assert np.allclose(rotations.rotate(np.array([0.5**0.5, 0, 0, 0.5**0.5]), np.array([1.0, 0, 0])), [0, 1, 0])


NAMES = ["canonical_sign", "wxyz_to_xyzw", "conjugate", "to_matrix", "to_axis_angle"]


@pytest.mark.parametrize("name", NAMES)
def test_torch_gives_the_same(name: str, quaternions: NDArray[np.float64]) -> None:
    torch = pytest.importorskip("torch")
    function = getattr(rotations, name)
    made = function(torch.from_numpy(quaternions))
    assert isinstance(made, torch.Tensor)
    assert np.allclose(made.numpy(), function(quaternions), atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_stays_single(name: str, quaternions: NDArray[np.float64]) -> None:
    assert getattr(rotations, name)(quaternions.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 4)])
def test_any_leading_shape(shape: tuple[int, ...]) -> None:
    value = np.zeros(shape)
    value[..., 0] = 1.0
    assert rotations.to_axis_angle(rotations.canonical_sign(value)).shape == (*shape[:-1], 3)
    assert rotations.to_matrix(value).shape == (*shape[:-1], 3, 3)
    assert rotations.from_matrix(rotations.to_matrix(value)).shape == shape

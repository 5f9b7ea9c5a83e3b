"""Image effects, and the choice of the OpenGL backend."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sim import gl, textures
from sim.errors import UserError
from sim.image_effects import MAX_BLUR, apply_effects

GREY = np.full((64, 64, 3), 128, np.uint8)


def test_nothing_asked_for_changes_nothing() -> None:
    """The defaults return the frame as it was."""
    frame = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    assert np.array_equal(apply_effects(frame), frame)
    assert np.array_equal(apply_effects(frame, seed=3), frame)
    assert np.array_equal(apply_effects(frame, noise=9.0), frame)


@pytest.mark.parametrize("std", [1.0, 5.0, 12.0])
def test_noise_has_the_deviation_asked_for(std: float) -> None:
    """Zero mean, the given deviation, neighbours and channels independent."""
    noise = apply_effects(GREY, noise=std, seed=4).astype(float) - 128
    assert abs(noise.mean()) < 0.1 * std
    assert noise.std() == pytest.approx(std, rel=0.06)
    flat = noise[..., 0]
    assert abs(np.corrcoef(flat[:, 1:].ravel(), flat[:, :-1].ravel())[0, 1]) < 0.06
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.06


def test_noise_depends_on_its_seed_alone() -> None:
    """Equal seeds give equal noise, different seeds different noise; the frame that goes in is untouched."""
    frame = GREY.copy()
    one, again, other = (apply_effects(frame, noise=5.0, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert (one != other).mean() > 0.5
    assert np.array_equal(frame, GREY)


def test_exposure_scales_and_saturates() -> None:
    """Brightness is multiplied, rounded and clipped; a negative factor is black."""
    assert (apply_effects(GREY, exposure=0.5) == 64).all()
    assert (apply_effects(GREY, exposure=3.0) == 255).all()
    assert (apply_effects(GREY, exposure=-1.0) == 0).all()


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_blur_is_a_gaussian_of_the_width_asked_for(width: float) -> None:
    """A bright point keeps its sum and spreads as a Gaussian, the same along both axes and in its own channel only."""
    frame = np.zeros((65, 65, 3), np.uint8)
    frame[28:37, 28:37, 1] = 255
    blurred = apply_effects(frame, blur=width).astype(float)
    assert blurred[..., 1].sum() == pytest.approx(81 * 255, rel=0.03)
    assert blurred[..., 0].max() == blurred[..., 2].max() == 0
    axis = np.arange(65) - 32.0
    for profile in (blurred[..., 1].sum(0), blurred[..., 1].sum(1)):
        variance = (profile * axis**2).sum() / profile.sum() - (81 - 1) / 12
        assert np.sqrt(variance) == pytest.approx(width, rel=0.1)


def test_blur_keeps_flat_areas_and_edges() -> None:
    """A flat frame stays flat up to its border, at any width."""
    for width in (0.3, 1.7, 2 * MAX_BLUR):
        assert np.array_equal(apply_effects(GREY, blur=width), GREY)


def test_compression_is_that_of_its_quality() -> None:
    """The lower the quality, the farther from the frame; 0 is none, above 100 is 100, and equal frames stay equal."""
    frame = apply_effects(np.kron(np.eye(8), np.ones((8, 8)))[..., None] * np.full(3, 255, np.uint8), noise=6.0, seed=1)
    frame = frame.astype(np.uint8)
    sent = {q: apply_effects(frame, jpeg=q) for q in (90.0, 50.0, 20.0)}
    errors = [np.abs(received.astype(float) - frame).mean() for received in sent.values()]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert np.array_equal(sent[50.0], apply_effects(frame, jpeg=50.3))
    assert np.array_equal(apply_effects(frame, jpeg=100.0), apply_effects(frame, jpeg=400.0))
    for none in (0.0, 0.4, -5.0):
        assert np.array_equal(apply_effects(frame, jpeg=none), frame)


def test_compression_comes_last() -> None:
    """What is sent is the noisy, exposed frame."""
    sensed = apply_effects(GREY, exposure=0.8, noise=5.0, blur=0.5, seed=2)
    assert np.array_equal(
        apply_effects(GREY, exposure=0.8, noise=5.0, blur=0.5, jpeg=40.0, seed=2), apply_effects(sensed, jpeg=40.0)
    )


def test_textures_are_tileable_and_light_enough_to_tint() -> None:
    """Every texture is RGB, bright on average, has contrast, and its opposite borders meet without a jump."""
    for name in textures.TEXTURES:
        image: NDArray[np.uint8] = textures.pixels(name)
        assert image.shape == (textures.SIZE, textures.SIZE, 3)
        assert 140 < image.mean() < 250, name
        assert image.std() > 2, name
    for name in ("wood", "grain", "noise", "speckle"):
        shade = textures.TEXTURES[name]()
        inner = np.abs(np.diff(shade, axis=0)).max()
        assert np.abs(shade[0] - shade[-1]).max() <= 1.5 * inner, name


def test_the_probe_names_the_renderer() -> None:
    """A probe in its own process draws a frame and names what drew it."""
    try:
        found = gl.probe_renderer()
    except UserError as error:
        pytest.skip(str(error))
    assert set(found) == {"backend", "renderer", "version"}
    assert all(found.values())


def test_a_failing_backend_is_told_with_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no backend draws, the error gives each reason and what to install."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl, "_probed", lambda backend: {"error": f"no {backend} here"})
    with pytest.raises(UserError, match=r"no egl here.*no osmesa here.*apt-get install.*libosmesa6"):
        gl.choose_backend()


def test_the_second_backend_is_taken_when_the_first_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """OSMesa is chosen where EGL cannot draw, and child processes are told."""
    monkeypatch.setenv("MUJOCO_GL", "")
    answers = {"egl": {"error": "no device"}, "osmesa": {"backend": "osmesa"}}
    monkeypatch.setattr(gl, "_probed", lambda backend: answers[backend])
    assert gl.choose_backend() == "osmesa"
    assert gl.os.environ["MUJOCO_GL"] == "osmesa"


def test_a_broken_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe's own process reports why it could not draw."""
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "99")
    gl._probed.cache_clear()
    answer = gl._probed("egl")
    gl._probed.cache_clear()
    assert "error" in answer


def test_rendering_switched_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUJOCO_GL=off is refused with how to mend it."""
    monkeypatch.setenv("MUJOCO_GL", "off")
    with pytest.raises(UserError, match="unset MUJOCO_GL"):
        gl.choose_backend()

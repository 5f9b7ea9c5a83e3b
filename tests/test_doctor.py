"""The doctor reports what it tried, says the command that mends it, and fails only for what is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import demomill
from bench import doctor as clinic
from bench import probes
from bench.doctor import DoctorConfig, DoctorReport
from bench.probes import Trial, try_code, try_renderer

Examine = Callable[..., DoctorReport]


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examine:
    """Examine a machine on which the named trials fail for the given reasons."""

    def run(**faults: str) -> DoctorReport:
        def trial(name: str, *, timeout: float) -> Trial:
            return Trial(name not in faults, faults.get(name, "works"))

        monkeypatch.setattr(clinic, "try_code", trial)
        monkeypatch.setattr(clinic, "try_renderer", trial)
        return clinic.doctor(DoctorConfig(folder=tmp_path))

    return run


def mends(report: DoctorReport) -> dict[str, str]:
    """Return what must be done here; Isaac Gym is nothing that a machine must have."""
    return {check.what: check.mend for check in report.checks if check.mend and check.what != "Isaac Gym engine"}


def test_all_is_well(examine: Examine) -> None:
    report = examine()
    assert report.ok
    assert not mends(report)
    assert {"Python", "MuJoCo engine", "ManiSkill host (Vulkan)", "robosuite host", "disk"} <= {
        check.what for check in report.checks
    }


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_one_of_two_renderers_is_enough(examine: Examine, backend: str) -> None:
    report = examine(**{backend: "no such library"})
    assert report.ok
    (mend,) = mends(report).values()
    assert "libegl-mesa0" in mend


def test_no_renderer_is_too_few(examine: Examine) -> None:
    report = examine(egl="no such library", osmesa="no such library")
    assert not report.ok
    assert "MuJoCo frames, EGL" in mends(report)


def test_a_package_that_is_not_installed_is_mended_by_set_up(examine: Examine) -> None:
    report = examine(robosuite="ModuleNotFoundError: No module named 'robosuite'")
    assert not report.ok
    assert mends(report)["robosuite host"].endswith("make setup")


def test_a_driver_that_fails_is_mended_by_the_package_manager(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    monkeypatch.setattr(clinic.platform, "freedesktop_os_release", lambda: release)
    mend = mends(examine(maniskill="UserError: ManiSkill needs a working Vulkan renderer"))["ManiSkill host (Vulkan)"]
    assert "apt-get install -y -t bookworm-backports mesa-vulkan-drivers" in mend


@pytest.mark.parametrize(
    ("release", "told"),
    [
        ({"ID": "ubuntu", "VERSION_CODENAME": "noble"}, "sudo apt-get install -y mesa"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "sudo apt-get install -y mesa"),
        ({"ID": "fedora"}, "sudo dnf install"),
        ({"ID": "other"}, "install Mesa 24.3"),
    ],
)
def test_the_command_fits_the_system(release: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clinic.platform, "freedesktop_os_release", lambda: release)
    assert told in clinic.graphics_command()


def test_a_full_disk_is_seen(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clinic.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**30))
    report = examine()
    assert not report.ok
    assert "free space" in mends(report)["disk"]


def test_the_table_shows_states_and_commands(examine: Examine, capsys: pytest.CaptureFixture[str]) -> None:
    from sim.results import show

    show(examine(osmesa="no such library"), as_json=False)
    told = capsys.readouterr().out
    assert "To mend:" in told
    assert "absent" in told
    assert "Everything the quickstart needs works." in told


@pytest.mark.usefixtures("examine")
def test_the_verb_ends_with_2_where_something_is_missing(examine: Examine, capsys: pytest.CaptureFixture[str]) -> None:
    examine(mujoco="it crashed")
    assert demomill.main(["doctor", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert {"what", "state", "detail", "mend", "needed"} == set(answer["checks"][0])


class TestTrials:
    """Every trial runs in a process of its own."""

    def test_a_crash_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "CODE", {"crash": "import os; os.abort()"})
        trial = try_code("crash", timeout=20)
        assert not trial.ok
        assert "status -6" in trial.detail

    def test_an_exception_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "CODE", {"raise": "raise RuntimeError('two\\nlines')"})
        assert try_code("raise", timeout=20) == Trial(False, "RuntimeError: two lines")

    def test_silence_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "CODE", {"sleep": "import time; time.sleep(60)"})
        assert try_code("sleep", timeout=0.5) == Trial(False, "no answer within 0 s")

    def test_chatter_before_the_answer_is_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "CODE", {"chat": "print('hello', end=''); answer = 'done'"})
        assert try_code("chat", timeout=20) == Trial(True, "done")

    def test_the_engine_steps(self) -> None:
        trial = try_code("mujoco", timeout=120)
        assert trial.ok, trial.detail

    def test_a_frame_is_drawn(self) -> None:
        trials = [try_renderer(backend, timeout=120) for backend in ("egl", "osmesa")]
        assert any(trial.ok for trial in trials), trials

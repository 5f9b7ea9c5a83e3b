"""Set-up decides by what it finds: apt sources, missing libraries, stamps, the right build of torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts import setup, system_packages
from scripts.apt_sources import Source, backports_source, has_suite, read_sources
from scripts.lock import pins
from scripts.system_packages import Missing
from sim.errors import UserError

DEB822 = """\
Types: deb
# A comment
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/own.gpg

Types: deb-src
URIs: https://mirror.example/debian
Suites: bookworm
Components: main

Types: deb
Enabled: no
URIs: https://off.example/debian
Suites: bookworm-backports
Components: main
"""
ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keys/a.gpg] http://one.example/debian bookworm main  # ours
deb-src http://one.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
"""


class TestAptSources:
    """The backports archive is derived from what the machine already trusts."""

    def test_deb822(self, tmp_path: Path) -> None:
        assert read_sources(self.deb822(tmp_path)) == [
            Source(
                "https://mirror.example/debian",
                ("bookworm", "bookworm-updates"),
                ("main", "contrib"),
                {"Signed-By": "/usr/share/keyrings/own.gpg"},
            )
        ]

    def deb822(self, folder: Path, text: str = DEB822) -> Path:
        path = folder / "sources.list.d" / "debian.sources"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return folder

    def test_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "sources.list").write_text(ONE_LINE)
        first, second = read_sources(tmp_path)
        assert first.options == {"Architectures": "amd64", "Signed-By": "/etc/apt/keys/a.gpg"}
        assert (first.uris, first.suites, first.components) == ("http://one.example/debian", ("bookworm",), ("main",))
        assert second.suites == ("bookworm-security",)

    def test_backports_use_the_same_mirror_and_key(self, tmp_path: Path) -> None:
        entry = backports_source(read_sources(self.deb822(tmp_path)), "bookworm")
        assert entry == (
            "Types: deb\nURIs: https://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/own.gpg\n"
        )

    def test_the_derived_entry_is_read_back(self, tmp_path: Path) -> None:
        entry = backports_source(read_sources(self.deb822(tmp_path)), "bookworm")
        assert entry is not None
        assert not has_suite(read_sources(tmp_path), "bookworm-backports")
        (tmp_path / "sources.list.d" / "demomill-backports.sources").write_text(entry)
        assert has_suite(read_sources(tmp_path), "bookworm-backports")

    def test_a_key_inside_the_entry_survives(self, tmp_path: Path) -> None:
        key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----"
        text = DEB822.replace("Signed-By: /usr/share/keyrings/own.gpg", key)
        entry = backports_source(read_sources(self.deb822(tmp_path, text)), "bookworm")
        assert entry is not None
        assert entry.endswith("\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n")

    def test_other_releases_give_nothing(self, tmp_path: Path) -> None:
        assert backports_source(read_sources(self.deb822(tmp_path)), "trixie") is None


class Commands:
    """Stands in for the commands that set-up runs, and remembers them."""

    def __init__(self, fails: Callable[[list[str]], bool] = lambda command: False) -> None:
        self.seen: list[list[str]] = []
        self.fails = fails

    def __call__(self, command: list[str], **_: Any) -> SimpleNamespace:
        words = [str(word) for word in command]
        self.seen.append(words)
        return SimpleNamespace(returncode=int(self.fails(words)), stdout="3.11", stderr="E: no such package")

    def with_word(self, word: str) -> list[list[str]]:
        """Return the commands that contain `word`."""
        return [command for command in self.seen if word in command]


LACKING = Missing(("the library libEGL.so.1", "the package gcc"), graphics=True, others=("gcc",))
NOTHING = Missing((), graphics=False, others=())


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A Debian 12 machine of root's that lacks EGL and a compiler, until something is installed."""
    commands = Commands()
    found = lambda: NOTHING if commands.with_word("install") else LACKING  # noqa: E731
    monkeypatch.setattr(system_packages, "find_missing", found)
    monkeypatch.setattr(system_packages.subprocess, "run", commands)
    monkeypatch.setattr(system_packages.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(system_packages.os, "geteuid", lambda: 0)
    monkeypatch.setattr(system_packages, "read_sources", lambda: [Source("https://m", ("bookworm",), ("main",))])
    release = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    monkeypatch.setattr(system_packages.platform, "freedesktop_os_release", lambda: release)
    return commands


class TestSystemPackages:
    """Only what is missing is installed, and never without the right to."""

    def test_nothing_is_run_where_all_is_there(self, machine: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_packages, "find_missing", lambda: NOTHING)
        assert not system_packages.ensure_system_packages()
        assert not machine.seen

    def test_debian_12_takes_mesa_from_backports(self, machine: Commands) -> None:
        assert system_packages.ensure_system_packages() == "system packages: installed"
        graphics, optional, others = machine.with_word("install")
        assert graphics[graphics.index("-t") + 1] == "bookworm-backports"
        assert "mesa-vulkan-drivers" in graphics
        assert "libosmesa6" in optional
        assert "-t" not in others
        assert "gcc" in others
        assert machine.with_word("tee")
        assert not machine.with_word("sudo")

    def test_newer_systems_take_the_stock_packages(self, machine: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        release = {"ID": "debian", "VERSION_CODENAME": "trixie"}
        monkeypatch.setattr(system_packages.platform, "freedesktop_os_release", lambda: release)
        system_packages.ensure_system_packages()
        assert not machine.with_word("-t")
        assert not machine.with_word("tee")

    def test_osmesa_is_not_insisted_on(self, machine: Commands) -> None:
        machine.fails = lambda command: "libosmesa6" in command
        assert system_packages.ensure_system_packages() == "system packages: installed"

    def test_a_broken_foreign_source_does_not_stop_it(self, machine: Commands) -> None:
        machine.fails = lambda command: "update" in command
        assert system_packages.ensure_system_packages() == "system packages: installed"

    def test_a_failing_install_tells_its_last_lines(self, machine: Commands) -> None:
        machine.fails = lambda command: "mesa-vulkan-drivers" in command
        with pytest.raises(UserError, match=r"apt-get install(.|\n)*no such package"):
            system_packages.ensure_system_packages()

    def test_sudo_is_used_only_before_the_package_manager(
        self, machine: Commands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(system_packages.os, "geteuid", lambda: 1000)
        monkeypatch.setattr(system_packages.sys, "stdin", SimpleNamespace(isatty=lambda: False))
        system_packages.ensure_system_packages()
        assert all({"apt-get", "tee", "true"} & set(words) for words in machine.with_word("/usr/bin/sudo"))
        assert all(words[0] == "/usr/bin/sudo" for words in machine.with_word("apt-get"))

    @pytest.mark.parametrize("without", ["sudo", "apt-get"])
    def test_without_the_right_it_says_what_to_install_by_hand(
        self, machine: Commands, monkeypatch: pytest.MonkeyPatch, without: str
    ) -> None:
        monkeypatch.setattr(system_packages.os, "geteuid", lambda: 1000)
        monkeypatch.setattr(system_packages.shutil, "which", lambda name: None if name == without else name)
        with pytest.raises(UserError, match="Install by hand") as told:
            system_packages.ensure_system_packages()
        assert "libEGL.so.1" in str(told.value)
        assert "mesa-vulkan-drivers" in str(told.value)
        assert not machine.seen

    def test_a_password_is_never_waited_for(self, machine: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_packages.os, "geteuid", lambda: 1000)
        monkeypatch.setattr(system_packages.sys, "stdin", SimpleNamespace(isatty=lambda: False))
        machine.fails = lambda command: "true" in command
        with pytest.raises(UserError, match="asks for a password"):
            system_packages.ensure_system_packages()

    @pytest.mark.parametrize(
        ("told", "version"),
        [
            ("installed 25.0.7-2~bpo12+1", (25, 0)),
            ("installed 1:22.3.6-1+deb12u1", (22, 3)),
            ("not-installed ", None),
            ("", None),
        ],
    )
    def test_mesa_version(self, told: str, version: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_packages.shutil, "which", lambda name: name)
        monkeypatch.setattr(system_packages.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=told))
        assert system_packages.mesa_version() == version

    def test_an_old_mesa_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system_packages, "mesa_version", lambda: (22, 3))
        missing = system_packages.find_missing()
        assert missing.graphics
        assert any("Mesa 24.3 or newer (found 22.3)" in reason for reason in missing.reasons)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A checkout of its own whose commands are only remembered."""
    commands = Commands()
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(setup.subprocess, "run", commands)
    monkeypatch.setattr(setup.system_packages, "ensure_system_packages", lambda: "")
    monkeypatch.setattr(setup.sys, "version_info", (3, 11, 9))
    (tmp_path / "requirements.lock").write_text("# pins\nhatchling==1.27.0\nnumpy==1.26.4\ntorch==2.13.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return commands


class TestSetup:
    """Steps run once, in order, and are resumed."""

    def test_second_run_does_nothing(self, checkout: Commands) -> None:
        assert setup.main() == 0
        assert checkout.with_word("pip")
        checkout.seen.clear()
        assert setup.main() == 0
        assert not checkout.seen

    def test_a_changed_lock_is_installed(self, checkout: Commands) -> None:
        setup.main()
        checkout.seen.clear()
        setup.LOCK.write_text("hatchling==1.27.0\nnumpy==1.26.3\ntorch==2.13.0\n")
        setup.main()
        assert checkout.with_word("numpy==1.26.3")
        assert not checkout.with_word("--editable")

    def test_a_failed_step_is_done_again(self, checkout: Commands, capsys: pytest.CaptureFixture[str]) -> None:
        checkout.fails = lambda command: "numpy==1.26.4" in command
        assert setup.main() == 2
        assert "no such package" in capsys.readouterr().err
        checkout.fails = lambda command: False
        checkout.seen.clear()
        assert setup.main() == 0
        assert checkout.with_word("numpy==1.26.4")

    def test_build_tools_come_first(self, checkout: Commands) -> None:
        setup.main()
        installs = checkout.with_word("install")
        assert "hatchling==1.27.0" in installs[0]
        assert "--no-build-isolation" in installs[1]
        assert "numpy==1.26.4" in installs[1]

    def test_torch_comes_as_the_cpu_build(self, checkout: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup, "has_nvidia_gpu", lambda: False)
        setup.main()
        assert checkout.with_word("torch==2.13.0+cpu")
        assert not checkout.with_word("torch==2.13.0")

    @pytest.mark.parametrize("reachable", [True, False])
    def test_torch_falls_back_to_other_indexes(
        self, checkout: Commands, monkeypatch: pytest.MonkeyPatch, *, reachable: bool
    ) -> None:
        monkeypatch.setattr(setup, "has_nvidia_gpu", lambda: False)
        monkeypatch.setattr(setup, "_answers", lambda url: reachable)
        checkout.fails = lambda command: "torch==2.13.0+cpu" in command
        setup.main()
        assert bool(checkout.with_word(setup.CPU_WHEELS)) == reachable
        assert bool(checkout.with_word("--constraint")) == (not reachable)

    def test_with_a_gpu_torch_is_the_default_build(self, checkout: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup, "has_nvidia_gpu", lambda: True)
        setup.main()
        assert not checkout.with_word("torch==2.13.0+cpu")
        assert checkout.with_word("--constraint")

    def test_another_python_is_refused(
        self, checkout: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(setup.sys, "version_info", (3, 12, 1))
        assert setup.main() == 2
        assert "Python 3.11" in capsys.readouterr().err
        assert not checkout.seen

    def test_an_environment_of_another_python_is_not_touched(
        self, checkout: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (setup.VENV / "bin").mkdir(parents=True)
        (setup.VENV / "bin" / "python").touch()
        monkeypatch.setattr(setup, "_said", lambda command: "3.12")
        assert setup.main() == 2
        assert "holds Python 3.12, not 3.11" in capsys.readouterr().err
        assert not checkout.with_word("install")

    def test_a_full_disk_is_told_before_anything_is_made(
        self, checkout: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(setup.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**30))
        assert setup.main() == 2
        assert "free disk" in capsys.readouterr().err
        assert not checkout.seen


def test_set_up_needs_only_the_standard_library() -> None:
    """Nothing is imported but the standard library."""
    root = Path(setup.__file__).resolve().parent.parent
    code = "import sys, scripts.setup; sys.exit(len({'numpy', 'rich', 'tyro'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False, timeout=10).returncode == 0


def test_lock_lines() -> None:
    freeze = "torch==2.13.0+cpu\nNumPy==1.26.4\npip==24.0\n-e git+https://x\ndemomill==0.1.0\n# c\nx @ file:///y\n"
    assert pins(freeze) == ["NumPy==1.26.4", "torch==2.13.0"]

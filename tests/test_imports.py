"""The import fence: imports only go down, and heavy packages stay behind their doors."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("sim", "tasks", "datagen", "policies", "bench", "demomill")
FENCES = {
    "isaacgym": "sim/isaacgym_worker/",
    "lerobot": "policies/serve/lerobot_worker.py",
    "torch": ("policies/", "sim/isaacgym_worker/", "sim/warp_", "bench/hosts/maniskill_"),
    "warp": "sim/warp_",
    "mujoco_warp": "sim/warp_",
    "rl_games": "policies/",
    "tensorboard": "policies/",
    "transformers": "policies/pretrained/",
    "peft": "policies/pretrained/",
    "huggingface_hub": "policies/pretrained/",
    "mani_skill": "bench/hosts/",
    "sapien": "bench/hosts/",
    "robosuite": "bench/hosts/",
    "tyro": "demomill.py",
}
UNPICKLERS = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
TRANSITIVE = {
    "OpenGL": "mujoco",
    "markupsafe": "jinja2",
    "sapien": "mani_skill",
    "google": "protobuf",
    "warp": "warp_lang",
}
"""Import name -> the declared package that brings it."""

UNLISTED = {"isaacgym", "lerobot"}
"""Packages that a worker imports in an interpreter of its own: no index has them, or they want other versions."""


def sources(*layers: str) -> list[Path]:
    """Return the modules of these layers, or of all."""
    chosen = [path for layer in layers or LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    return [*chosen, ROOT / "demomill.py"] if "demomill" in (layers or LAYERS) else chosen


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of all modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import; write the full name"
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_only_go_down(layer: str) -> None:
    for path in sources(layer):
        for name in imported(path):
            top = name.split(".")[0]
            assert top not in ("tests", "scripts", "benchmarks"), f"{relative(path)} imports {name}"
            if top in LAYERS:
                assert LAYERS.index(top) <= LAYERS.index(layer), (
                    f"{relative(path)} imports {name}, which stands above it"
                )


@pytest.mark.parametrize("package", FENCES)
def test_heavy_packages_stay_behind_their_fence(package: str) -> None:
    for path in sources():
        if package in {name.split(".")[0] for name in imported(path)}:
            assert relative(path).startswith(FENCES[package]), (
                f"{relative(path)} imports {package}: only {FENCES[package]}"
            )


def test_nothing_unpickles() -> None:
    for path in sources():
        assert not set(imported(path)) & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}, relative(
            path
        )
        text = path.read_text()
        assert not re.search(r"torch\.load\((?![^)]*weights_only=True)", text), (
            f"{relative(path)}: torch.load unpickles"
        )
        assert "allow_pickle=True" not in text, relative(path)


def test_every_third_party_import_is_declared() -> None:
    declared = declared_packages()
    for path in sources():
        for name in imported(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in LAYERS or top in UNLISTED:
                continue
            package = TRANSITIVE.get(top, top).lower().replace("-", "_")
            assert package in declared, f"{relative(path)} imports {name}, which pyproject.toml does not declare"


def test_no_module_is_named_like_the_standard_library_or_a_dependency() -> None:
    taken = set(sys.stdlib_module_names) | declared_packages() | locked_packages()
    for path in sources():
        name = path.parent.name if path.name == "__init__.py" else path.stem
        assert name in LAYERS or name not in taken, f"{relative(path)} is named like another package"
    for name in LAYERS:
        owners = set(importlib.metadata.packages_distributions().get(name, [])) - {"demomill"}
        assert not owners, f"{name} is also a package of {owners}"


def declared_packages() -> set[str]:
    """Return the packages that pyproject.toml names, written as import names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[\[<>=!~ ]", item)[0].lower().replace("-", "_") for item in listed}
    return names - {"demomill"}


def locked_packages() -> set[str]:
    """Return the packages of the lock, written as import names."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {line.split("==")[0].lower().replace("-", "_") for line in lines if "==" in line}

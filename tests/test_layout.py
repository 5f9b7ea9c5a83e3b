"""The house rules that can be counted: sizes, docstrings, markers, and a lock that agrees with pyproject.toml."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sim", "tasks", "policies", "datagen", "bench")
MODULES = [
    *(path for folder in (*PACKAGES, "scripts") for path in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "demomill.py",
]
FILE_LINES, FUNCTION_LINES = 250, 40


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines(node: ast.stmt | ast.expr) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def tables(node: ast.AST) -> list[ast.Dict]:
    """Return the outermost dictionaries that are written out in `node`: tables of data, not steps to follow."""
    if isinstance(node, ast.Dict):
        return [node]
    return [table for child in ast.iter_child_nodes(node) for table in tables(child)]


def test_files_stay_small() -> None:
    long = {relative(path): count for path in MODULES if (count := len(path.read_text().splitlines())) > FILE_LINES}
    assert not long


def test_functions_stay_small() -> None:
    long = {}
    for path in MODULES:
        for function in functions(ast.parse(path.read_text())):
            count = lines(function) - sum(lines(table) - 1 for table in tables(function))
            if count > FUNCTION_LINES:
                long[f"{relative(path)}:{function.name}"] = count
    assert not long


def test_every_module_opens_with_one_sentence() -> None:
    for path in MODULES:
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, f"{relative(path)} has no docstring"
        assert text.splitlines()[0].endswith((".", ":")), f"{relative(path)}: the first line is no sentence"


def test_flags_are_keyword_only() -> None:
    """A call reads `f(x, held_out=True)`, never `f(x, True)`."""
    for path in MODULES:
        for function in functions(ast.parse(path.read_text())):
            for argument in function.args.posonlyargs + function.args.args:
                if argument.annotation is not None:
                    assert ast.unparse(argument.annotation) != "bool", f"{relative(path)}:{function.name}"


def test_no_exception_is_swallowed() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert not all(isinstance(line, ast.Pass) for line in node.body), f"{relative(path)}:{node.lineno}"


@pytest.mark.parametrize("folder", PACKAGES)
def test_packages_are_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()
    for path in (ROOT / folder).rglob("*.py"):
        assert (path.parent / "__init__.py").is_file(), f"{relative(path.parent)} lacks __init__.py"


def test_the_frame_is_complete() -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", ".ci/run", "docs/index.md"):
        assert (ROOT / name).is_file(), f"{name} is missing"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111, ".ci/run is not executable"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_lock_satisfies_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"]["optional-dependencies"].values():
        listed.extend(extra)
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    for text in listed:
        requirement = Requirement(text)
        if requirement.name != "demomill":
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not locked; type: make lock"
            assert requirement.specifier.contains(version), f"{text}, but the lock has {version}"


def test_the_lock_names_no_machine() -> None:
    text = (ROOT / "requirements.lock").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line and "@" not in line and "/" not in line for line in pins)


def test_version_is_said_once() -> None:
    import demomill

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert demomill.__version__ == project["version"]
    assert f"## {demomill.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_links_of_the_docs_lead_somewhere() -> None:
    import re

    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).exists(), f"{relative(page)} links to {target}, which is not there"

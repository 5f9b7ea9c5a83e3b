"""What README and docs/ name is there: verbs, options, keys of job files, files, modules, targets, anchors."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import os
import re
import shlex
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import demomill
from datagen.declaration import Declaration
from datagen.job import GenerateConfig
from datagen.mixture import MixConfig
from policies.pretrained.settings import FinetuneConfig
from policies.serve.foreign import ServerDeclaration
from policies.vla.dagger import DaggerConfig
from policies.vla.settings import TrainVlaConfig
from sim.errors import UserError
from sim.jobs import from_mapping

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, *sorted((ROOT / "configs").glob("*.toml"))]
FOLDERS = "sim|tasks|datagen|policies|bench|tests|scripts|configs|benchmarks|docs"
VERBS = {verb.name: verb for verb in demomill.VERBS}
ANYWHERE = {"--json", "--help", demomill.ISAACGYM}
"""Options of the command line itself."""

OTHERS = {"--nproc-per-node", "--device", "--port", "--image", "--wrist", "--preset", "--only", "--out", "--task"}
"""Options that a page gives to programs that are no verbs: torchrun, scripts, benchmarks."""

FOREIGN = ("docs/domain_randomization.md", "scripts/serve_policy.py")
"""Files of other projects, IsaacGymEnvs and openpi, that a page names."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fenced(text: str, *kinds: str) -> list[str]:
    """Return the fenced blocks of a page, those of the named languages ("" is none)."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", body, flags=re.MULTILINE) for indent, kind, body in found if kind in kinds]


def inline(text: str) -> list[str]:
    """Return what stands in code font within the sentences of a page."""
    plain = re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", plain)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `demomill ...` command that a page shows, from the verb on."""
    shown = [line for block in fenced(text, "", "sh") for line in block.splitlines()]
    shown += [line for line in text.splitlines() if line.startswith("    ")] + inline(text)
    shown += re.findall(r"^#.*?Type: (demomill .*)$", text, flags=re.MULTILINE)
    for line in shown:
        for part in re.split(r"\s&&\s|;\s", line.split(" #")[0]):
            found = re.match(r"\s*(?:[A-Z_]+=\S+ )*(?:[\w./-]*torchrun .*?)?(?:\S*/)?demomill(?:\.py)? (\S.*)", part)
            if found:
                yield shlex.split(re.split(r"\s{3,}|\s\(", found[1])[0].replace("|", " "))


def options(kind: type[Any], prefix: str = "--") -> Iterator[str]:
    """Yield the command line's names of the fields of a dataclass."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        yield f"{prefix}{name}"
        if hints[field.name] is bool:
            yield f"{prefix}no-{name}"
        if dataclasses.is_dataclass(hints[field.name]):
            yield from options(hints[field.name], f"{prefix}{name}.")


def options_of(verb: str) -> set[str]:
    """Return the options of a verb."""
    module, name = VERBS[verb].target.split(":")
    hints = typing.get_type_hints(getattr(importlib.import_module(module), name))
    return ANYWHERE | (set(options(hints["config"])) if "config" in hints else set())


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_commands_can_be_typed(page: Path) -> None:
    for words in commands(page.read_text()):
        verb, *rest = words
        if verb in ("VERB", "--help", "--version"):
            continue
        assert verb in VERBS, f"{name_of(page)}: demomill {' '.join(words)}"
        wrong = {word.split("=")[0] for word in rest if word.startswith("--")} - options_of(verb)
        assert not wrong, f"{name_of(page)}: demomill {' '.join(words)} has no {wrong}"
        for word in rest:
            if word.startswith("configs/"):
                assert (ROOT / word).is_file(), f"{name_of(page)} names {word}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_sentences_are_options_of_some_verb(page: Path) -> None:
    known = OTHERS.union(*map(options_of, VERBS), SCRIPT_OPTIONS)
    named = {found for code in inline(page.read_text()) for found in re.findall(r"(?<![\w-])--[a-z][a-z.-]+", code)}
    assert named <= known, f"{name_of(page)} names {sorted(named - known)}"


SCRIPT_OPTIONS = set(
    re.findall(
        r"add_argument\(\s*\"(--[a-z-]+)\"",
        "".join(path.read_text() for folder in ("benchmarks", "scripts") for path in (ROOT / folder).glob("*.py")),
    )
)

DATA: dict[str, Any] = {"sources": [{"path": "d"}]}
JOBS: list[tuple[type[Any], dict[str, Any]]] = [
    (GenerateConfig, {}),
    (GenerateConfig, {"task": "lift_cube"}),
    (MixConfig, {}),
    (TrainVlaConfig, {}),
    (FinetuneConfig, {}),
    (DaggerConfig, {}),
    (Declaration, {}),
    (ServerDeclaration, {}),
]
"""What a TOML block may be, with what it leaves out."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_toml_blocks_are_jobs_that_can_be_read(page: Path) -> None:
    for block in fenced(page.read_text(), "toml"):
        refused = []
        for kind, least in JOBS:
            try:
                from_mapping({**least, **tomllib.loads(block)}, kind, where=kind.__name__)
                break
            except UserError as error:
                refused.append(str(error))
        else:
            raise AssertionError(f"{name_of(page)}:\n{block}\n" + "\n".join(refused))


def fields_below(kind: type[Any]) -> set[str]:
    """Return the names of the fields of a dataclass and of those below it."""
    found = set()
    for field, hint in typing.get_type_hints(kind).items():
        inner = [hint, *typing.get_args(hint)]
        found |= {field}.union(*(fields_below(each) for each in inner if dataclasses.is_dataclass(each)))
    return found


def test_keys_in_sentences_are_keys_of_some_job() -> None:
    """`appearance = "step"`: what stands before the sign can be written in a job, a declaration or a suite."""
    from bench.overnight import OvernightConfig
    from bench.study import StudyConfig

    kinds = {kind for kind, _ in JOBS} | {OvernightConfig, StudyConfig}
    known = set().union(*map(fields_below, kinds)) | {"stop_lifted", "n", "frame_size", "image_size", "hard_reset"}
    for page in PAGES:
        for code in inline(page.read_text()):
            found = re.fullmatch(r"(?:\[+\w+\]+ )?([a-z_][\w.]*) = [\"\[\d.tf].*", code)
            if found:
                assert found[1].rpartition(".")[2] in known, f"{name_of(page)}: {code}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    shown = " ".join([*inline(text), *fenced(text, "", "sh")])
    for found in re.findall(rf"(?<![\w/.<>-])((?:{FOLDERS})/[\w./*<>-]*)", shown):
        path = found.rstrip(".,")
        if "<" not in path and path not in FOREIGN:
            assert list(ROOT.glob(path.rstrip("/"))), f"{name_of(page)} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_of_our_modules_can_be_imported(page: Path) -> None:
    for code in inline(page.read_text()):
        found = re.match(r"((?:sim|tasks|datagen|policies|bench)(?:\.\w+)+)(?:\(.*\))?$", code)
        if found and not re.search(r"\.(py|toml|json)$", found[1]):
            assert resolved(found[1]), f"{name_of(page)} names {code}"


def resolved(name: str) -> bool:
    """Return whether a dotted name is a module or something in one."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        folder = ROOT.joinpath(*words[:count])
        if folder.with_suffix(".py").is_file() or folder.is_dir():
            value: Any = importlib.import_module(".".join(words[:count]))
            for word in words[count:]:
                value = getattr(value, word, None)
            return value is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_that_is_shown_compiles_and_imports_what_is_there(page: Path) -> None:
    for block in fenced(page.read_text(), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FOLDERS.split("|"):
                for alias in node.names:
                    assert resolved(f"{node.module}.{alias.name}"), f"{name_of(page)} imports {alias.name}"


def test_make_targets_and_variables_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    files = [path for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*.py")]
    code = "".join(path.read_text() for path in [*files, ROOT / "demomill.py"])
    for page in PAGES:
        text = page.read_text()
        shown = [*inline(text), *(line for block in fenced(text, "sh") for line in block.splitlines())]
        for line in shown:
            for target in re.findall(r"(?:^|\s)make ([a-z-]+)(?:\s|$)", line):
                assert target in targets, f"{name_of(page)} names make {target}"
        for variable in re.findall(r"DEMOMILL_[A-Z_0-9]+", text):
            assert variable in code, f"{name_of(page)} names {variable}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made where it is shown."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_headings_that_are_there(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text()):
        there = page if not target else Path(os.path.normpath(page.parent / target))
        assert anchor in anchors(there), f"{name_of(page)} links to {target}#{anchor}"


def test_the_index_lists_every_page_and_the_readme_every_verb() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in PAGES[1:]:
        assert page.name == "index.md" or f"]({page.name})" in index, f"docs/index.md lacks {page.name}"
    readme = (ROOT / "README.md").read_text()
    listed = {words[0] for words in commands(readme.partition("## The verbs")[2].partition("\n## ")[0])}
    assert set(VERBS) <= listed, f"README.md lacks {set(VERBS) - listed}"


def test_the_suites_are_as_the_page_says() -> None:
    from bench.suite import SHIPPED, load_suite

    text = (ROOT / "docs" / "bench.md").read_text()
    rows = text.partition("| suite | episodes")[2].partition("\n\n")[0]
    told = {name: int(count) for name, count in re.findall(r"^\| `(\w+)` \| (\d+) \|", rows, flags=re.MULTILINE)}
    assert told == {name: load_suite(name).episodes for name in SHIPPED}
    axes = set(tomllib.loads((ROOT / "bench" / "suites" / "axes.toml").read_text())) - {"version"}
    table = text.partition("| group | axes |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert named <= axes
    assert axes - named <= {"combined", "grounding_right", "grounding_swapped", "grounding_blank"}
    for name, content in re.findall(r"^\| `(\w+)` \| \d+ \| (.*)$", rows, flags=re.MULTILINE):
        for count in re.findall(r"(\d+) axes", content):
            nominal = [axis for axis in load_suite(name).axes if not axis.startswith("grounding")]
            assert len(nominal) == int(count), f"docs/bench.md: {name} has {len(nominal)} axes"


def test_the_tasks_are_as_the_page_says() -> None:
    from tasks.catalogue import TASKS, load_task

    names = {"ManiSkill": "maniskill", "robosuite": "robosuite"}
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", (ROOT / "docs" / "tasks.md").read_text(), flags=re.MULTILINE)
    told = dict(rows)
    assert set(TASKS) <= set(told)
    for task in TASKS:
        twins = {(names[host], twin) for host, twin in re.findall(r"(ManiSkill|robosuite) `([\w-]+)`", told[task])}
        if told[task] != "the same":
            assert twins == {(twin.host, twin.host_task) for twin in load_task(task).twins}, task


def test_the_filters_are_as_the_page_says() -> None:
    from datagen.filters import FilterConfig
    from datagen.measurements import measure

    text = (ROOT / "docs" / "datagen.md").read_text().partition("## Filters")[2].partition("\n###")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", text, flags=re.MULTILINE)
    limits = {name for _, cell in rows for name in re.findall(r"`(\w+)`", cell)}
    assert limits == set(FilterConfig.__dataclass_fields__)
    measured = set(re.findall(r'^ +"(\w+)":', inspect.getsource(measure), flags=re.MULTILINE))
    assert {name for name, _ in rows} == measured | {"start_distance"}, "which is measured between episodes"


def test_presets_that_are_named_can_be_chosen() -> None:
    from tasks.catalogue import load_task

    task = load_task("lift_cube")
    for page in TEXTS:
        for text in re.findall(r"\b(?:train|held_out|physical|none)\[[^\]\n]*\]", page.read_text()):
            assert task.selection(text), f"{name_of(page)} names {text}"
        assert not re.search(r"\b(?:train|held_out) without ", page.read_text()), f"{name_of(page)}: an old grammar"


def test_every_extra_is_in_the_setup_page_and_every_optional_package_names_its_own() -> None:
    import sys

    from packaging.requirements import Requirement

    from sim.faults import EXTRAS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    page = (ROOT / "docs" / "setup.md").read_text()
    assert {name for name in extras if f"'.[{name}]'" not in page} == {"test"}
    assert set(EXTRAS.values()) <= set(extras)
    base = {Requirement(text).name.replace("-", "_") for text in project["dependencies"]}
    brought = {"google", "markupsafe"}  # By protobuf and jinja2.
    elsewhere = {"isaacgym", "lerobot"}  # They live in interpreters of their own.
    known = base | brought | elsewhere | set(EXTRAS) | set(sys.stdlib_module_names) | set(FOLDERS.split("|"))
    for path in (path for folder in FOLDERS.split("|")[:5] for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            unknown = {name.split(".")[0] for name in names} - known
            assert not unknown, f"{name_of(path)} imports {unknown}: name its extra in sim/faults.py"


def test_the_options_of_a_policy_are_in_its_table() -> None:
    from policies.options import PolicyOptions

    table = (ROOT / "docs" / "policies.md").read_text().partition("| option | of |")[2].partition("\n\n")[0]
    cells = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    assert set(re.findall(r"`(\w+)=", cells)) == set(PolicyOptions.__dataclass_fields__)

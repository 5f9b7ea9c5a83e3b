"""Job files become dataclasses, or one paragraph that names the place, the value and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from sim.errors import UserError
from sim.jobs import from_mapping, load_toml


@dataclass(frozen=True)
class Source:
    """A part."""

    path: Path
    weight: float = 1.0


@dataclass(frozen=True)
class Job:
    """A job with every kind of field."""

    name: str
    count: int = 3
    rate: float = 0.5
    fast: bool = False
    mode: Literal["plain", "fancy"] = "plain"
    limit: int | None = None
    tags: tuple[str, ...] = ()
    window: tuple[float, float] = (0.0, 1.0)
    sources: tuple[Source, ...] = ()
    main: Source = field(default_factory=lambda: Source(Path("a")))

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"count = {self.count} is not allowed. Allowed: 1 or more.")


def load(folder: Path, text: str) -> Job:
    path = folder / "job.toml"
    path.write_text(text)
    return load_toml(path, Job)


def test_every_kind_of_field(tmp_path: Path) -> None:
    job = load(
        tmp_path,
        """
        name = "n"
        count = 4
        rate = 2
        fast = true
        mode = "fancy"
        limit = 7
        tags = ["x", "y"]
        window = [1, 2.5]
        main = { path = "m", weight = 3 }
        [[sources]]
        path = "s"
        """,
    )
    assert job == Job(
        name="n",
        count=4,
        rate=2.0,
        fast=True,
        mode="fancy",
        limit=7,
        tags=("x", "y"),
        window=(1.0, 2.5),
        sources=(Source(Path("s")),),
        main=Source(Path("m"), 3.0),
    )
    assert isinstance(job.rate, float)


def test_what_is_left_out_keeps_its_default(tmp_path: Path) -> None:
    assert load(tmp_path, 'name = "n"') == Job(name="n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "n"\ncoutn = 4', "unknown key 'coutn'. Did you mean 'count'?"),
        ("count = 4", "missing name"),
        ('name = "n"\ncount = "4"', "count = '4' has the wrong type: got str, wanted int"),
        ('name = "n"\ncount = 4.5', "got float, wanted int"),
        ('name = "n"\ncount = true', "got bool, wanted int"),
        ('name = "n"\nrate = true', "got bool, wanted float"),
        ('name = "n"\nfast = 1', "got int, wanted bool"),
        ('name = "n"\nmode = "fast"', "Allowed: 'plain', 'fancy'"),
        ('name = "n"\ntags = "x"', "wanted a list"),
        ('name = "n"\ntags = ["x", 1]', "tags[1] = 1 has the wrong type"),
        ('name = "n"\nwindow = [1.0]', "got 1 items, wanted 2"),
        ('name = "n"\nlimit = "many"', "got str, wanted int"),
        ('name = "n"\nmain = 3', "wanted a table"),
        ('name = "n"\n[main]\npath = "a"\nwieght = 1', "main: unknown key 'wieght'. Did you mean 'weight'?"),
        ('name = "n"\n[[sources]]\nweight = 1', "sources[0]: missing path"),
        ('name = "n"\ncount = 0', "count = 0 is not allowed"),
        ('name = "n', "is not valid TOML"),
    ],
)
def test_faults_are_told_in_one_paragraph(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError) as fault:
        load(tmp_path, text)
    assert told in str(fault.value)
    assert "\n" not in str(fault.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_toml(tmp_path / "absent.toml", Job)
    with pytest.raises(UserError, match="cannot be read"):
        load_toml(tmp_path, Job)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(UserError, match="is not valid TOML"):
        load_toml(tmp_path / "binary.toml", Job)


def test_from_mapping_names_the_place() -> None:
    with pytest.raises(UserError, match=r"stage\[2\]: unknown key"):
        from_mapping({"name": "n", "x": 1}, Job, where="stage[2]")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rate = nan"):
        load(tmp_path, 'name = "n"\nrate = nan')

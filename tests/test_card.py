"""The dataset card: what it says agrees with the dataset, its code is code, and nothing hostile gets through."""

from __future__ import annotations

import ast
import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.card import as_markdown, as_page, card_facts, write_card
from datagen.coverage import Coverage, DrawValues, coverage, flat, reported
from datagen.generate import GenerateConfig, generate
from datagen.loaders import snippets
from datagen.progress import silent
from datagen.rlds_reader import Dataset, open_dataset
from sim.files import read_json
from tests.datagen_doubles import RENDERER, ToyEnv, ToyPolicy, digests


def made(out: Path, **changes: Any) -> Dataset:
    base: dict[str, Any] = {"episodes": 21, "val_episodes": 3, "image_size": 32, "shard_episodes": 4}
    config = GenerateConfig(task="lift_cube", out=out, unit_episodes=8, workers=0, **{**base, **changes})
    result = generate(config, policy=ToyPolicy(), progress=silent, worlds=lambda: ToyEnv(8), renderer=RENDERER)
    return open_dataset(result.path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return made(tmp_path_factory.mktemp("card"))


def facts_of(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    assert dataset.description is not None
    assert dataset.statistics is not None
    given: dict[str, Any] = {
        "sentences": {},
        "knobs": {},
        "leaves": dataset.leaves,
        "about": dataset.description,
        **changes,
    }
    return card_facts(statistics=dataset.statistics, **given)


def test_the_card_counts_what_is_in_the_dataset(dataset: Dataset) -> None:
    text = (dataset.path / "README.md").read_text()
    told = {split: Counter(e.texts()[0] for e in dataset.episodes(split)) for split in ("train", "val")}
    steps = {split: sum(e.length for e in dataset.episodes(split)) for split in told}
    assert f"| train | 21 | {steps['train']} | 6 |" in text
    assert f"| val | 3 | {steps['val']} | 1 |" in text
    for sentence in told["train"] | told["val"]:
        assert f"| {sentence} | {told['train'][sentence]} | {told['val'][sentence]} |" in text
    assert dataset.description is not None
    rejected = dataset.description["filters"]["train"]["rejected"]
    assert f"- no success at the end: {rejected['no success at the end']}" in text
    assert dataset.description["statistics_fingerprint"] in text
    assert "| observation/image | 32 x 32 x 3 uint8, jpeg |" in text
    assert "21 demonstrations" not in text
    assert "24 demonstrations of the task lift_cube-v1: synthetic." in text
    assert dataset.statistics is not None
    assert f"| x | {dataset.statistics['action']['mean'][0]:.4g} |" in text


def test_every_table_of_the_card_is_a_table(dataset: Dataset) -> None:
    lines = (dataset.path / "README.md").read_text().splitlines()
    code = False
    for before, line in pairwise(lines):
        code ^= line.startswith("```")
        if line.startswith("|") and not code:
            cells = line.replace("\\|", "").count("|")
            assert cells >= 3
            if before.startswith("|"):
                assert before.replace("\\|", "").count("|") == cells, line
            else:
                assert not before.strip(), f"a table begins right under {before!r}"


def test_the_same_job_gives_the_same_card_and_no_time_or_place(dataset: Dataset, tmp_path: Path) -> None:
    again = made(tmp_path)
    assert digests(again.path) == digests(dataset.path)
    for name in ("README.md", "card.html"):
        text = (again.path / name).read_text()
        assert str(tmp_path) not in text
        assert "20:" not in text


@pytest.mark.parametrize("cameras", [("image",), ("image", "wrist_image"), ("wrist_image",)])
def test_the_code_for_other_loaders_is_code(dataset: Dataset, cameras: tuple[str, ...]) -> None:
    assert dataset.description is not None
    found = snippets({**dataset.description, "cameras": list(cameras)})
    assert [s.title for s in found][2:4] == ["OpenVLA", "Octo"]
    for snippet in found:
        names = {node.value for node in ast.walk(ast.parse(snippet.code)) if isinstance(node, ast.Constant)}
        assert {"lift_cube_v1", "lift_cube_v1/1.0.0", "pi0_lift_cube_v1", "your_name/lift_cube_v1"} & names, snippet
        assert "{{" not in snippet.code
    code = {s.title: s.code for s in found}
    assert ('"wrist": "wrist_image"' in code["OpenVLA"]) == ("wrist_image" in cameras)
    assert ('"primary": "image"' in code["Octo"]) == ("image" in cameras)
    assert ("np.zeros(SIZE, np.uint8)" in code["openpi: conversion"]) == ("wrist_image" not in cameras)
    assert "fps=20" in code["openpi: conversion"]


def test_hostile_texts_are_escaped(dataset: Dataset) -> None:
    evil = "<script>alert(1)</script> | a\nb"
    assert dataset.description is not None
    about = {**dataset.description, "source": evil, "task": evil}
    row = Coverage("k", (), (evil,), (1,), (2,), words=evil, leans=True)
    facts = facts_of(dataset, about=about, sentences={"train": {evil: 2}}, knobs={"train": [row]})
    page, text = as_page(facts), as_markdown(facts)
    assert "<script" not in page
    assert "<script" not in text
    assert "| &lt;script&gt;alert(1)&lt;/script&gt; \\| a b | 2 | 0 |" in text
    assert page.count("&lt;script&gt;") >= 4


def test_a_report_on_filtering_goes_into_the_card(dataset: Dataset, tmp_path: Path) -> None:
    cells = [{"cell": "below 0.1", "drawn": 20, "kept": 4}, {"cell": "from 0.1", "drawn": 20, "kept": 17}]
    knobs = [{"knob": "cube.mass", "cells": cells, "leans": True, "words": "cube.mass: filtering leans: 20 % of ..."}]
    knobs.append({"knob": "cube.yaw", "cells": cells, "leans": False, "words": "", "test": {"p": None}})
    shutil.copy(dataset.path / "features.json", tmp_path)
    (tmp_path / "report.json").write_text(json.dumps({"train": {"kept": 21, "knobs": knobs}, "val": {"kept": 3}}))
    assert list(reported(tmp_path)) == ["train"]
    about, statistics = dataset.description, dataset.statistics
    assert about is not None
    assert statistics is not None
    write_card(tmp_path, about=about, statistics=statistics, sentences={"train": {"lift": 21}, "val": {"lift": 3}})
    text = (tmp_path / "README.md").read_text()
    assert "- For 1 of 2 knobs too few episodes were kept or rejected to tell." in text
    assert "- cube.mass: filtering leans: 20 % of ..." in text
    assert "| cube.mass | below 0.1 | 20 | 4 |\n|  | from 0.1 | 20 | 17 |" in text
    assert 'class="behind"' in (tmp_path / "card.html").read_text()


def test_shards_remember_their_sentences_and_demomill_json_does_not_repeat_them(dataset: Dataset) -> None:
    stored = read_json(dataset.path / "demomill.json")["shards"]
    assert all(set(shard) == {"split", "episodes", "steps", "size", "sha256"} for shard in stored.values())


def test_coverage_compares_kept_with_drawn_in_the_same_bins() -> None:
    drawn = [{"a.x": [i / 99, 1.0], "b": ("u", "v")[i % 2], "flag": i < 50} for i in range(100)]
    kept = [draw for i, draw in enumerate(drawn) if i < 50]
    found = {row.knob: row for row in coverage(DrawValues(kept), DrawValues(drawn))}
    assert list(found) == ["a.x[0]", "a.x[1]", "b", "flag"]
    first = found["a.x[0]"]
    assert len(first.edges) == 13
    assert sum(first.drawn) == 100
    assert sum(first.kept) == 50
    assert first.kept[6:] == (first.kept[6], 0, 0, 0, 0, 0)
    assert all(k <= d for k, d in zip(first.kept, first.drawn, strict=True))
    assert found["a.x[1]"].drawn == (100,)
    assert (found["b"].names, found["b"].kept, found["b"].drawn) == (("u", "v"), (25, 25), (50, 50))
    assert found["flag"].kept == (0, 50)
    alone = {row.knob: row for row in coverage(DrawValues(kept))}
    assert alone["b"].drawn == ()


def test_draws_become_one_level() -> None:
    draw = {"a": [1, [2.5]], "b": {"c": "x"}, "d": True, "e": None, "f": np.float64(2.0)}
    assert flat(draw) == {"a[0]": 1.0, "a[1][0]": 2.5, "b.c": "x", "d": "True", "f": 2.0}

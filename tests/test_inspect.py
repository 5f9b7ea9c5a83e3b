"""`demomill inspect`: what is planted is found and named, a clean dataset raises no alarm, foreign ones are read."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demomill
from datagen import example
from datagen.inspection.findings import KINDS
from datagen.inspection.inspect_dataset import InspectConfig, inspect_dataset
from datagen.inspection.result import InspectResult
from datagen.rlds_reader import open_dataset
from datagen.rlds_writer import encode_jpeg
from datagen.tfrecord import read_records, write_record
from sim.errors import UserError
from tests.foreign_layouts import write_foreign
from tests.small_data import write_dataset

LENGTHS = (14, 17, 12, 16, 13, 15, 18, 12, 14, 16, 13, 15, 17, 12)
Features = dict[str, Any]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("clean"), lengths=LENGTHS, val_lengths=(13, 15), seed=3)


def look(folder: Path, page: Path, **changes: Any) -> InspectResult:
    return inspect_dataset(InspectConfig(folder, html=page / "page.html", **changes))


def plant(folder: Path, changes: dict[int, Callable[[Features], None]], *, split: str = "train") -> None:
    """Change the stored features of some episodes of a dataset with one shard per split."""
    path = open_dataset(folder).shard_path(split, 0)
    payloads = list(read_records(path))
    with path.open("wb") as stream:
        for row, payload in enumerate(payloads):
            features = dict(example.decode(payload, where="planted"))
            changes.get(row, lambda features: None)(features)
            write_record(stream, example.encode(features))


def rows(features: Features, key: str, width: int) -> np.ndarray:
    values: np.ndarray = features[f"steps/{key}"].reshape(-1, width)
    return values


def assign(key: str, width: int, where: Any, value: float) -> Callable[[Features], None]:
    def change(features: Features) -> None:
        rows(features, key, width)[where] = value

    return change


def still_gripper(features: Features) -> None:
    rows(features, "action", 7)[:, 6] = 1.0


def frozen_picture(features: Features) -> None:
    pictures = features["steps/observation/image"]
    pictures[3:10] = [pictures[3]] * 7


def frozen_state(features: Features) -> None:
    for key, width in (("observation/state", 8), ("observation/joint_position", 7)):
        rows(features, key, width)[4:11] = rows(features, key, width)[4]


def black(features: Features) -> None:
    features["steps/observation/image"][5] = encode_jpeg(np.zeros((64, 64, 3), np.uint8))


def broken(features: Features) -> None:
    features["steps/observation/image"][0] = b"\xff\xd8 no picture"


def blank(features: Features) -> None:
    features["steps/language_instruction"] = [b"  "] * len(features["steps/language_instruction"])


def cut(features: Features) -> None:
    features["steps/is_last"][:] = 0


def test_a_clean_dataset_raises_no_alarm(clean: Path, tmp_path: Path) -> None:
    for seed in range(4):
        folder = clean if not seed else write_dataset(tmp_path / str(seed), lengths=LENGTHS, seed=seed)
        result = look(folder, tmp_path)
        assert result.findings == ()
        assert result.suspicious == {}
        assert result.sample.startswith("All ")


def test_every_planted_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", lengths=LENGTHS, val_lengths=(13, 15), seed=3)
    first = next(read_records(open_dataset(folder).shard_path("train", 0)))
    plant(
        folder,
        {
            1: assign("action", 7, (4, 1), 3.0),
            2: assign("observation/state", 8, (6, slice(3, 7)), 0.9),
            3: frozen_picture,
            4: still_gripper,
            5: blank,
            6: frozen_state,
            7: assign("action", 7, (2, 0), np.nan),
            8: black,
            9: broken,
            10: cut,
        },
    )
    plant(folder, {1: lambda features: features.update(example.decode(first, where="first"))}, split="val")
    found = {(f.kind, f.split, f.episode): f.reason for f in look(folder, tmp_path).findings}
    assert found == {
        ("outlier action", "train", 1): found["outlier action", "train", 1],
        ("bad quaternion", "train", 2): "observation/state[3:7] has the norm 1.8 at step 6",
        ("frozen sensor", "train", 3): ("observation/image stays the same from step 3 to 9 while the actions move"),
        ("constant gripper", "train", 4): "the gripper's action never changes",
        ("missing sentence", "train", 5): "language_instruction is blank in all steps",
        ("frozen sensor", "train", 6): "the state stays the same from step 4 to 10 while the actions move",
        ("not finite", "train", 7): "action is not finite, first at step 2",
        ("black image", "train", 8): "observation/image is black at step 5",
        ("broken image", "train", 9): found["broken image", "train", 9],
        ("incomplete", "train", 10): "is_last must stand at the last step (12) alone; no step has it",
        ("duplicate", "val", 1): "actions and states equal those of train 0; a leak from train into val",
    }
    assert found["outlier action", "train", 1].startswith("action[y] is 3 at step 4, ")
    assert "robust standard deviations from the median" in found["outlier action", "train", 1]
    assert "observation/image at step 0 cannot be decoded" in found["broken image", "train", 9]
    assert {kind for kind, _, _ in found} | {"unreadable"} == set(KINDS)


def test_more_ways_to_be_incomplete(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", lengths=LENGTHS, seed=3)

    def early(features: Features) -> None:
        features["steps/is_terminal"][4] = 1

    def twice(features: Features) -> None:
        features["steps/is_first"][[0, 5]] = 1

    def short(features: Features) -> None:
        for key in [key for key in features if key.startswith("steps/")]:
            width = max(len(features[key]) // LENGTHS[2], 1)
            features[key] = features[key][:width]

    plant(folder, {0: early, 1: twice, 2: short})
    told = {(f.episode, f.reason) for f in look(folder, tmp_path).findings}
    assert (0, "is_terminal stands at step 4, before the last (13)") in told
    assert (1, "is_first must stand at the first step (0) alone; steps [0, 5] have it") in told
    assert (2, "it has 1 step") in told
    assert {f[0] for f in told} == {0, 1, 2}


def test_what_is_common_is_remarked_once_and_not_called_suspicious(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", lengths=LENGTHS, seed=3)

    def slow_camera(features: Features) -> None:
        pictures = features["steps/observation/image"]
        pictures[:] = [pictures[5 * (step // 5)] for step in range(len(pictures))]
        still_gripper(features)

    plant(folder, dict.fromkeys(range(len(LENGTHS)), slow_camera))
    result = look(folder, tmp_path)
    assert [f for f in result.findings if f.split == "train"] == []
    assert "observation/image repeats itself 4 times in a row in a usual episode" in " ".join(result.remarks)
    assert "The gripper never moves in 14 of 15 episodes." in result.remarks


def test_a_damaged_shard_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", lengths=LENGTHS, val_lengths=(13, 15), seed=3)
    path = open_dataset(folder).shard_path("train", 0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    result = look(folder, tmp_path)
    assert result.suspicious == {"unreadable": 1}
    (finding,) = result.findings
    assert finding.episode == result.episodes["train"] < len(LENGTHS)
    assert "is damaged: record" in finding.reason
    assert f"The {len(LENGTHS) - finding.episode - 1} wanted after it were not read." in finding.reason
    assert result.episodes["val"] == 2
    assert result.sample == f"{finding.episode + 2} of 16 episodes; {14 - finding.episode} could not be read."
    path.unlink()
    assert "does not exist" in look(folder, tmp_path).findings[0].reason
    open_dataset(folder).shard_path("val", 0).unlink()
    with pytest.raises(UserError, match=r"No episode of .* could be read"):
        look(folder, tmp_path)


def test_the_numbers_are_those_of_the_data(clean: Path, tmp_path: Path) -> None:
    result = look(clean, tmp_path)
    episodes = [e for split in ("train", "val") for e in open_dataset(clean).episodes(split)]
    actions = np.concatenate([e.steps["action"] for e in episodes]).astype(np.float64)
    for index, row in enumerate(result.actions["action"]):
        values = actions[:, index]
        assert row["count"] == len(values)
        for name, expected in (
            ("mean", values.mean()),
            ("std", values.std()),
            ("min", values.min()),
            ("max", values.max()),
            ("q01", np.quantile(values, 0.01)),
            ("q99", np.quantile(values, 0.99)),
        ):
            assert row[name] == pytest.approx(expected, abs=1e-12), name
        assert sum(row["histogram"]["counts"]) == len(values)
    assert result.exact
    assert [row["name"] for row in result.actions["action"]][-1] == "gripper"
    assert dict(result.sentences) == {
        text: sum(e.texts()[0] == text for e in episodes) for text in {e.texts()[0] for e in episodes}
    }
    assert result.lengths["median"] == np.median([e.length for e in episodes])
    assert result.steps == {"train": sum(LENGTHS), "val": 28}
    assert sum(result.lengths["histogram"]["counts"]) == 16


def test_a_sample_is_what_it_says(clean: Path, tmp_path: Path) -> None:
    result = look(clean, tmp_path, episodes=5)
    assert sum(result.episodes.values()) == 5
    assert result.sample == "A sample: 5 of 16 episodes, drawn at random from all splits."
    assert result.sample in (tmp_path / "page.html").read_text()
    again = look(clean, tmp_path, episodes=5)
    assert again == result
    assert look(clean, tmp_path, episodes=5, seed=1).steps != result.steps
    assert look(clean, tmp_path, episodes=99).sample == "All 16 episodes."


def test_records_that_are_not_wanted_are_passed_over(clean: Path) -> None:
    path = open_dataset(clean).shard_path("train", 0)
    every = list(read_records(path))
    assert list(read_records(path, wanted={0, 3, 13})) == [every[0], every[3], every[13]]
    assert list(read_records(path, wanted=frozenset())) == []


def test_equal_datasets_give_equal_pages(clean: Path, tmp_path: Path) -> None:
    pages = []
    for name in "ab":
        look(clean, tmp_path / name)
        pages.append((tmp_path / name / "page.html").read_text().replace(str(tmp_path / name), ""))
    assert pages[0] == pages[1]


def test_the_page_needs_nothing_else_and_shows_everything(clean: Path, tmp_path: Path) -> None:
    result = look(clean, tmp_path)
    page = result.page.read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count('class="way"') > 10 * 2 * 10
    assert page.count("data:image/jpeg;base64,") == 6 * 7
    assert page.count("<figcaption>from above") == 10
    assert page.count('class="hist"') == 1 + 7 + 8 + 7
    for text, count in result.sentences:
        assert f'<td class="wrap">{text}</td><td>{count}</td>' in page


def test_hostile_texts_are_escaped_everywhere(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", lengths=LENGTHS, seed=3)
    evil = "<script>alert(1)</script>[bold]x[/nope]"

    def hostile(features: Features) -> None:
        features["steps/language_instruction"] = [evil.encode()] * len(features["steps/language_instruction"])
        features["episode_metadata/task"] = [evil.encode()]
        features["episode_metadata/draw"] = [json.dumps({evil: 1.0, "knob": evil}).encode()]

    plant(folder, dict.fromkeys(range(len(LENGTHS)), hostile))
    result = look(folder, tmp_path)
    page = result.page.read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") > 5
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(result)
    assert evil in console.export_text()


def test_draws_and_what_was_kept_of_them(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", lengths=LENGTHS, seed=3)

    def drew(number: int) -> Callable[[Features], None]:
        draw = {"cube.position": [number / 10, 0.0], "table.texture": ("wood", "plain")[number % 2]}
        return lambda features: features.update({"episode_metadata/draw": [json.dumps(draw).encode()]})

    plant(folder, {number: drew(number) for number in range(len(LENGTHS))})
    knobs = {row.knob: row for row in look(folder, tmp_path).coverage["draw"]}
    assert list(knobs) == ["cube.position[0]", "cube.position[1]", "table.texture"]
    assert sum(knobs["cube.position[0]"].kept) == 14
    assert knobs["cube.position[0]"].edges[0] == 0.0
    assert dict(zip(knobs["table.texture"].names, knobs["table.texture"].kept, strict=True)) == {"plain": 7, "wood": 7}
    cells = [{"cell": "below 0.5", "drawn": 20, "kept": 5}, {"cell": "from 0.5", "drawn": 20, "kept": 18}]
    told = {"knob": "cube.mass", "cells": cells, "leans": True, "words": "cube.mass: filtering leans <much>."}
    (folder / "report.json").write_text(json.dumps({"train": {"kept": 23, "knobs": [told]}, "val": {}}))
    result = look(folder, tmp_path)
    assert [row.drawn for row in result.filtered["train"]] == [(20, 20)]
    page = result.page.read_text()
    assert "cube.mass: filtering leans &lt;much&gt;." in page
    assert 'class="behind"' in page
    (folder / "report.json").write_text(json.dumps({"train": {"knobs": [{}]}}))
    with pytest.raises(UserError, match=r"report\.json is damaged"):
        look(folder, tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/does/not/exist"], "is no folder"),
        (["EMPTY"], "holds no RLDS dataset"),
        (["DATA", "--episodes", "0"], "Allowed: 1 or more"),
        (["DATA", "--html", "DATA/page.html"], "lies in the dataset's own folder"),
    ],
)
def test_faults_of_the_user_are_one_paragraph(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = sorted(clean.iterdir())
    (tmp_path / "empty").mkdir()
    given = [word.replace("DATA", str(clean)).replace("EMPTY", str(tmp_path / "empty")) for word in words]
    assert demomill.main(["inspect", *given]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert sorted(clean.iterdir()) == before


def test_the_command_line_prints_the_whole_result(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demomill.main(["inspect", str(clean.parent), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["episodes"] == {"train": 14, "val": 2}
    assert printed["page"] == "runs/inspect/squares-1.0.0.html"
    assert (tmp_path / printed["page"]).is_file()
    assert demomill.main(["inspect", str(clean)]) == 0
    text = capsys.readouterr().out
    assert "No suspicious episode." in text
    assert "gripper" in text


def test_an_unread_feature_is_named(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path, "lab_robot")
    stored = json.loads((folder / "features.json").read_text())
    steps = stored["featuresDict"]["features"]["steps"]["sequence"]["feature"]["featuresDict"]["features"]
    steps["many"] = {"pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence", "sequence": {}}
    steps["half"] = {"pythonClassName": "x.Tensor", "tensor": {"shape": {}, "dtype": "bfloat16"}}
    (folder / "features.json").write_text(json.dumps(stored))
    result = look(folder, tmp_path)
    assert "steps/many is a Sequence, which is not read." in result.not_found
    assert "steps/half is a Tensor, which is not read." in result.not_found
    with pytest.raises(UserError, match="which is not read"):
        open_dataset(folder)

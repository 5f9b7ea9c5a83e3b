"""What a careless user types, over the whole command line: one paragraph, exit 2, nothing written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import demomill
from policies.expert import SHIPPED

EXPERT = SHIPPED / "lift_cube-v1"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the paragraph that a command is refused with."""
    assert demomill.main(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("demomill: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["doctor", "--timeout", "nan"], "timeout = nan is not allowed"),
        (["doctor", "--folder", "absent"], "folder = absent is no folder"),
        (["compare", "a", "b", "--alpha", "nan"], "alpha = nan is not allowed"),
        (["compare", "a", "b", "--margin", "-1"], "margin = -1.0 is not allowed. Allowed: above 0 and below 1"),
        (["evaluate-expert", "lift_cube", "--seed", str(2**64)], "whole numbers of less than 64 bits"),
        (["evaluate-expert", "lift_cube", "--episodes", "0"], "episodes = 0 is not allowed"),
        (["train-expert", "lift_cube", "--out", ""], "out is empty"),
        (["train-expert", "lift_cube", "--preset", "trian"], "no randomization preset 'trian'"),
        (["bench", "random", "--out="], "out is empty"),
        (["bench"], "demomill bench expert:lift_cube"),
        (["bench", ""], "The policy has no name"),
        (["view", ""], "runs is empty"),
        (["view", "absent"], "absent does not exist. Name the folder of a run"),
        (["inspect", ""], "dataset is empty"),
        (["check-policy", "random", "--image-size", "0"], "image_size = 0 is not allowed"),
        (["check-engine", "mujoco", "--worlds", "0"], "worlds = [0] is not allowed"),
        (["check-engine", "mujoco", "--seconds", "-1"], "seconds = -1.0 is not allowed"),
        (["serve", "random", "--max-message-mb", "nan"], "max_message_mb = nan"),
        (["serve", "ws://127.0.0.1:99999"], "is no address of a server"),
        (["transfer", "lift_cube", "--episodes", "0"], "episodes = 0 is not allowed"),
    ],
)
def test_what_is_typed_wrong_is_told_by_name(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in told(capsys, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["train-expert", "lift_cube", "--out", "FILE"],
        ["train-expert", "lift_cube", "--out", "FILE/below"],
        ["bench", "random", "--out", "FILE/run"],
        ["transfer", "lift_cube", "--out", "FILE"],
        ["generate", "JOB", "--out", "FILE"],
        ["overnight", "JOB", "--out", "FILE"],
    ],
)
def test_a_file_is_no_folder_for_results(
    words: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, job = tmp_path / "results", tmp_path / "job.toml"
    file.write_text("mine")
    job.write_text('task = "lift_cube"\n')
    typed = [word.replace("FILE", str(file)).replace("JOB", str(job)) for word in words]
    assert f"{file} is a file" in told(capsys, *typed)
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert "no permission" in told(capsys, "train-expert", "lift_cube", "--out", str(tmp_path / "expert"))


def test_a_page_cannot_be_a_folder_nor_lie_below_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for verb, option in (("view", "--out"), ("compare", "--html"), ("inspect", "--html")):
        runs = ["a", "b"] if verb == "compare" else ["a"]
        assert "is a folder. Name a file in it" in told(capsys, verb, *runs, option, str(tmp_path))
        assert f"{file} is a file" in told(capsys, verb, *runs, option, str(file / "page.html"))


def test_a_name_that_no_file_system_takes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "File name too long" in told(capsys, "view", "x" * 300)


def damage(how: str, folder: Path) -> None:
    """Copy the shipped expert and damage the copy."""
    shutil.copytree(EXPERT, folder)
    record = json.loads((folder / "checkpoint.json").read_text())
    if how == "weights gone":
        (folder / "model.safetensors").unlink()
    elif how == "weights cut":
        os.truncate(folder / "model.safetensors", 1000)
    elif how == "record cut":
        os.truncate(folder / "checkpoint.json", 200)
    elif how == "record of another kind":
        (folder / "checkpoint.json").write_text(json.dumps(record | {"kind": "vla"}))
    elif how == "record without digest":
        (folder / "checkpoint.json").write_text(json.dumps({"kind": "expert"}))
    elif how == "record a list":
        (folder / "checkpoint.json").write_text("[1]")
    elif how == "record gone":
        (folder / "checkpoint.json").unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("weights gone", "does not exist. An expert is"),
        ("weights cut", "is not the file that its record describes"),
        ("record cut", "is not JSON"),
        ("record of another kind", "holds a checkpoint of kind 'vla', not an expert"),
        ("record without digest", "lacks sha256, task, convention"),
        ("record a list", "holds a checkpoint of kind None, not an expert"),
        ("record gone", "is no expert: there is no checkpoint.json"),
    ],
)
def test_a_damaged_expert_is_told(how: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "ein Ordner mit ü"
    damage(how, folder)
    assert message in told(capsys, "evaluate-expert", str(folder), "--json")


def test_a_checkpoint_of_another_kind_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "vla"
    damage("record of another kind", folder)
    before = (folder / "model.safetensors").read_bytes()
    assert "holds a checkpoint of another kind, 'vla'" in told(
        capsys, "train-expert", "lift_cube", "--out", str(folder)
    )
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_key_file_that_is_no_text_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfe\x00")
    assert "holds no API key" in told(capsys, "serve", "random", "--port", "0", "--api-key-file", str(file))


@pytest.mark.parametrize(("mark", "what"), [("start.json", "a benchmark run"), ("overnight.json", "an overnight job")])
def test_the_folder_of_another_result_is_not_written_into(
    mark: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / mark).write_text("{}")
    assert f"already holds {what}" in told(capsys, "train-expert", "lift_cube", "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [mark]


@pytest.mark.parametrize("verb", ["ablate", "overnight"])
def test_a_damaged_journal_is_told(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knobs = "[[knobs]]\nsetting = 'vla.steps'\nvalues = [1]\n" if verb == "ablate" else ""
    job, out = tmp_path / "job.toml", tmp_path / "night"
    job.write_text(f"task = 'lift_cube'\nout = '{out}'\n{knobs}")
    out.mkdir()
    journal = out / ("study.json" if verb == "ablate" else "overnight.json")
    for content, message in (("{}", "lacks"), ("[]", "lacks everything"), ("{", "is not JSON")):
        journal.write_text(content)
        assert message in told(capsys, verb, str(job))
        assert journal.read_text() == content

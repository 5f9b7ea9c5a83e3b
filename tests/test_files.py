"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from sim.errors import UserError, nearest, unknown
from sim.files import digest_json, read_json, sha256, write_bytes, write_json, written_whole


def break_off(path: Path, error: Exception) -> None:
    """Begin to write `path` and fail."""
    with written_whole(path) as beside:
        beside.write_bytes(b"ne")
        raise error


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_bytes(path, b"abc")
    assert path.read_bytes() == b"abc"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="half way"):
        break_off(path, RuntimeError("half way"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with written_whole(path) as beside:
        beside.write_bytes(b"new")
        assert not path.exists()
        assert beside.parent == path.parent, "another file system could not be renamed to"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told(tmp_path: Path, number: int) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(UserError, match="The disk is full") as told:
        break_off(path, OSError(number, "No space left on device"))
    assert str(path) in str(told.value)
    assert path.read_bytes() == b"old"


def test_other_faults_of_the_system_are_not_called_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written: File exists"):
        write_bytes(tmp_path / "file" / "below", b"x")


def test_json_is_sorted_and_ends_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [1.5, None, "ü"]})
    assert path.read_text().startswith('{\n "a"')
    assert path.read_text().endswith("}\n")
    assert read_json(path) == {"b": 1, "a": [1.5, None, "ü"]}


def test_nan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is not JSON"):
        read_json(path)


def test_absent_or_unreadable_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digests_do_not_depend_on_key_order() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json(json.loads('{"b": [1, 2], "a": 1}'))
    assert digest_json({"a": 1}) != digest_json({"a": 2})
    assert len(digest_json({})) == 16


def test_errors_name_the_nearest() -> None:
    assert nearest("lift_cub", ["lift_cube", "stack"]) == " Did you mean 'lift_cube'?"
    assert nearest("xyz", ["lift_cube"]) == ""
    told = str(unknown("task", "lift_cub", ["stack", "lift_cube"], hint="Type: demomill tasks"))
    assert told == (
        "Unknown task 'lift_cub'. Did you mean 'lift_cube'? Allowed: lift_cube, stack. Type: demomill tasks"
    )
    assert "Allowed: none." in str(unknown("task", "a", []))

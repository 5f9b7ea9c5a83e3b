"""A dataset verified: what is damaged is named, and made again byte for byte."""

import json
import shutil

import pytest

from datagen.filters import FilterConfig
from datagen.generate import generate
from datagen.progress import silent
from datagen.tfrecord import read_records, write_record
from datagen.verify import VerifyConfig, verify
from sim.errors import UserError
from sim.files import read_json, write_json
from tests.datagen_doubles import ANNOTATOR, RENDERER, ToyEnv, ToyPolicy, digests
from tests.small_data import write_dataset
from tests.test_datagen_generate import config, run


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference")
    return run(config(out, failures=3))


@pytest.fixture
def copied(reference, tmp_path):
    shutil.copytree(reference.path.parent.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / reference.path.relative_to(reference.path.parent.parent)


def checked(path, policy=None, **options):
    found = verify(
        VerifyConfig(path, **options), load_policy=lambda name: policy or ToyPolicy(), worlds=lambda n: ToyEnv(n)
    )
    return found, {check.name: check for check in found.checks}


def test_a_whole_dataset_is_in_order(reference):
    found, checks = checked(reference.path, regenerate=6)
    assert found.ok
    assert all(check.ok for check in checks.values()), found
    assert "every SHA-256 as the manifest says" in checks["files"].found
    assert checks["counts"].found.startswith("train 21, val 3, failures 3 episodes")
    assert checks["made again"].found.startswith("6 episodes")
    assert "in order" in found.__rich__()


def flip(path, where=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing"])
def test_a_damaged_shard_is_named_and_repaired(reference, copied, damage):
    shard = copied / "lift_cube_v1-train.tfrecord-00002-of-00006"
    if damage == "flip":
        flip(shard)
    elif damage == "truncate":
        shard.write_bytes(shard.read_bytes()[:-100])
    else:
        shard.unlink()
    found, checks = checked(copied)
    assert not found.ok
    assert shard.name in checks["files"].found
    assert "--repair" in checks["files"].found
    assert checks["made again"].ok
    out = copied.parent.parent
    repaired = run(config(out, failures=3, repair=True))
    assert repaired.repaired == (shard.name,)
    assert repaired.already_finished
    assert digests(copied) == digests(reference.path)
    assert checked(copied)[0].ok


def test_a_failure_and_several_shards_are_repaired_at_once(reference, copied):
    for name in ("failures.tfrecord-00000-of-00001", "val.tfrecord-00000-of-00001", "train.tfrecord-00005-of-00006"):
        flip(copied / f"lift_cube_v1-{name}", 0.9)
    assert len(run(config(copied.parent.parent, failures=3, repair=True)).repaired) == 3
    assert digests(copied) == digests(reference.path)


def test_what_cannot_be_repaired_is_refused(copied):
    flip(copied / "episodes.json")
    with pytest.raises(UserError, match=r"damaged in episodes\.json"):
        run(config(copied.parent.parent, failures=3, repair=True))


class Drifting(ToyEnv):
    """A world whose physics is another one than it was."""

    def observe(self, ids):
        found = super().observe(ids)
        found.state[:, 0] += 1e-3 * self._steps[ids]
        return found


def test_a_rebuilt_shard_with_other_bytes_does_not_replace_anything(copied):
    shard = copied / "lift_cube_v1-train.tfrecord-00002-of-00006"
    flip(shard)
    before = digests(copied)
    job = config(copied.parent.parent, failures=3, repair=True)
    with pytest.raises(UserError, match="other bytes than before"):
        generate(job, policy=ToyPolicy(), progress=silent, worlds=lambda: Drifting(8), renderer=RENDERER)
    assert digests(copied) == before


def test_what_differs_is_named(reference):
    _, checks = checked(reference.path, policy=ToyPolicy("other"))
    assert checks["made again"].ok is False
    assert "metadata expert" in checks["made again"].found
    found = verify(VerifyConfig(reference.path), load_policy=lambda name: ToyPolicy(), worlds=Drifting)
    made = {check.name: check for check in found.checks}["made again"]
    assert made.ok is False
    assert "observation/state from step 1 on, by up to" in made.found
    other = ToyPolicy()
    other.spec = type(other.spec)("toy", other.spec.convention, other.spec.inputs, digest="e" * 16)
    _, checks = checked(reference.path, policy=other)
    assert checks["made again"].ok is None
    assert f"expert was {'d' * 16}, is {'e' * 16}" in checks["made again"].found


def test_other_frames_are_told_apart_from_other_states(copied):
    about = read_json(copied / "demomill.json")
    about["renderer"] = ANNOTATOR + "Other"
    folder = copied.parent / "2.0.0"
    shutil.copytree(copied, folder)
    about["renderer"] = "llvmpipe of another machine"
    write_json(folder / "demomill.json", about)
    _, checks = checked(folder, regenerate=1)
    assert not checks["files"].ok
    assert checks["made again"].ok is None
    assert "equal but for the frames, drawn by llvmpipe of another machine" in checks["made again"].found


def test_seeds_that_two_splits_share_and_missing_marks_are_found(copied):
    val = copied / "lift_cube_v1-val.tfrecord-00000-of-00001"
    train = copied / "lift_cube_v1-train.tfrecord-00000-of-00006"
    payloads = list(read_records(train))[:3]
    with val.open("wb") as stream:
        for payload in payloads:
            write_record(stream, payload)
    (copied / "manifest.json").unlink()
    about = read_json(copied / "demomill.json")
    about.pop("shards")
    write_json(copied / "demomill.json", about)
    found, checks = checked(copied, regenerate=0)
    assert not found.ok
    assert checks["files"].ok is None
    assert "3 of 27 episodes have a seed that another episode has too" in checks["seeds"].found


def test_changed_statistics_are_found(copied):
    path = copied / "dataset_statistics.json"
    stored = read_json(path)
    stored["action"]["mean"][0] += 1.0
    write_json(path, stored)
    _, checks = checked(copied, regenerate=0)
    assert checks["statistics"].ok is False
    assert "dataset_statistics.json" in checks["files"].found


def test_a_dataset_of_others_is_checked_as_far_as_it_tells(tmp_path):
    folder = write_dataset(tmp_path)
    (folder / "demomill.json").unlink()
    found, checks = checked(folder)
    assert checks["files"].ok is None
    assert checks["counts"].ok
    assert checks["schema"].ok
    assert checks["made again"].ok is None
    flip(next(folder.glob("*train*")))
    found, checks = checked(folder)
    assert not found.ok
    assert "record" in checks["counts"].found


def test_repair_of_a_growing_dataset_drops_what_is_damaged(reference, tmp_path):
    calls = []

    def stop(progress):
        calls.append(progress)
        if progress.written >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path, failures=3), progress=stop)
    work = tmp_path / "lift_cube_v1" / "1.0.0.incomplete" / "work"
    flip(work / "shards" / "train-00001.tfrecord")
    flip(work / "units" / "train-000001.npz")
    with pytest.raises(UserError, match="--repair"):
        run(config(tmp_path, failures=3))
    run(config(tmp_path, failures=3, repair=True))
    assert digests(tmp_path) == digests(reference.path.parent.parent)


def test_measurements_and_job_come_back_from_the_description(reference):
    from datagen.job import job_config

    job = read_json(reference.path / "demomill.json")["job"]
    again = job_config(job)
    assert again.episodes == 21
    assert again.filters == FilterConfig()
    assert again.failures == 3
    assert json.dumps(job["renderer"]) == f'"{RENDERER}"'

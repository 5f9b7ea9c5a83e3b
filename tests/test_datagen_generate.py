import contextlib
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datagen import journal as journal_module
from datagen import rlds_writer
from datagen.disk import require_space
from datagen.filters import FilterConfig
from datagen.generate import GenerateConfig, generate
from datagen.progress import silent
from datagen.rlds_reader import open_dataset
from sim.errors import UserError
from sim.streams import split_of
from tests.datagen_doubles import RENDERER, TASK, ToyEnv, ToyPolicy, digests


def config(out, **changes):
    base = {
        "task": "lift_cube",
        "out": Path(out),
        "episodes": 21,
        "val_episodes": 3,
        "seed": 3,
        "image_size": 32,
        "shard_episodes": 4,
        "unit_episodes": 8,
        "workers": 0,
        "appearance": "step",
        "perturb_share": 0.4,
        "perturb_std": 0.2,
    }
    return GenerateConfig(**{**base, **changes})


def run(job, *, policy=None, progress=silent, **env):
    return generate(
        job,
        policy=policy or ToyPolicy(),
        progress=progress,
        worlds=lambda: ToyEnv(job.unit_episodes, **env),
        renderer=RENDERER,
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference")
    return out, run(config(out))


def test_exactly_the_asked_episodes_are_kept_in_order_of_their_seeds(reference):
    _, result = reference
    assert result.episodes == {"train": 21, "val": 3}
    dataset = open_dataset(result.path)
    assert dataset.splits == {"train": (4, 4, 4, 4, 4, 1), "val": (3,)}
    seeds = [e.metadata["seed"] for e in dataset.episodes("train")]
    assert seeds == sorted(seeds)
    assert {split_of(s) for s in seeds} == {"train"}
    assert {split_of(e.metadata["seed"]) for e in dataset.episodes("val")} == {"validation"}


def test_steps_follow_rlds(reference):
    dataset = open_dataset(reference[1].path)
    for episode in dataset.episodes("train"):
        count = episode.length
        assert episode.steps["is_first"].tolist() == [True] + [False] * (count - 1)
        assert episode.steps["is_last"].tolist() == [False] * (count - 1) + [True]
        assert not episode.steps["is_terminal"].any()
        assert (episode.steps["discount"] == 1.0).all()
        assert episode.steps["observation/state"].shape == (count, 8)
        assert episode.steps["action"].dtype == np.float32
        assert episode.images().shape == (count, 32, 32, 3)
        assert len(set(episode.texts())) == 1
        # The state before the first action is the start; each row's state is the sum of the actions before it.
        np.testing.assert_array_equal(episode.steps["observation/state"][0], 0.0)


def test_metadata_says_where_an_episode_comes_from(reference):
    dataset = open_dataset(reference[1].path)
    episodes = list(dataset.episodes("train"))
    first = episodes[0].metadata
    assert first["task"] == "lift_cube-v1"
    assert first["task_digest"] == TASK.digest()
    assert first["source"] == "synthetic"
    assert first["engine"] == "toy 1"
    assert first["expert_digest"] == "d" * 16
    assert first["template"] in TASK.templates
    assert first["success"] is True
    assert set(json.loads(first["draw"])) == set(TASK.draw(first["seed"]))
    assert json.loads(first["measurements"])["contact_force"] == episodes[0].length
    share = np.mean([e.metadata["perturbed"] for e in episodes])
    assert 0.1 < share < 0.8


def test_perturbed_episodes_store_the_clean_action(reference):
    clean = ToyPolicy()
    for episode in open_dataset(reference[1].path).episodes("train"):
        seed = episode.metadata["seed"]
        expected = [np.sin(seed % 97 + t) * 0.04 for t in range(episode.length)]
        np.testing.assert_allclose(episode.steps["action"][:, 0], expected, atol=1e-6)
    assert clean.spec.name == "toy"


def test_description_and_statistics(reference):
    dataset = open_dataset(reference[1].path)
    about, statistics = dataset.description, dataset.statistics
    assert about["source"] == "synthetic"
    assert about["convention"]["image_size"] == 32
    assert about["filters"]["train"]["candidates"] % 8 == 0
    assert about["filters"]["train"]["rejected"]["no success at the end"] > 0
    actions = np.concatenate([e.steps["action"] for e in dataset.episodes("train")])
    assert statistics["action"]["count"] == len(actions)
    np.testing.assert_allclose(statistics["action"]["mean"], actions.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics["action"]["q99"], np.quantile(actions, 0.99, axis=0), atol=1e-6)
    assert statistics["fingerprint"] == about["statistics_fingerprint"] == reference[1].statistics_fingerprint
    for name, shard in about["shards"].items():
        assert rlds_writer.sha256(dataset.path / name) == shard["sha256"]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_workers_changes_no_byte(reference, tmp_path, workers):
    out, result = reference
    run(config(tmp_path, workers=workers))
    assert digests(tmp_path) == digests(out)
    assert result.path.exists()


def test_the_visual_draw_of_a_step_keeps_the_colour_that_is_named(reference, tmp_path):
    from datagen.render_shards import RenderSettings, _frames
    from datagen.unit_files import load_episodes, save_unit
    from datagen.units import UnitOptions, simulate_unit
    from sim.rollouts import RolloutOptions

    options = UnitOptions(TASK, "train", RolloutOptions(stop_held=2), FilterConfig())
    unit = simulate_unit(ToyEnv(), ToyPolicy(), range(8), options=options)
    save_unit(tmp_path / "u.npz", unit)
    episode = load_episodes(tmp_path / "u.npz")[0]
    seen = []

    class Spy:
        def render(self, positions, values, *, camera, noise_seed):
            seen.append((dict(values), noise_seed))
            return np.zeros((8, 8, 3), np.uint8)

    settings = RenderSettings(TASK.id, "train", "step", 8, ("image",), {})
    list(_frames(episode, settings, task=TASK, renderer=Spy(), camera="image"))
    assert len({v["cube.color"] for v, _ in seen}) == 1
    assert len({v["table.color"] for v, _ in seen}) == len(seen)
    assert len({v["cube.mass"] for v, _ in seen}) == 1
    assert len({noise for _, noise in seen}) == len(seen)


def test_a_finished_job_is_not_done_again(reference):
    out, result = reference
    before = digests(out)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = run(config(out, workers=2))
    assert again.already_finished
    assert again.episodes == result.episodes
    assert digests(out) == before
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps


def test_another_job_in_the_same_folder_is_refused_with_the_keys(reference):
    out, _ = reference
    before = digests(out)
    with pytest.raises(UserError) as caught:
        run(config(out, seed=4, filters=FilterConfig(min_steps=3)), policy=ToyPolicy("other"))
    text = str(caught.value)
    assert "seed: there 3, asked 4" in text
    assert "filters.min_steps: there 2, asked 3" in text
    assert "expert: there 'toy', asked 'other'" in text
    assert "episodes:" not in text.replace("val_episodes", "")
    assert digests(out) == before


def test_a_finished_dataset_that_lost_a_shard_is_told(tmp_path):
    path = run(config(tmp_path)).path
    next(path.glob("*.tfrecord*")).unlink()
    with pytest.raises(UserError, match=r"damaged now: lift_cube_v1-.* is missing"):
        run(config(tmp_path))


def _stop_after(count):
    calls = []

    def show(progress):
        calls.append(progress)
        if len(calls) == count:
            raise KeyboardInterrupt

    return show


@pytest.mark.parametrize("after", [1, 2, 4, 6, 8])
def test_an_interrupted_job_continues_to_the_same_bytes(reference, tmp_path, after):
    out, _ = reference
    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path), progress=_stop_after(after))
    assert not (tmp_path / "lift_cube_v1" / "1.0.0").exists()
    with pytest.raises(UserError, match="not finished"):
        open_dataset(tmp_path)
    run(config(tmp_path, workers=1))
    assert digests(tmp_path) == digests(out)


@pytest.mark.parametrize("calls", range(1, 16, 2))
def test_a_crash_while_finishing_continues_to_the_same_bytes(reference, tmp_path, monkeypatch, calls):
    out, _ = reference
    left = [calls]

    def crashing(function):
        def wrapped(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise RuntimeError("killed")
            return function(*args, **kwargs)

        return wrapped

    from datagen import finish as finish_module

    with monkeypatch.context() as patch:
        patch.setattr(finish_module, "write_json", crashing(finish_module.write_json))
        patch.setattr(Path, "rename", crashing(Path.rename))
        patch.setattr(journal_module.shutil, "rmtree", crashing(journal_module.shutil.rmtree))
        patch.setattr(finish_module, "shard_name", crashing(finish_module.shard_name))
        with contextlib.suppress(RuntimeError):
            run(config(tmp_path))
    run(config(tmp_path))
    assert digests(tmp_path) == digests(out)


def test_a_full_disk_is_told_and_nothing_is_lost(reference, tmp_path, monkeypatch):
    out, _ = reference
    written = []

    def full(stream, payload):
        written.append(payload)
        if len(written) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(stream, payload)

    original = rlds_writer.write_record
    monkeypatch.setattr(rlds_writer, "write_record", full)
    with pytest.raises(UserError, match=r"disk is full.*continues where it stopped"):
        run(config(tmp_path))
    work = tmp_path / "lift_cube_v1" / "1.0.0.incomplete" / "work"
    assert [p.name for p in (work / "shards").glob("*.tfrecord")] == ["train-00000.tfrecord"]
    assert not list(work.rglob("*.part"))
    monkeypatch.setattr(rlds_writer, "write_record", original)
    run(config(tmp_path))
    assert digests(tmp_path) == digests(out)


def test_what_cannot_fit_is_refused_before_the_first_episode(tmp_path):
    with pytest.raises(UserError, match="does not fit"):
        run(config(tmp_path, episodes=10**6, image_size=2048))
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="GB"):
        require_space(tmp_path / "not" / "there", 10**18, why="that takes about")


def test_acceptance_that_collapses_stops_with_a_diagnosis(tmp_path):
    with pytest.raises(UserError, match=r"Hardly any episode passes.*no success at the end 24"):
        run(config(tmp_path), failures=1.1)


def test_simulation_errors_are_counted_apart(tmp_path):
    result = run(config(tmp_path, episodes=4, val_episodes=0), errors=0.3)
    assert result.filters["train"]["rejected"]["simulation error"] > 0


def test_two_processes_do_not_share_a_folder(tmp_path):
    def nested(progress):
        with pytest.raises(UserError, match="Another process is generating"):
            run(config(tmp_path))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path), progress=nested)


def test_a_dead_worker_is_told_and_the_job_continues(reference, tmp_path):
    out, _ = reference

    def kill_a_worker(progress):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(UserError, match="worker process that renders frames died"):
        run(config(tmp_path, workers=1), progress=kill_a_worker)
    run(config(tmp_path, workers=2))
    assert digests(tmp_path) == digests(out)


SCRIPT = """
import multiprocessing, os, signal, sys
from tests.test_datagen_generate import config, run

left = int(sys.argv[2])

def kill_myself(progress):
    global left
    left -= 1
    if left == 0:
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    run(config(sys.argv[1], workers=2), progress=kill_myself)
"""


@pytest.mark.parametrize("call", [1, 3, 6, 9])
def test_kill_minus_nine_leaves_a_job_that_continues_and_no_workers(reference, tmp_path, call):
    out, _ = reference
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    data = tmp_path / "data"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, str(script), str(data), str(call)]
    child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL
    workers = [Path("/proc") / pid for pid in child.stdout.split()]
    deadline = time.monotonic() + 10
    while any(_runs(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_runs(worker) for worker in workers)
    assert (data / "lift_cube_v1" / "1.0.0.incomplete").exists()
    run(config(data, workers=1))
    assert digests(data) == digests(out)


def _runs(process):
    """Whether a process lives; one that waits to be reaped does not."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episodes": 0}, "episodes = 0"),
        ({"cameras": ("imgae",)}, "Did you mean 'image'"),
        ({"perturb_share": 1.5}, "Allowed: 0 to 1"),
        ({"workers": -1}, "workers = -1"),
        ({"name": "Lift Cube"}, "lift_cube"),
        ({"version": "1"}, "three numbers"),
        ({"task": "lift_cub"}, "Did you mean"),
    ],
)
def test_wrong_settings_are_refused_in_words(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        run(config(tmp_path, **changes))
    assert not list(tmp_path.iterdir())

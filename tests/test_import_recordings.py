import json

import h5py
import numpy as np
import pytest

from datagen.importing.import_recording import ImportConfig, import_recording
from datagen.mixture import MixConfig, SourceConfig, mix
from datagen.rlds_reader import decode_image, open_dataset
from datagen.verify import VerifyConfig, verify
from sim.conventions import CANONICAL, from_json
from sim.errors import UserError
from tests.foreign_data import motion
from tests.recordings import frames, write_maniskill, write_robomimic

WRITE = {"robomimic": write_robomimic, "maniskill": write_maniskill}
TCP = {"robomimic": 0.0004, "maniskill": 0.0}


def config(recording, out, **changes):
    return ImportConfig(recording, "Lift the cube.", out, "imported", image_size=32, **changes)


@pytest.mark.parametrize("layout", WRITE)
def test_a_recording_becomes_the_canonical_motion_that_it_was_made_from(layout, tmp_path):
    result = import_recording(config(WRITE[layout](tmp_path / "demo.hdf5"), tmp_path))
    assert result.episodes == {"train": 3}
    episodes = list(open_dataset(result.path).episodes("train"))
    for number, episode in enumerate(episodes):
        states, actions = motion(number, steps=len(episode.steps["action"]) + (layout == "maniskill"))
        count = len(episode.steps["action"])
        off = np.linalg.norm(episode.steps["observation/state"][:, :3] - states[:count, :3], axis=1)
        assert np.allclose(off, TCP[layout], atol=1e-6)
        assert np.allclose(episode.steps["observation/state"][:, 3:], states[:count, 3:], atol=1e-5)
        assert np.allclose(episode.steps["action"], actions[:count], atol=1e-5)
        assert episode.texts()[0] == "Lift the cube."
        assert episode.metadata["host"] == result.host
        assert json.loads(episode.metadata["draw"])["recorded.episode"].endswith(f"_{number}")
    assert "agreement with the commands of motion 1.00, of turning 1.00" in result.note
    description = open_dataset(result.path).description
    assert from_json(description["convention"], source="x").rate == CANONICAL.rate
    assert description["source"].startswith("recorded in ")
    assert description["job"]["recording_sha256"]


def test_frames_are_the_recorded_ones_and_maniskills_are_cut_to_the_canonical_view(tmp_path):
    plain = import_recording(config(write_robomimic(tmp_path / "a.hdf5"), tmp_path / "a"))
    cut = import_recording(config(write_maniskill(tmp_path / "b.h5"), tmp_path / "b"))
    first = decode_image(next(open_dataset(plain.path).episodes("train")).steps["observation/image"][3])
    assert np.abs(first.mean() - frames(0, 40)[3].mean()) < 2
    middle = decode_image(next(open_dataset(cut.path).episodes("train")).steps["observation/image"][3])
    wanted = frames(0, 41, size=64)[3][16:48, 16:48].astype(float)
    assert np.corrcoef(middle.mean(-1).ravel(), wanted.mean(-1).ravel())[0, 1] > 0.8
    assert any("middle 32 of 64 pixels" in adapter for adapter in cut.adapters)


def test_an_import_is_a_source_of_a_mixture_and_verifies(tmp_path):
    result = import_recording(config(write_robomimic(tmp_path / "demo.hdf5"), tmp_path, validation=1))
    assert result.episodes == {"train": 2, "val": 1}
    assert result.failed == 1
    report = mix(MixConfig(sources=(SourceConfig(result.path),), samples=10))
    assert report.sources[0].label == "recorded in robosuite (Lift)"
    checked = verify(VerifyConfig(result.path, regenerate=0))
    assert checked.ok, checked.__rich__()
    assert (result.path / "README.md").read_text()


def test_failures_are_left_out_counted_and_kept_when_asked_for(tmp_path):
    recording = write_robomimic(tmp_path / "demo.hdf5")
    assert import_recording(config(recording, tmp_path / "a")).failed == 1
    kept = import_recording(config(recording, tmp_path / "b", failures=True))
    assert (kept.failed, kept.episodes["train"]) == (0, 4)
    flags = [episode.metadata["success"] for episode in open_dataset(kept.path).episodes("train")]
    assert [bool(flag) for flag in flags] == [True, True, True, False]


def test_the_same_import_is_returned_and_another_is_refused(tmp_path):
    recording = write_robomimic(tmp_path / "demo.hdf5")
    first = import_recording(config(recording, tmp_path))
    again = import_recording(config(recording, tmp_path))
    assert again.already_finished
    assert again.episodes == first.episodes
    write_robomimic(recording, episodes=5)
    with pytest.raises(UserError, match="recording_sha256"):
        import_recording(config(recording, tmp_path))


def test_steps_beyond_canonical_limits_are_counted(tmp_path):
    def fast(group):
        actions = group["actions"][:]
        actions[:4, 0] = 0.9
        group["actions"][...] = actions

    result = import_recording(config(write_maniskill(tmp_path / "demo.h5", change=fast), tmp_path))
    assert result.beyond_limits == pytest.approx(4 / 120)
    assert "ask for more than a canonical action" in result.__rich__()


def flipped(name, part, factor):
    def change(group):
        values = group[name][:]
        values[:, part] *= factor
        group[name][...] = values

    return change


def every(change):
    """Spoil all episodes of a file that is written already."""

    def spoil(path):
        with h5py.File(path, "a") as file:
            for group in file["data"].values() if "data" in file else file.values():
                change(group)
        return path

    return spoil


@pytest.mark.parametrize(
    ("layout", "change", "word"),
    [
        ("robomimic", flipped("actions", slice(0, 3), -1), "against its commands"),
        ("robomimic", flipped("actions", slice(3, 6), -1), "turns against its commands"),
        ("maniskill", flipped("actions", slice(3, 6), -1), "turns against its commands"),
        ("robomimic", flipped("actions", slice(6, 7), -1), "opens when it is told to close"),
        ("robomimic", flipped("obs/robot0_eef_quat_site", slice(0, 4), 2), "not unit"),
        ("robomimic", flipped("obs/robot0_eef_pos", slice(0, 3), 1000), "no arm reaches"),
        ("maniskill", flipped("obs/agent/qpos", slice(7, 9), 100), "another range or unit"),
    ],
)
def test_what_the_recordings_own_numbers_contradict_is_refused(layout, change, word, tmp_path):
    recording = every(change)(WRITE[layout](tmp_path / "demo.hdf5"))
    with pytest.raises(UserError, match=word):
        import_recording(config(recording, tmp_path))
    assert not (tmp_path / "imported").exists()


def drop(name):
    def change(group):
        del group[name]

    return change


@pytest.mark.parametrize(
    ("layout", "change", "word"),
    [
        ("robomimic", drop("obs"), "dataset_states_to_obs"),
        ("robomimic", drop("obs/agentview_image"), "agentview_image"),
        ("robomimic", drop("obs/robot0_joint_pos"), "robot0_joint_pos"),
        ("maniskill", drop("obs/sensor_data"), "replay_trajectory"),
        ("maniskill", drop("obs/sensor_param"), "focal length"),
        ("maniskill", drop("env_states"), "record_env_state"),
    ],
)
def test_what_a_recording_lacks_is_named_with_the_command_that_adds_it(layout, change, word, tmp_path):
    recording = WRITE[layout](tmp_path / "demo.hdf5", change=change)
    with pytest.raises(UserError, match=word):
        import_recording(config(recording, tmp_path))


def shorter(group):
    values = group["obs/robot0_eef_pos"][:-3]
    del group["obs/robot0_eef_pos"]
    group["obs/robot0_eef_pos"] = values


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda p: write_robomimic(p, controller={"type": "JOINT_POSITION"}), "JOINT_POSITION"),
        (lambda p: write_robomimic(p, controller={"input_type": "absolute"}), "absolute poses"),
        (lambda p: write_robomimic(p, controller={"output_max": [0.05, 0.1, 0.05, 0.5, 0.5, 0.5]}), "one step"),
        (lambda p: write_robomimic(p, robots=["Sawyer"]), "Sawyer"),
        (lambda p: write_robomimic(p, control_freq=10), "resample = true"),
        (lambda p: write_robomimic(p, change=shorter), "different lengths"),
        (lambda p: write_maniskill(p, mode="pd_joint_pos"), "pd_joint_pos"),
        (lambda p: write_maniskill(p, seeds=2**30 + 2**29), "belongs to the benchmark"),
    ],
)
def test_other_controllers_robots_rates_and_held_out_seeds_are_refused(make, word, tmp_path):
    with pytest.raises(UserError, match=word):
        import_recording(config(make(tmp_path / "demo.hdf5"), tmp_path))


def test_another_rate_is_resampled_when_asked_for(tmp_path):
    result = import_recording(config(write_robomimic(tmp_path / "d.hdf5", control_freq=10), tmp_path, resample=True))
    episode = next(open_dataset(result.path).episodes("train"))
    _, actions = motion(0)
    assert len(episode.steps["action"]) == 80
    assert np.allclose(episode.steps["action"][:, :3].sum(axis=0), actions[:, :3].sum(axis=0), atol=1e-5)


def test_position_only_control_has_no_rotation(tmp_path):
    def still(group):
        group["obs/extra/tcp_pose"][:, 3:] = [0, 1, 0, 0]

    recording = every(still)(write_maniskill(tmp_path / "demo.h5", mode="pd_ee_delta_pos"))
    result = import_recording(config(recording, tmp_path))
    episode = next(open_dataset(result.path).episodes("train"))
    assert (episode.steps["action"][:, 3:6] == 0).all()
    assert np.allclose(episode.steps["action"][:, :3], motion(0, steps=41)[1][:40, :3], atol=1e-6)


def test_files_of_another_kind_are_refused_in_words(tmp_path):
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with pytest.raises(UserError, match="no HDF5 file"):
        import_recording(config(tmp_path / "text.hdf5", tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        import_recording(config(tmp_path / "none.hdf5", tmp_path))
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["episode_0"] = np.zeros(3)
    with pytest.raises(UserError, match="no layout that is read"):
        import_recording(config(tmp_path / "other.hdf5", tmp_path))
    alone = write_maniskill(tmp_path / "alone.h5")
    alone.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"alone\.json"):
        import_recording(config(alone, tmp_path))
    with pytest.raises(UserError, match="instruction is empty"):
        ImportConfig(alone, " ", tmp_path, "x")

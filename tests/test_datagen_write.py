"""Episodes that were rolled out elsewhere, with their frames, as a labelled dataset."""

from dataclasses import replace

import numpy as np
import pytest

from datagen.progress import silent
from datagen.rlds_reader import open_dataset
from datagen.write_episodes import WriteConfig, write_episodes
from sim.conventions import CANONICAL
from sim.errors import UserError
from sim.rollouts import RolloutOptions, rollout
from tests.datagen_doubles import TASK, ToyEnv, ToyPolicy, digests

LABEL = "stand-in for real data (robosuite Lift)"


class HostEnv(ToyEnv):
    """A host: other traces than ours, frames that tell their step."""

    def __init__(self, n=4):
        super().__init__(n)
        self.spec = replace(self.spec, host="robosuite", host_task="Lift", engine="mujoco in robosuite")

    def observe(self, ids):
        frames = np.repeat(self._steps[ids].astype(np.uint8) * 10, 32 * 32 * 3).reshape(len(ids), 32, 32, 3)
        return replace(super().observe(ids), render=lambda camera: frames)

    def snapshot(self, ids):
        return {name: v for name, v in super().snapshot(ids).items() if name in ("joints", "contact")}


def episodes(count=12, **options):
    settings = RolloutOptions(stop_held=TASK.hold, **{"cameras": ("image",), **options})
    return rollout(HostEnv(), ToyPolicy(), range(5000, 5000 + count), options=settings)


def config(out, **changes):
    base = {"task": "lift_cube", "source": LABEL, "out": out, "name": "standin", "episodes": 6, "image_size": 32}
    return WriteConfig(**{**base, "shard_episodes": 4, **changes})


def test_episodes_and_frames_come_back_with_their_label(tmp_path):
    result = write_episodes(episodes(), config(tmp_path), policy=ToyPolicy().spec, progress=silent)
    assert result.episodes == {"train": 6}
    dataset = open_dataset(tmp_path / "standin")
    assert dataset.splits == {"train": (4, 2)}
    assert dataset.description["source"] == LABEL
    for stored in dataset.episodes("train"):
        assert stored.metadata["source"] == LABEL
        assert (stored.metadata["host"], stored.metadata["host_task"]) == ("robosuite", "Lift")
        assert stored.metadata["template"] in TASK.templates
        np.testing.assert_allclose(stored.images().mean(axis=(1, 2, 3)), 10.0 * np.arange(stored.length), atol=1.5)
    assert dataset.statistics["episodes"] == 6


def test_actions_are_stored_in_the_canonical_convention(tmp_path):
    write_episodes(episodes(), config(tmp_path / "a"), policy=ToyPolicy().spec)
    scaled = replace(CANONICAL, position_unit=0.5, gripper_open=0.0, gripper_closed=1.0)
    write_episodes(episodes(), config(tmp_path / "b"), policy=replace(ToyPolicy().spec, convention=scaled))
    for a, b in zip(*(open_dataset(tmp_path / x).episodes("train") for x in "ab"), strict=True):
        np.testing.assert_allclose(b.steps["action"][:, :3], 0.5 * a.steps["action"][:, :3], atol=1e-7)
        np.testing.assert_allclose(b.steps["action"][:, 6], 1.0 - a.steps["action"][:, 6])


def test_a_finished_dataset_asks_for_no_episode(tmp_path):
    policy = ToyPolicy().spec
    write_episodes(episodes(), config(tmp_path), policy=policy)
    before = digests(tmp_path)

    def never():
        raise AssertionError("an episode was asked for")
        yield

    assert write_episodes(never(), config(tmp_path), policy=policy).already_finished
    assert digests(tmp_path) == before
    with pytest.raises(UserError, match=r"source: there .* asked 'teleoperation'"):
        write_episodes(never(), config(tmp_path, source="teleoperation"), policy=policy)


def test_an_interrupted_dataset_is_written_again(tmp_path):
    policy = ToyPolicy().spec
    write_episodes(episodes(), config(tmp_path / "a"), policy=policy)

    def interrupted():
        yield from list(episodes())[:6]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_episodes(interrupted(), config(tmp_path / "b"), policy=policy)
    with pytest.raises(UserError, match="not finished"):
        open_dataset(tmp_path / "b")
    write_episodes(episodes(), config(tmp_path / "b"), policy=policy)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"cameras": ()}, {}, r"lacks frames of 'image'.*RolloutOptions"),
        ({"frame_every": 2}, {}, "lacks frames of 'image'"),
        ({}, {"image_size": 64}, "image_size is 64"),
        ({}, {"episodes": 100}, r"good episodes of 100 came in \(kept \d+ of 12"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path, options, changes, message):
    with pytest.raises(UserError, match=message):
        write_episodes(episodes(**options), config(tmp_path, **changes), policy=ToyPolicy().spec)


@pytest.mark.parametrize("source", ["", "  ", "synthetic"])
def test_the_label_is_mandatory(tmp_path, source):
    with pytest.raises(UserError, match="Name their origin"):
        config(tmp_path, source=source)
